"""The noise schedule and single steps of the diffusion against the released numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lithe.syntalker.diffusion import (
    ddim_step,
    ddpm_step,
    implied_noise,
    posterior,
    q_sample,
    x0_loss,
)
from lithe.syntalker.schedule import Schedule, chosen_steps, cosine_schedule


@pytest.fixture(scope="module")
def numbers(golden) -> dict[str, np.ndarray]:
    with np.load(golden / "syntalker_schedule.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file}


@pytest.fixture(scope="module")
def steps(golden) -> dict[str, torch.Tensor]:
    with np.load(golden / "syntalker_ddim.npz", allow_pickle=False) as file:
        return {name: torch.from_numpy(file[name]) for name in file}


@pytest.fixture(scope="module")
def schedule() -> Schedule:
    return cosine_schedule(1000)


@pytest.mark.parametrize(
    "name",
    [
        "betas",
        "alphas_cumprod",
        "posterior_variance",
        "posterior_log_variance_clipped",
        "posterior_mean_coef1",
        "posterior_mean_coef2",
    ],
)
def test_the_whole_chain_has_the_released_numbers(schedule, numbers, name):
    np.testing.assert_allclose(getattr(schedule, name), numbers[name], rtol=1e-10, atol=0)


def test_the_chain_of_fifty_has_the_released_numbers(schedule, numbers):
    chain = schedule.respaced(50)
    assert np.array_equal(chain.timesteps, numbers["ddim50_timestep_map"])
    for name in ("betas", "alphas_cumprod", "alphas_cumprod_prev"):
        np.testing.assert_allclose(getattr(chain, name), numbers[f"ddim50_{name}"], rtol=1e-10)


def test_a_chain_of_all_steps_is_the_chain(schedule):
    again = schedule.respaced(1000)
    np.testing.assert_allclose(again.betas, schedule.betas, rtol=1e-9)
    assert torch.equal(again.timesteps, schedule.timesteps)


def test_respacing_twice_tells_the_network_steps_of_the_first_chain(schedule):
    assert schedule.respaced(50).respaced(5).timesteps.tolist() == [0, 200, 400, 600, 800]


@given(total=st.integers(1, 1000), data=st.data(), spacing=st.sampled_from(["leading", "trailing"]))
def test_any_number_of_steps_rises_within_the_chain(total, data, spacing):
    steps = data.draw(st.integers(1, total))
    chosen = chosen_steps(total, steps, spacing).tolist()
    assert len(chosen) == steps
    assert chosen == sorted(set(chosen))
    assert 0 <= chosen[0] <= chosen[-1] < total
    assert (chosen[0] == 0) if spacing == "leading" else (chosen[-1] == total - 1)


@pytest.mark.parametrize(("steps", "spacing"), [(0, "leading"), (1001, "leading"), (5, "middle")])
def test_impossible_chains_are_refused(schedule, steps, spacing):
    with pytest.raises(ValueError, match=f"{steps}|{spacing}"):
        schedule.respaced(steps, spacing)


def test_a_schedule_without_steps_or_with_wild_betas_is_refused():
    with pytest.raises(ValueError, match="steps is 0"):
        cosine_schedule(0)
    with pytest.raises(ValueError, match="betas"):
        Schedule(torch.tensor([0.5, 1.0]), torch.arange(2))


def test_ddim_steps_have_the_released_numbers(schedule, steps):
    t, x_t, x0 = steps["t_model_sees"], steps["x_t"], steps["x0"]
    eps = implied_noise(x_t, x0, t, schedule)
    # At step 0 the noise is a difference divided by 0.0064, so float32 leaves 1e-5 of it.
    np.testing.assert_allclose(eps, steps["ddim_eps"], rtol=1e-5, atol=1e-5)
    previous = torch.where(t >= 20, t - 20, -1)
    found = ddim_step(x_t, x0, t, previous, schedule)
    np.testing.assert_allclose(found, steps["ddim_x_prev"], atol=1e-5)


def test_the_respaced_chain_takes_the_same_ddim_steps(schedule, steps):
    index = steps["t_ddim_index"]
    found = ddim_step(steps["x_t"], steps["x0"], index, index - 1, schedule.respaced(50))
    np.testing.assert_allclose(found, steps["ddim_x_prev"], atol=1e-5)


def test_one_step_for_all_is_the_same_as_one_each(schedule, steps):
    x_t, x0 = steps["x_t"], steps["x0"]
    each = ddim_step(x_t, x0, torch.full((4,), 500), torch.full((4,), 480), schedule)
    assert torch.equal(ddim_step(x_t, x0, 500, 480, schedule), each)


def test_posterior_and_forward_diffusion_have_the_released_numbers(schedule, steps):
    t = steps["t_base"]
    mean, variance = posterior(steps["x_t"], steps["x0"], t, schedule)
    np.testing.assert_allclose(mean, steps["ddpm_mean"], atol=1e-5)
    np.testing.assert_allclose(variance.expand_as(mean), steps["ddpm_variance"], rtol=1e-5)
    logs = schedule.posterior_log_variance_clipped[t].view(-1, 1, 1, 1).expand_as(mean)
    np.testing.assert_allclose(logs, steps["ddpm_log_variance"], rtol=1e-5)
    noisy = q_sample(steps["x0"], t, steps["noise"], schedule)
    np.testing.assert_allclose(noisy, steps["q_sample"], atol=1e-5)


def test_the_loss_has_the_released_numbers(steps, schedule):
    # The released loss noises x0 itself; the network returned half of what it saw.
    x_t = q_sample(steps["x0"], steps["t_base"], steps["noise"], schedule)
    found = x0_loss(0.5 * x_t, steps["x0"])
    np.testing.assert_allclose(found, steps["train_loss_model_half_xt"], atol=1e-5)


def test_noise_that_was_put_on_is_found_again(schedule, steps):
    x0, noise = steps["x0"].double(), steps["noise"].double()
    t = torch.tensor([999, 500, 1, 0])
    found = implied_noise(q_sample(x0, t, noise, schedule), x0, t, schedule)
    np.testing.assert_allclose(found, noise, atol=1e-9)


def test_ancestral_steps_have_the_posterior_and_end_without_noise(schedule, steps):
    x_t, x0 = steps["x_t"], steps["x0"]
    many = ddpm_step(
        x_t[:1].expand(20_000, -1, -1, -1),
        x0[:1].expand(20_000, -1, -1, -1),
        500,
        schedule,
        torch.Generator().manual_seed(0),
    )
    mean, variance = posterior(x_t[:1], x0[:1], 500, schedule)
    error = variance.sqrt() / 20_000**0.5
    assert (many.mean(0, keepdim=True) - mean).abs().max() < 5 * error
    np.testing.assert_allclose(many.var(0), variance.expand_as(mean)[0], rtol=0.05)
    first = torch.Generator().manual_seed(1)
    assert torch.equal(ddpm_step(x_t, x0, 0, schedule, first), posterior(x_t, x0, 0, schedule)[0])


@pytest.mark.parametrize(("t", "previous"), [(1000, 980), (-1, -1), (20, 20), (20, 40)])
def test_steps_outside_the_chain_are_refused(schedule, steps, t, previous):
    with pytest.raises(ValueError, match=r"step|t_prev"):
        ddim_step(steps["x_t"], steps["x0"], t, previous, schedule)
