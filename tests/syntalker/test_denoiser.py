"""The denoiser: released sizes, released blocks, and that it looks at what it is told."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lithe.syntalker.denoiser import (
    DENOISER_CO_SPEECH,
    DENOISER_FULL,
    DENOISER_SMALL,
    Denoiser,
    DenoiserConfig,
)
from lithe.syntalker.speech_denoiser import SpeechDenoiser
from lithe.syntalker.transformer import Block, DropPath, rotary

TINY = DenoiserConfig(
    latent=12, width=16, layers=2, heads=2, hidden=24, rotary=8, speech=4, prompt=6, seed=2
)


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.fixture
def tiny() -> Denoiser:
    return Denoiser(TINY, torch.Generator().manual_seed(0)).eval()


@pytest.fixture
def inputs() -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    return {
        "x_t": torch.randn(3, 5, 12, generator=g),
        "t": torch.tensor([0, 500, 999]),
        "speech": torch.randn(3, 5, 4, generator=g),
        "seed": torch.randn(3, 2, 12, generator=g),
        "prompt": torch.randn(3, 6, generator=g),
    }


@pytest.mark.parametrize(
    ("config", "million"), [(DENOISER_FULL, "30.0"), (DENOISER_CO_SPEECH, "29.6")]
)
def test_released_sizes_have_the_released_number_of_parameters(config, million):
    with torch.device("meta"):
        network = SpeechDenoiser(config)
    assert f"{count(network) / 1e6:.1f}" == million
    assert f"{count(network.denoiser.blocks) / 1e6:.1f}" == "16.8"
    assert f"{count(network.ears.wave) / 1e6:.2f}" == "3.33"


def test_full_size_counts_layer_by_layer():
    d, blocks = 512, 8 * (2 * 2 * 512 + 3 * 512**2 + 512 * 513 + 512 * 1025 + 1024 * 513)
    layers = 1536 * d + d + 2 * (d * d + d) + 6144 * d + d + 1280 * d + d + 768 * d + d
    with torch.device("meta"):
        assert count(Denoiser()) == layers + blocks + d * 1536 + 1536 + 256


def test_the_small_preset_is_small():
    assert count(Denoiser(DENOISER_SMALL)) < 1_000_000


def test_a_block_gives_the_released_numbers(golden):
    with np.load(golden / "syntalker_modules.npz", allow_pickle=False) as file:
        name = "transformer_block_d16"
        weights = {k.split("/w/")[1]: torch.from_numpy(file[k]) for k in file if f"{name}/w/" in k}
        x, wanted = torch.from_numpy(file[f"{name}/in"]), file[f"{name}/out"]
    block = Block(16, 4, 32).eval()
    block.load_state_dict(weights)
    with torch.no_grad():
        np.testing.assert_allclose(block(x), wanted, atol=1e-5)


def test_the_rotary_encoding_gives_the_released_numbers(golden):
    with np.load(golden / "syntalker_posenc.npz", allow_pickle=False) as file:
        found = rotary(torch.from_numpy(file["rope_in"]))
        np.testing.assert_allclose(found, file["rope_out"], atol=1e-6)


def test_the_rotary_encoding_keeps_lengths_and_refuses_odd_widths():
    x = torch.randn(7, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(rotary(x).norm(dim=1), x.norm(dim=1))
    with pytest.raises(ValueError, match="7 is odd"):
        rotary(torch.zeros(2, 7))


def plain(net: Denoiser, x_t, t, speech, seed, prompt) -> torch.Tensor:
    """Spec 6.1 word for word: concatenate, join, and only then turn."""
    f = x_t.shape[1]
    e = net.time(net.table[t]) + net.seed(seed.flatten(1))
    h = net.join(torch.cat([e[:, None].expand(-1, f, -1), net.state(x_t), speech], -1))
    if prompt is not None:
        h = net.join_prompt(torch.cat([h, prompt[:, None].expand(-1, f, -1)], -1))
    groups = h.view(*h.shape[:2], -1, net.config.rotary)
    h = torch.stack([rotary(groups[:, :, g]) for g in range(groups.shape[2])], 2).flatten(2)
    for block in net.blocks:
        h = block(h)
    return net.out(h)


def test_the_split_layers_are_the_concatenation_of_the_spec(tiny, inputs):
    with torch.no_grad():
        torch.testing.assert_close(tiny(**inputs), plain(tiny, **inputs), atol=1e-5, rtol=1e-5)


def test_the_variant_without_prompts_is_the_concatenation_too(inputs):
    net = Denoiser(TINY.model_copy(update={"prompt": 0}), torch.Generator().manual_seed(0)).eval()
    inputs |= {"prompt": None}
    with torch.no_grad():
        torch.testing.assert_close(net(**inputs), plain(net, **inputs), atol=1e-5, rtol=1e-5)
    assert not hasattr(net, "null")


@pytest.mark.parametrize("name", ["x_t", "t", "speech", "seed", "prompt"])
def test_every_input_matters(tiny, inputs, name):
    changed = inputs | {name: inputs[name].flip(0)}
    with torch.no_grad():
        assert (tiny(**inputs) - tiny(**changed))[[0, 2]].abs().max() > 1e-4


def test_frames_are_told_apart_by_position(tiny, inputs):
    same = inputs | {"x_t": torch.ones(3, 5, 12), "speech": torch.ones(3, 5, 4)}
    with torch.no_grad():
        out = tiny(**same)
    assert (out[:, 0] - out[:, 3]).abs().max() > 1e-4


def test_a_prompt_left_out_is_the_null_prompt(tiny, inputs):
    with torch.no_grad():
        tiny.null.copy_(torch.randn(6, generator=torch.Generator().manual_seed(2)))
        mask = torch.tensor([True, False, True])
        some = tiny(**inputs, unprompted=mask)
        none = tiny(**(inputs | {"prompt": None}))
        every = tiny(**(inputs | {"prompt": tiny.null.expand(3, -1)}))
    torch.testing.assert_close(none, every)
    torch.testing.assert_close(some[mask], none[mask])
    torch.testing.assert_close(some[1], tiny(**inputs)[1])


def test_the_null_prompt_starts_at_zero_and_learns(tiny, inputs):
    assert not tiny.null.any()
    tiny(**(inputs | {"prompt": None})).square().sum().backward()
    assert tiny.null.grad.abs().max() > 0


def test_conditions_in_one_call_are_calls_one_by_one(tiny, inputs):
    told = [
        tiny.remember(inputs["speech"] * k, inputs["seed"], inputs["prompt"] * k) for k in range(3)
    ]
    with torch.no_grad():
        together = tiny.step(inputs["x_t"], 500, torch.stack(told, 1))
        apart = torch.stack(
            [
                tiny(inputs["x_t"], torch.full((3,), 500), inputs["speech"] * k, inputs["seed"],
                     inputs["prompt"] * k)
                for k in range(3)
            ],
            1,
        )  # fmt: skip
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-5)


def test_weights_come_from_the_generator_and_leave_the_global_state():
    before = torch.random.get_rng_state()
    one, two = (Denoiser(TINY, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    for a, b in zip(one.parameters(), two.parameters()):
        assert torch.equal(a, b)


def test_stochastic_depth_leaves_out_whole_samples_and_keeps_the_mean():
    x = torch.ones(20_000, 2, 3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        out = DropPath(0.25).train()(x)
    assert all(len(row.unique()) == 1 for row in out[:50])
    assert 0.24 < (out[:, 0, 0] == 0).float().mean() < 0.26
    assert abs(float(out.mean()) - 1) < 0.02
    assert torch.equal(DropPath(0.25).eval()(x), x)


def test_attention_is_the_fused_one_and_equals_the_plain_one(tiny):
    attention = tiny.blocks[0].attn
    x = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0))
    q, k, v = attention.qkv(x).chunk(3, -1)

    def heads(y: torch.Tensor) -> torch.Tensor:
        return y.view(2, 5, 2, 8).transpose(1, 2)

    weights = F.softmax(heads(q) @ heads(k).transpose(-1, -2) / 8**0.5, -1)
    wanted = attention.proj((weights @ heads(v)).transpose(1, 2).flatten(2))
    torch.testing.assert_close(attention(x), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "shape", "match"),
    [
        ("x_t", (3, 5, 11), "state"),
        ("x_t", (3, 4, 12), "state"),
        ("speech", (3, 5, 3), "speech is"),
        ("seed", (3, 1, 12), "seed is"),
        ("prompt", (3, 5), "prompt is"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(tiny, inputs, name, shape, match):
    with pytest.raises(ValueError, match=match):
        tiny(**(inputs | {name: torch.zeros(shape)}))


def test_timesteps_outside_the_chain_and_prompts_for_the_unprompted_are_refused(tiny, inputs):
    with pytest.raises(ValueError, match="timestep"):
        tiny(**(inputs | {"t": torch.tensor([0, 0, 1000])}))
    net = Denoiser(TINY.model_copy(update={"prompt": 0}))
    with pytest.raises(ValueError, match="without prompts"):
        net(**inputs)


@pytest.mark.parametrize("changed", [{"heads": 3}, {"rotary": 6}, {"rotary": 1}, {"size": 4}])
def test_impossible_sizes_are_refused(changed):
    with pytest.raises(ValueError, match=r"divide|rotary|size"):
        DenoiserConfig(**(TINY.model_dump() | changed))


def test_ears_and_denoiser_work_together():
    network = SpeechDenoiser(TINY, vocabulary=9, word_width=5).eval()
    sound, words = torch.zeros(2, 4266, 2), torch.zeros(2, 8, dtype=torch.long)
    with torch.no_grad():
        heard = network.listen(sound, words)
        torch.testing.assert_close(network.silence(2).expand(2, -1, -1), heard)
        x_t, t, seed = torch.randn(2, 2, 12), torch.tensor([3, 4]), torch.zeros(2, 2, 12)
        torch.testing.assert_close(
            network(x_t, t, sound, words, seed), network.denoiser(x_t, t, heard, seed)
        )
