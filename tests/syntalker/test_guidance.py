"""Guidance: the released combination, and ours as weights of the same estimates."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lithe.syntalker.denoiser import Denoiser, DenoiserConfig
from lithe.syntalker.guidance import (
    MIXTURES,
    RELEASED_SCALES,
    Condition,
    Mixture,
    audio_only,
    combine,
    joint,
    mix,
    prompt_only,
    separate,
    two_term,
    whole_body,
)
from lithe.syntalker.guided import Cues, Guided, GuidedAsReleased
from lithe.syntalker.timeline import Plan, Timeline

PARTS = ("upper", "hands", "lower")
THIRDS = {part: slice(512 * k, 512 * (k + 1)) for k, part in enumerate(PARTS)}
SMALL = {part: slice(4 * k, 4 * (k + 1)) for k, part in enumerate(PARTS)}
CASES = {
    "out_none": (),
    "out_lower": ("lower",),
    "out_upper": ("upper",),
    "out_hands": ("hands",),
    "out_upper_lower": ("upper", "lower"),
    "out_all": PARTS,
}


@pytest.fixture(scope="module")
def numbers(golden) -> dict[str, torch.Tensor]:
    with np.load(golden / "syntalker_cfg.npz", allow_pickle=False) as file:
        return {name: torch.from_numpy(file[name]) for name in file}


def released(numbers, case) -> tuple:
    prompts = {part: numbers[f"p_{part}"] for part in CASES[case]}
    return numbers["uncond"], numbers["audio"], prompts


def frames(x: torch.Tensor) -> torch.Tensor:
    """The released (n, d, 1, f) as (n, f, d)."""
    return x[:, :, 0].transpose(1, 2)


@pytest.mark.parametrize("case", CASES)
def test_the_combination_has_the_released_numbers(numbers, case):
    x_0, x_a, x_p = released(numbers, case)
    np.testing.assert_allclose(combine(x_0, x_a, x_p), numbers[case], atol=1e-5)
    np.testing.assert_allclose(combine(x_0, x_a, x_p, THIRDS), numbers[case], atol=1e-5)
    every = {part: numbers[f"p_{part}"] for part in PARTS}
    np.testing.assert_allclose(combine(x_0, x_a, every, CASES[case]), numbers[case], atol=1e-5)
    found = combine(frames(x_0), frames(x_a), {p: frames(x) for p, x in x_p.items()})
    np.testing.assert_allclose(found, frames(numbers[case]), atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_our_weights_have_the_released_numbers(numbers, case):
    prompts = {part: f"{part} does it" for part in CASES[case]}
    mixture = separate(Timeline.parse(prompts).plan(2))
    estimates = [numbers["uncond"], numbers["audio"], *(numbers[f"p_{p}"] for p in CASES[case])]
    stacked = torch.stack([frames(x) for x in estimates], 1)
    found = mix(stacked, mixture.weights, THIRDS.values())
    np.testing.assert_allclose(found, frames(numbers[case]), atol=1e-5)


def test_the_two_terms_have_the_released_numbers(numbers):
    estimates = [numbers[name] for name in ("uncond", "audio", "p_lower")]
    wanted = numbers["two_cfg_sa1.5_sp4"]
    np.testing.assert_allclose(two_term(*estimates, 1.5, 4.0), wanted, atol=1e-5)
    plan = Timeline.parse({"lower": "walk"}).plan(2)
    stacked = torch.stack([frames(x) for x in estimates], 1)
    found = mix(stacked, whole_body(plan, speech=1.5).weights, THIRDS.values())
    np.testing.assert_allclose(found, frames(wanted), atol=1e-5)


def test_a_part_without_prompt_is_speech_to_the_bit(numbers):
    x_0, x_a, x_p = released(numbers, "out_lower")
    assert torch.equal(combine(x_0, x_a, {}), x_a)
    assert torch.equal(combine(x_0, x_a, x_p)[:, :1024], x_a[:, :1024])


def test_combining_changes_no_input(numbers):
    x_0, x_a, x_p = released(numbers, "out_all")
    before = [x.clone() for x in (x_0, x_a, *x_p.values())]
    combine(x_0, x_a, x_p)
    for was, now in zip(before, (x_0, x_a, *x_p.values())):
        assert torch.equal(was, now)


def test_one_estimate_serves_all_parts():
    x_0, x_a, x_p = torch.randn(3, 1, 2, 12, generator=torch.Generator().manual_seed(0))
    wanted = combine(x_0, x_a, dict.fromkeys(PARTS, x_p))
    assert torch.equal(combine(x_0, x_a, x_p), wanted)


@pytest.mark.parametrize(
    ("x_p", "parts", "match"),
    [
        ({"tail": torch.zeros(1, 2, 12)}, None, "no part 'tail'"),
        ({}, ("upper",), "no estimate"),
        ({"upper": torch.zeros(1, 2, 9)}, None, "one shape"),
    ],
)
def test_combining_refuses_what_does_not_fit(x_p, parts, match):
    with pytest.raises(ValueError, match=match):
        combine(torch.zeros(1, 2, 12), torch.zeros(1, 2, 12), x_p, parts)
    with pytest.raises(ValueError, match="10 channels"):
        combine(torch.zeros(1, 2, 10), torch.zeros(1, 2, 10), {})


plans = st.builds(
    lambda index, strength, speech: Plan(
        ("a", "b"),
        torch.tensor(index),
        torch.tensor(strength) * (torch.tensor(index) >= 0),
        torch.tensor(speech),
    ),
    *(
        st.lists(st.lists(kind, min_size=3, max_size=3), min_size=4, max_size=4)
        for kind in (st.integers(-1, 1), st.floats(0, 8, width=16), st.floats(0, 2, width=16))
    ),
)


@given(plans)
@settings(max_examples=30)
def test_weights_of_every_way_add_up_to_one(plan):
    for way in MIXTURES.values():
        for mixture in (way(plan), way(plan).pruned()):
            total = mixture.weights.sum(0)
            torch.testing.assert_close(total, torch.ones(4, 3), atol=1e-5, rtol=0)


@given(plans)
@settings(max_examples=30)
def test_separate_is_the_two_terms_part_by_part_and_frame_by_frame(plan):
    g = torch.Generator().manual_seed(0)
    x_0, x_a, *x_p = torch.randn(4, 1, 4, 12, generator=g).unbind(0)
    found = mix(torch.stack([x_0, x_a, *x_p], 1), separate(plan).weights, SMALL.values())
    for f in range(4):
        for k, own in enumerate(SMALL.values()):
            chosen = x_p[max(int(plan.index[f, k]), 0)]
            terms = (x[0, f, own] for x in (x_0, x_a, chosen))
            s_a, s_p = float(plan.speech[f, k]), float(plan.strength[f, k])
            wanted = two_term(*terms, s_a, s_p)
            torch.testing.assert_close(found[0, f, own], wanted, atol=1e-4, rtol=1e-4)


def test_ways_evaluate_what_they_need_and_no_more():
    both = Timeline.parse({"upper": "wave", "lower": "walk"}).plan(4)
    same = Timeline.parse({"upper": "walk", "hands": "walk", "lower": "walk"}).plan(4)
    nothing = Timeline.parse(None).plan(4)
    assert len(separate(both).pruned().conditions) == 4
    assert len(separate(same).pruned().conditions) == 3
    assert separate(nothing).pruned().conditions == (Condition(True),)
    assert audio_only(both).pruned().conditions == (Condition(True),)
    assert Condition(True) not in prompt_only(both).pruned().conditions
    assert joint(both).pruned().conditions == (
        Condition(True), Condition(True, 0), Condition(True, 1),
    )  # fmt: skip


def test_the_whole_body_takes_the_prompt_of_any_part():
    plan = Timeline.parse([(0.0, 0.3, "lower", "walk")]).plan(4)
    nothing, speech, prompt = whole_body(plan).weights
    assert prompt.tolist() == [[4.0] * 3] * 2 + [[0.0] * 3] * 2
    assert torch.equal(speech, torch.ones(4, 3))
    assert torch.equal(nothing, -prompt)
    assert not prompt_only(plan).weights[1].any()


def test_hands_and_legs_may_keep_speech():
    timeline = Timeline.parse(dict.fromkeys(PARTS, "walk"))
    assert separate(timeline.plan(1)).weights[1].tolist() == [[1.0, 0.0, 0.0]]
    assert separate(timeline.plan(1, speaking=PARTS)).weights[1].tolist() == [[1.0] * 3]
    half = timeline.plan(1, speaking={"lower": 0.5})
    assert separate(half).weights[1].tolist() == [[0.0, 0.0, 0.5]]
    assert {p: s for p, (s, _) in RELEASED_SCALES.items()} == {"upper": 1, "hands": 0, "lower": 0}


def test_a_mixture_needs_weights_for_its_conditions():
    with pytest.raises(ValueError, match="2 conditions"):
        Mixture((Condition(True), Condition(False)), torch.ones(1, 4, 3))
    with pytest.raises(ValueError, match="finite"):
        Mixture((Condition(True),), torch.full((1, 4, 3), torch.nan))


# ---- with a network ---------------------------------------------------------------------------

CONFIG = DenoiserConfig(
    latent=12, width=16, layers=2, heads=2, hidden=24, rotary=8, speech=4, prompt=6, seed=2
)


@pytest.fixture(scope="module")
def net() -> Denoiser:
    return Denoiser(CONFIG, torch.Generator().manual_seed(0)).eval()


@pytest.fixture(scope="module")
def cues() -> Cues:
    g = torch.Generator().manual_seed(1)
    shapes = ((2, 5, 4), (1, 5, 4), (2, 2, 12), (3, 6))
    return Cues(*(torch.randn(shape, generator=g) for shape in shapes))


X_T = torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(2))
PROMPTS = [{}, {"lower": "a"}, {"upper": "a", "lower": "b"}, dict(zip(PARTS, "abc"))]


@pytest.mark.parametrize("prompts", PROMPTS, ids=len)
@torch.no_grad()
def test_nine_calls_and_one_give_the_same_values(net, cues, prompts):
    plan = Timeline.parse(prompts).plan(5)
    ours = Guided(net, cues, separate(plan), SMALL.values())
    theirs = GuidedAsReleased(net, cues, plan, SMALL.values(), SMALL)
    torch.testing.assert_close(ours(X_T, 500), theirs(X_T, 500), atol=1e-5, rtol=1e-5)
    assert theirs.calls == 9
    assert ours.calls == (2 + len(prompts) if prompts else 1)


@torch.no_grad()
def test_all_conditions_are_one_call_of_the_network(net, cues, monkeypatch):
    sizes = []
    step = net.step

    def counted(x_t, t, told):
        sizes.append(told.shape[:2])
        return step(x_t, t, told)

    monkeypatch.setattr(net, "step", counted)
    Guided(net, cues, separate(Timeline.parse(PROMPTS[2]).plan(5)), SMALL.values())(X_T, 500)
    assert sizes == [(2, 4)]


@torch.no_grad()
def test_separate_at_one_and_zero_is_speech_alone_to_the_bit(net, cues):
    plan = Timeline.parse({"upper": "a", "lower": "b"}).plan(5, strength=0.0, speaking=PARTS)
    ours = Guided(net, cues, separate(plan), SMALL.values())
    alone = Guided(net, cues, audio_only(plan), SMALL.values())
    assert torch.equal(ours(X_T, 500), alone(X_T, 500))
    said = net(X_T, torch.tensor([500, 500]), cues.speech, cues.seed)
    torch.testing.assert_close(alone(X_T, 500), said, atol=1e-6, rtol=1e-6)


@torch.no_grad()
def test_each_sample_may_have_its_own_prompts(net, cues):
    plan = Timeline.parse({"lower": "a"}).plan(5)
    own = torch.stack([cues.prompts, cues.prompts.flip(0)])
    together = Guided(net, Cues(cues.speech, cues.silence, cues.seed, own), separate(plan),
                      SMALL.values())(X_T, 500)  # fmt: skip
    for k in range(2):
        one = Cues(cues.speech[k : k + 1], cues.silence, cues.seed[k : k + 1], own[k])
        alone = Guided(net, one, separate(plan), SMALL.values())(X_T[k : k + 1], 500)
        torch.testing.assert_close(together[k : k + 1], alone, atol=1e-5, rtol=1e-5)


def test_the_released_sampler_knows_no_time(net, cues):
    plan = Timeline.parse([(0.0, 0.3, "lower", "a")]).plan(5)
    with pytest.raises(ValueError, match="one prompt per part"):
        GuidedAsReleased(net, cues, plan, SMALL.values(), SMALL)


def test_weights_for_other_parts_or_frames_are_refused(net, cues):
    for latents, parts in ((5, ("upper", "lower")), (4, PARTS)):
        mixture = audio_only(Timeline.parse(None, parts=parts).plan(latents))
        with pytest.raises(ValueError, match="weights"):
            Guided(net, cues, mixture, SMALL.values())


def test_a_prompt_without_embedding_is_refused(net, cues):
    bare = Cues(cues.speech, cues.silence, cues.seed)
    with pytest.raises(ValueError, match="prompt 0 has no embedding"):
        Guided(net, bare, separate(Timeline.parse({"lower": "a"}).plan(5)), SMALL.values())
