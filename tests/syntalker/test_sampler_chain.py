"""The sampler: against exact answers, with few steps, and around what is kept."""

from __future__ import annotations

import pytest
import torch

from lithe.syntalker.diffusion import ddim_step, dpm_step
from lithe.syntalker.edit import Kept, keep, stitch
from lithe.syntalker.sampler import FEW_STEPS, Sampling, sample
from lithe.syntalker.schedule import Schedule, cosine_schedule

LAYOUT = {"upper": slice(0, 4), "hands": slice(4, 8), "lower": slice(8, 12)}


@pytest.fixture(scope="module")
def schedule() -> Schedule:
    return cosine_schedule(1000)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Gaussian:
    """The best denoiser of normal data N(mean, std^2), in closed form."""

    def __init__(self, schedule: Schedule, mean: float, std: float) -> None:
        self.schedule, self.mean, self.std, self.seen = schedule, mean, std, []

    def __call__(self, x_t: torch.Tensor, t: int) -> torch.Tensor:
        self.seen.append(t)
        kept = float(self.schedule.alphas_cumprod[t])
        gain = kept**0.5 * self.std**2 / (kept * self.std**2 + 1 - kept)
        return self.mean + gain * (x_t - kept**0.5 * self.mean)


def test_the_released_chain_is_walked_down_by_hand(schedule):
    predict = lambda x, t: 0.9 * torch.tanh(x)  # noqa: E731
    x = noise(1, 4, 3)
    wanted = x
    for t in range(980, -1, -20):
        wanted = ddim_step(wanted, predict(wanted, t), t, max(t - 20, -1), schedule)
    torch.testing.assert_close(sample(predict, x, schedule), wanted, atol=1e-5, rtol=1e-5)


def test_the_network_is_told_the_steps_of_the_training_chain(schedule):
    model = Gaussian(schedule, 0.0, 1.0)
    sample(model, noise(1, 2, 3), schedule)
    assert model.seen == list(range(980, -1, -20))
    model = Gaussian(schedule, 0.0, 1.0)
    sample(model, noise(1, 2, 3), schedule, Sampling(steps=4, spacing="trailing"))
    assert model.seen == [999, 749, 499, 249]


@pytest.mark.parametrize("method", ["ddim", "ddpm"])
def test_both_methods_give_the_distribution_that_was_learned(schedule, method):
    model = Gaussian(schedule, 2.0, 0.5)
    sampling = Sampling(steps=200, method=method, spacing="trailing")
    generator = torch.Generator().manual_seed(1)
    found = sample(model, noise(20_000, 1, 1), schedule, sampling, generator=generator)
    assert abs(float(found.mean()) - 2.0) < 0.02
    assert abs(float(found.std()) - 0.5) < 0.02


def test_with_few_steps_trailing_is_nearer_to_what_was_learned_than_leading(schedule):
    def wrong(spacing: str) -> float:
        found = sample(
            Gaussian(schedule, 2.0, 0.5),
            noise(20_000, 1, 1),
            schedule,
            Sampling(steps=8, spacing=spacing),
        )
        return abs(float(found.mean()) - 2.0) + abs(float(found.std()) - 0.5)

    assert wrong("trailing") < 0.5 * wrong("leading")


def error(schedule: Schedule, sampling: Sampling, mean: float, std: float) -> float:
    """Distance from where the exact path of each noise ends."""
    x = noise(4000, 1, 1).double()
    kept = float(schedule.alphas_cumprod[-1])
    exact = mean + std * (x - kept**0.5 * mean) / (kept * std**2 + 1 - kept) ** 0.5
    found = sample(Gaussian(schedule, mean, std), x, schedule, sampling)
    return float((found - exact).square().mean().sqrt())


@pytest.mark.parametrize(("mean", "std"), [(2.0, 0.5), (1.0, 1.0)])
def test_eight_steps_of_second_order_are_nearer_than_eight_released_ones(schedule, mean, std):
    few = error(schedule, FEW_STEPS, mean, std)
    assert few < 0.5 * error(schedule, Sampling(steps=8, spacing="trailing"), mean, std)
    assert few < 0.25 * error(schedule, Sampling(steps=8), mean, std)


def test_the_order_of_the_methods_is_what_they_claim(schedule):
    def ratio(method: str) -> float:
        coarse, fine = (
            error(schedule, Sampling(steps=k, method=method, spacing="trailing"), 1.0, 1.0)
            for k in (10, 20)
        )
        return coarse / fine

    assert 1.7 < ratio("ddim") < 2.3  # first order: twice the steps, half the error
    assert ratio("dpm") > 3.5  # second: a quarter


def test_the_second_order_step_is_refused_out_of_order(schedule):
    x = noise(1, 2, 3)
    for t, before in ((0, 1), (5, 5), (5, 4), (5, 1000)):
        with pytest.raises(ValueError, match="must fall"):
            dpm_step(x, x, x, t, before, schedule)


def test_one_step_is_the_networks_answer(schedule):
    model = Gaussian(schedule, 1.0, 0.5)
    x = noise(2, 3, 4)
    found = sample(model, x, schedule, Sampling(steps=1, spacing="trailing"))
    torch.testing.assert_close(found, model(x, 999), atol=1e-4, rtol=1e-4)


