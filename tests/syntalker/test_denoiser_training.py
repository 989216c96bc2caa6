"""Condition dropping, the mixture of corpora, and the loss of stage 3."""

from __future__ import annotations

import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lithe.syntalker.conditions import (
    Dropping,
    Told,
    diffusion_loss,
    dropped,
    mixture_sampler,
    mixture_weights,
    mute,
)
from lithe.syntalker.diffusion import q_sample, x0_loss
from lithe.syntalker.schedule import cosine_schedule
from lithe.syntalker.vocabulary import PAD


def batch(n: int = 4, prompt: bool = True) -> Told:
    g = torch.Generator().manual_seed(0)
    return Told(
        torch.randn(n, 5, 12, generator=g),
        torch.rand(n, 40, 2, generator=g),
        torch.randint(1, 9, (n, 20), generator=g),
        torch.randn(n, 6, generator=g) if prompt else None,
    )


class Spy(torch.nn.Module):
    """Remembers what it was asked and returns half the state."""

    def forward(self, *asked):
        self.asked = asked
        return asked[0] / 2


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_dropping_has_its_chance():
    assert 0.29 < dropped(40_000, 0.3, seeded()).float().mean() < 0.31
    assert not dropped(100, 0.0, seeded()).any()
    assert dropped(100, 1.0, seeded()).all()


def test_muting_silences_the_chosen_samples_alone():
    told = batch(3)
    sound, words = mute(told.sound, told.words, torch.tensor([True, False, True]))
    assert not sound[[0, 2]].any()
    assert (words[[0, 2]] == PAD).all()
    assert torch.equal(sound[1], told.sound[1])
    assert torch.equal(words[1], told.words[1])
    assert told.sound.any(2).any(1).all()  # the batch itself is as it was


def test_the_network_is_told_what_the_spec_says():
    spy, told, schedule = Spy(), batch(), cosine_schedule(1000)
    loss, estimate = diffusion_loss(
        spy, told, schedule, 2, Dropping(prompt=0.5, speech=0.5), seeded(3)
    )
    x_t, t, sound, words, seed, prompt, unprompted = spy.asked
    again = seeded(3)
    assert torch.equal(t, torch.randint(1000, (4,), generator=again))
    noise = torch.randn(4, 5, 12, generator=again)
    assert torch.equal(x_t, q_sample(told.latents, t, noise, schedule))
    assert torch.equal(seed, told.latents[:, :2])
    assert prompt is told.prompt
    assert torch.equal(unprompted, dropped(4, 0.5, again))
    silent = dropped(4, 0.5, again)
    assert torch.equal(~sound.any(2).any(1), silent)
    assert torch.equal((words == PAD).all(1), silent)
    assert torch.equal(estimate, x_t / 2)
    assert torch.equal(loss, x0_loss(x_t / 2, told.latents).mean())


def test_released_dropping_never_mutes_and_works_without_prompts():
    spy = Spy()
    for seed in range(20):
        diffusion_loss(spy, batch(prompt=False), cosine_schedule(10), generator=seeded(seed))
        assert spy.asked[2].any(2).any(1).all()
        assert spy.asked[5] is None


def test_steps_of_a_short_chain_are_told_as_steps_of_the_whole():
    spy = Spy()
    chain = cosine_schedule(1000).respaced(5)
    diffusion_loss(spy, batch(64), chain, generator=seeded())
    assert set(spy.asked[1].tolist()) == {0, 200, 400, 600, 800}


def test_the_released_mixture_draws_a_third_in_silence():
    weights = mixture_weights(300, 70)
    assert weights[0] == 1
    assert float(weights[-1]) == pytest.approx(0.5 * 300 / 70)
    assert float(weights[300:].sum() / weights.sum()) == pytest.approx(1 / 3)
    draws = torch.tensor(list(mixture_sampler(300, 7000, generator=seeded())))
    assert len(draws) == 7300
    assert abs(float((draws >= 300).double().mean()) - 1 / 3) < 5 * (2 / 9 / 7300) ** 0.5


@pytest.mark.parametrize(("speech", "silent", "share"), [(0, 5, 0.3), (5, 0, 0.3), (5, 5, 1.0)])
def test_impossible_mixtures_are_refused(speech, silent, share):
    with pytest.raises(ValueError, match=f"{speech}|{share}"):
        mixture_weights(speech, silent, share)


def test_chances_outside_zero_to_one_are_refused():
    with pytest.raises(ValueError, match="prompt"):
        Dropping(prompt=1.5)


def test_a_few_steps_lower_the_loss_and_the_moving_average_follows():
    from lithe.syntalker.denoiser import DenoiserConfig
    from lithe.syntalker.speech_denoiser import SpeechDenoiser

    config = DenoiserConfig(
        latent=12, width=16, layers=1, heads=2, hidden=16, rotary=8, speech=4, prompt=6, seed=2
    )
    model = SpeechDenoiser(config, 9, 5, generator=seeded())
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    told = batch(8)._replace(sound=torch.zeros(8, 10_666, 2))
    chosen = torch.optim.Adam(model.parameters(), 1e-2)
    losses = []
    for step in range(25):
        loss, _ = diffusion_loss(model, told, cosine_schedule(), 2, generator=seeded(step))
        chosen.zero_grad()
        loss.backward()
        chosen.step()
        average.update_parameters(model)
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
    assert not torch.equal(average.module.denoiser.out.weight, model.denoiser.out.weight)
    with torch.no_grad():
        held, _ = diffusion_loss(average, told, cosine_schedule(), 2, generator=seeded(99))
    assert held < sum(losses[:5]) / 5