def test_the_noise_alone_decides_ddim_and_the_generator_ddpm(schedule):
    model = Gaussian(schedule, 0.0, 1.0)
    x = noise(2, 3, 4)
    assert torch.equal(sample(model, x, schedule), sample(model, x, schedule))
    ancestral = Sampling(steps=20, method="ddpm")

    def drawn(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return sample(model, x, schedule, ancestral, generator=generator)

    assert torch.equal(drawn(3), drawn(3))
    assert not torch.equal(drawn(3), drawn(4))


def test_impossible_sampling_is_refused(schedule):
    with pytest.raises(ValueError, match="steps is 1001"):
        sample(Gaussian(schedule, 0, 1), noise(1, 2, 3), schedule, Sampling(steps=1001))
    for bad in ({"steps": 0}, {"method": "euler"}, {"spacing": "middle"}, {"cfg": 4}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            Sampling(**bad)


# ---- keeping ----------------------------------------------------------------------------------


def test_what_is_kept_comes_out_as_it_was(schedule):
    known = noise(2, 6, 12, seed=5)
    kept = keep(known, LAYOUT, parts=("upper",), frames=[(8, 16)])
    for method in ("ddim", "ddpm"):
        found = sample(
            Gaussian(schedule, 0.0, 1.0),
            noise(2, 6, 12),
            schedule,
            Sampling(steps=10, method=method),
            kept=kept,
            generator=torch.Generator().manual_seed(0),
        )
        assert torch.equal(found[:, kept.mask], known[:, kept.mask])
        assert (found - known)[:, ~kept.mask].abs().min() > 1e-6


def test_what_is_made_sees_what_is_kept(schedule):
    """Two channels that are always equal: keep one, and the other must follow."""

    def twins(x_t: torch.Tensor, t: int) -> torch.Tensor:
        kept = float(schedule.alphas_cumprod[t])
        both = x_t.mean(2, keepdim=True)  # of x0 + noise / sqrt(2)
        gain = kept**0.5 / (kept + (1 - kept) / 2)
        return (gain * both).expand_as(x_t)

    known = torch.full((500, 1, 2), 1.5)
    mask = torch.tensor([[True, False]])
    found = sample(twins, noise(500, 1, 2), schedule, Sampling(steps=100), kept=Kept(known, mask))
    free = sample(twins, noise(500, 1, 2), schedule, Sampling(steps=100))
    assert abs(float(free[..., 1].mean())) < 0.2
    # Replacement sampling is not exact conditioning, but it must pull most of the way.
    assert 1.0 < float(found[..., 1].mean()) < 1.6


def test_at_every_step_the_kept_state_has_the_noise_of_the_step(schedule):
    known, start = noise(1, 2, 3, seed=7), noise(1, 2, 3)
    kept = Kept(known, torch.tensor([[True] * 3, [False] * 3]))

    def spy(x: torch.Tensor, t: int) -> torch.Tensor:
        a = schedule.alphas_cumprod[t].float()
        torch.testing.assert_close(x[:, 0], (a.sqrt() * known + (1 - a).sqrt() * start)[:, 0])
        return torch.zeros_like(x)

    sample(spy, start, schedule, Sampling(steps=5), kept=kept)


def test_masks_keep_parts_throughout_and_frames_whole():
    latents = torch.zeros(1, 5, 12)
    parts = keep(latents, LAYOUT, parts="hands").mask
    assert torch.equal(parts, torch.tensor([False] * 4 + [True] * 4 + [False] * 4).expand(5, -1))
    ranges = keep(latents, LAYOUT, frames=[(1, 12), (16, 20)]).mask
    assert ranges.all(1).tolist() == [False, True, True, False, True]
    assert torch.equal(ranges.all(1), ranges.any(1))


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        ({"parts": ("tail",)}, "no part 'tail' to keep"),
        ({"frames": [(8, 4)]}, "frames 8 to 4"),
        ({"frames": [(0, 21)]}, "the motion has 0 to 20"),
        ({"frames": [(-4, 4)]}, "frames -4 to 4"),
    ],
)
def test_what_cannot_be_kept_is_refused(asked, match):
    with pytest.raises(ValueError, match=match):
        keep(torch.zeros(1, 5, 12), LAYOUT, **asked)


def test_stitching_takes_each_part_from_its_motion():
    motions = {part: noise(1, 5, 12, seed=k) for k, part in enumerate(LAYOUT)}
    found = stitch(motions, LAYOUT)
    for part, own in LAYOUT.items():
        assert torch.equal(found[..., own], motions[part][..., own])
    with pytest.raises(ValueError, match="parts are upper, hands, lower; got upper"):
        stitch({"upper": noise(1, 5, 12)}, LAYOUT)
    with pytest.raises(ValueError, match="one shape"):
        stitch(motions | {"upper": noise(1, 4, 12)}, LAYOUT)


def test_kept_of_another_shape_is_refused(schedule):
    with pytest.raises(ValueError, match="need a mask"):
        Kept(torch.zeros(1, 5, 12), torch.zeros(4, 12, dtype=torch.bool))
    kept = Kept.nothing(1, 4, 12)
    with pytest.raises(ValueError, match="kept is"):
        sample(Gaussian(schedule, 0, 1), noise(1, 5, 12), schedule, kept=kept)


def test_windows_of_what_is_kept_end_with_nothing_kept():
    kept = keep(noise(1, 5, 12), LAYOUT, frames=[(0, 20)])
    piece = kept.window(3, 4)
    assert torch.equal(piece.latents[:, :2], kept.latents[:, 3:])
    assert piece.mask.all(1).tolist() == [True, True, False, False]


def test_the_seed_is_held_where_nothing_else_is():
    kept = keep(noise(1, 4, 12), LAYOUT, parts=("upper",))
    seed = noise(3, 2, 12, seed=9)
    held = kept.with_first(seed)
    assert torch.equal(held.latents[:, :2, 4:], seed[..., 4:])
    assert torch.equal(held.latents[:, :2, :4], kept.latents[:, :2, :4].expand(3, -1, -1))
    assert held.mask[:2].all()
    assert torch.equal(held.mask[2:], kept.mask[2:])
