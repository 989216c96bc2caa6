"""Encoder, decoder and VQ-VAE: released numbers, sizes, reach, and whole-body codecs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lithe.syntalker.autoencoder import Decoder, Encoder
from lithe.syntalker.codec import BodyCodec
from lithe.syntalker.h3d import PARTS
from lithe.syntalker.normaliser import Normaliser
from lithe.syntalker.seams import seams
from lithe.syntalker.vqvae import FULL, CodecConfig, MotionVQ, vq_loss

TINY = CodecConfig(width=8, latent=6, layers=3, codes=5, dropout=0.0)
PARTED = {"a": [0, 2, 5], "b": [4, 1], "c": [3]}


def seeded(n: int) -> torch.Generator:
    return torch.Generator().manual_seed(n)


def loaded(module: torch.nn.Module, golden, name: str) -> tuple:
    with np.load(golden / "syntalker_modules.npz", allow_pickle=False) as file:
        weights = {k: torch.from_numpy(file[k]) for k in file if k.startswith(f"{name}/w/")}
        x, y = (torch.from_numpy(file[f"{name}/{side}"]) for side in ("in", "out"))
    # released names: model.2.1.model.0.conv1.weight; here 2.1.0.conv1.weight
    state = {k.removeprefix(f"{name}/w/").replace("model.", ""): v for k, v in weights.items()}
    module.load_state_dict(state)
    return module.eval(), x, y


def test_encoder_gives_the_released_numbers(golden):
    encoder, x, y = loaded(Encoder(6, 16), golden, "vq_encoder_w16")
    with torch.no_grad():
        torch.testing.assert_close(encoder(x), y, atol=1e-5, rtol=1e-5)


def test_decoder_gives_the_released_numbers(golden):
    decoder, x, y = loaded(Decoder(6, 16), golden, "vq_decoder_w16")
    with torch.no_grad():  # the released one hands out (n, t, d)
        torch.testing.assert_close(decoder(x).transpose(1, 2), y, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("part", "millions"), [("upper", 19.11), ("hands", 19.73), ("lower", 18.96)]
)
def test_full_size_has_the_released_number_of_parameters(part, millions):
    with torch.device("meta"):
        model = MotionVQ(len(PARTS[part]), FULL)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 2) == millions
    assert sum(b.codes.numel() for b in model.quantizer.books) == 6 * 512 * 512


@pytest.mark.parametrize(("channels", "millions"), [(78, 18.87), (180, 19.18), (57, 18.80)])
def test_the_rotation_variant_has_the_released_number_of_parameters(channels, millions):
    with torch.device("meta"):
        model = MotionVQ(channels, FULL)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 2) == millions


def reach(module: torch.nn.Module, channels: int, t: int, at: int) -> int:
    """How many input frames the output at one place depends on, by gradient."""
    for parameter in module.parameters():
        torch.nn.init.uniform_(parameter, 0.1, 0.2, generator=seeded(0))  # nothing cancels
    x = torch.ones(1, channels, t, dtype=torch.float64, requires_grad=True)
    module.double()(x)[0, :, at].sum().backward()
    touched = x.grad.abs().sum((0, 1)).nonzero().flatten()
    return int(touched.max() - touched.min()) + 1


def test_one_latent_sees_176_frames():
    assert reach(Encoder(2, 2, dropout=0.0), 2, 400, 50) == 176


def test_one_frame_depends_on_about_44_latents():
    found = {reach(Decoder(2, 2, dropout=0.0), 2, 100, at) for at in range(200, 204)}
    assert found == {44, 45}  # by where in its latent the frame lies


def test_every_multiple_of_four_frames_comes_back_as_long_as_it_was():
    model = MotionVQ(6, TINY, seeded(0)).eval()
    for t in (4, 8, 64, 128):
        x = torch.randn(2, t, 6, generator=seeded(t))
        assert model.encode(x).shape == (2, t // 4, 6)
        assert model(x).motion.shape == x.shape


def test_forward_is_encoding_and_decoding():
    model = trained()
    x = torch.randn(2, 16, 6, generator=seeded(1))
    with torch.no_grad():
        whole = model(x)
        assert torch.equal(model.indices(x), whole.indices)
        torch.testing.assert_close(model.decode(model.encode(x)), whole.motion)
        torch.testing.assert_close(model.from_indices(whole.indices), whole.motion)
        cut = model(x, layers=2)
        torch.testing.assert_close(model.from_indices(whole.indices[..., :2]), cut.motion)
        assert not torch.equal(cut.motion, whole.motion)


def trained() -> MotionVQ:
    """A tiny VQ-VAE whose codebooks have begun."""
    model = MotionVQ(6, TINY, seeded(0)).train()
    for k in range(3):
        model(torch.randn(4, 16, 6, generator=seeded(10 + k)), generator=seeded(k))
    return model.eval()


def test_loss_is_smooth_l1_plus_two_percent_of_the_commitment():
    model = trained()
    x = 3 * torch.randn(2, 16, 6, generator=seeded(1))
    with torch.no_grad():
        coded = model(x)
    far = (coded.motion - x).abs()
    by_hand = torch.where(far < 1, 0.5 * far**2, far - 0.5).mean() + 0.02 * coded.commitment
    torch.testing.assert_close(vq_loss(coded, x), by_hand)


def test_a_few_steps_of_training_lower_the_loss():
    model = MotionVQ(6, TINY.model_copy(update={"quantise_dropout": 0.0}), seeded(0)).train()
    time = torch.arange(32) / 5
    x = torch.stack([torch.sin(time * k) for k in range(1, 7)], -1).expand(4, -1, -1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for k in range(60):
        loss = vq_loss(model(x, generator=seeded(k)), x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_first_weights_follow_the_generator_alone():
    state = torch.get_rng_state()
    a, b, c = (MotionVQ(6, TINY, seeded(k)) for k in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters()))
    assert not torch.equal(next(a.parameters()), next(c.parameters()))


def body(**options) -> BodyCodec:
    normaliser = Normaliser.fit([torch.randn(50, 6, generator=seeded(3)) * 2 + 5])
    codec = BodyCodec(PARTED, TINY, normaliser=normaliser, generator=seeded(0), **options).train()
    for k in range(2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(k)
            codec(torch.randn(4, 16, 6, generator=seeded(20 + k)) * 2 + 5)
    return codec.eval()


def test_splitting_and_joining_parts_is_lossless():
    codec = body()
    x = torch.randn(2, 8, 6, generator=seeded(4))
    split = codec.split(x)
    assert torch.equal(split["a"], x[..., [0, 2, 5]])
    assert torch.equal(codec.join(split), x)


def test_released_parts_share_out_all_623_channels():
    tiny = CodecConfig(width=2, latent=2, layers=1, codes=2)
    codec = BodyCodec(PARTS, tiny)
    assert codec.features == 623
    assert {name: len(index) for name, index in codec.parts.items()} == {
        "upper": 156,
        "hands": 360,
        "lower": 107,
    }
    assert codec.channels["hands"] == slice(2, 4)


def test_body_latents_are_those_of_the_parts_over_the_scale():
    codec = body(scale=4.0)
    x = torch.randn(2, 8, 6, generator=seeded(5)) + 5
    latents = codec.encode(x)
    z = codec.normaliser(x)
    for name, own in codec.channels.items():
        expected = codec.models[name].encode(z[..., codec.parts[name]]) / 4
        torch.testing.assert_close(latents[..., own], expected)
    coded = codec(x)
    expected = codec.normaliser.inverse(codec.join({k: v.motion for k, v in coded.items()}))
    torch.testing.assert_close(codec.decode(latents), expected)


def test_any_length_is_reconstructed_whole():
    codec = body()
    for t in (1, 5, 8, 63):
        x = torch.randn(1, t, 6, generator=seeded(t)) + 5
        assert codec.reconstruct(x).shape == x.shape


def test_windows_as_long_as_the_motion_change_nothing_and_short_ones_do():
    codec = body()
    latents = codec.encode(torch.randn(1, 64, 6, generator=seeded(6)) + 5)
    whole = codec.decode(latents)
    assert torch.equal(codec.decode(latents, window=16), whole)
    pieces = codec.decode(latents, window=4)
    assert pieces.shape == whole.shape
    assert not torch.allclose(pieces, whole, atol=1e-3)
    x = codec.decode(latents)
    assert not torch.allclose(codec.encode(x, window=16), codec.encode(x), atol=1e-3)


def test_calibration_gives_latents_unit_variance():
    codec = body()
    x = torch.randn(3, 16, 6, generator=seeded(7)) + 5
    scale = codec.calibrate(x)
    assert float(codec.encode(x).std(correction=0)) == pytest.approx(1, rel=1e-4)
    assert scale == float(codec.scale)


def test_state_holds_everything(tmp_path):
    codec, other = body(scale=3.0), BodyCodec(PARTED, TINY)
    other.load_state_dict(codec.state_dict())
    x = torch.randn(1, 16, 6, generator=seeded(8)) + 5
    assert torch.equal(other.eval().reconstruct(x), codec.reconstruct(x))
    assert torch.equal(other.encode(x), codec.encode(x))


def test_normaliser_gives_zero_mean_and_unit_deviation_and_comes_back():
    clips = [torch.randn(30, 4, generator=seeded(k)) * 3 + k for k in range(3)]
    clips[0][:, 3] = clips[1][:, 3] = clips[2][:, 3] = 2.0  # never moves
    normaliser = Normaliser.fit(clips)
    z = normaliser(torch.cat(clips))
    torch.testing.assert_close(z.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    expected = torch.tensor([1.0, 1.0, 1.0, 0.0])
    torch.testing.assert_close(z.std(0, correction=0), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(normaliser.inverse(z), torch.cat(clips))


def test_seams_of_a_motion_that_jumps_at_its_edges():
    t = torch.arange(40.0)
    steady = torch.stack([0.01 * t, 0 * t, 0 * t], -1)[:, None].repeat(1, 2, 1)
    jumping = steady + 0.5 * (t // 10)[:, None, None] * torch.tensor([0.0, 1.0, 0.0])
    found = seams(jumping, 10)
    assert found.elsewhere == pytest.approx(0.01, abs=1e-6)
    assert found.at == pytest.approx((0.5**2 + 0.01**2) ** 0.5, abs=1e-5)
    assert found.worst == pytest.approx(found.at, abs=1e-5)
    assert seams(steady, 10).at == pytest.approx(0.01, abs=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MotionVQ(6, TINY)(torch.zeros(1, 8, 5)), r"features are \(n, t, 6\)"),
        (lambda: MotionVQ(6, TINY)(torch.zeros(1, 6, 6)), "6 frames: give a multiple of 4"),
        (lambda: MotionVQ(6, TINY)(torch.zeros(1, 0, 6)), "0 frames"),
        (lambda: CodecConfig(layers=0), "layers"),
        (lambda: CodecConfig(depth=3), "depth"),
        (lambda: BodyCodec({}), "a body has parts"),
        (lambda: BodyCodec({"a": [0, 1], "b": [1]}, TINY), "exactly once"),
        (lambda: BodyCodec({"a": [0, 2]}, TINY), "exactly once"),
        (lambda: BodyCodec(PARTED, TINY, normaliser=Normaliser.empty(5)), "5 channels"),
        (lambda: BodyCodec(PARTED, TINY).encode(torch.full((1, 8, 6), torch.nan)), "NaN"),
        (lambda: BodyCodec(PARTED, TINY).decode(torch.zeros(1, 2, 17)), r"latents are \(n, t, 18"),
        (lambda: BodyCodec(PARTED, TINY).encode(torch.zeros(1, 8, 6), window=6), "window is 6"),
        (lambda: BodyCodec(PARTED, TINY).join({"a": torch.zeros(1, 3)}), "parts are a, b, c"),
        (lambda: BodyCodec(PARTED, TINY).split(torch.zeros(1, 7)), "got .1, 7."),
        (lambda: Normaliser(torch.zeros(2), torch.zeros(2)), "above 0"),
        (lambda: Normaliser(torch.zeros(2), torch.ones(3)), "must be"),
        (lambda: Normaliser.fit([]), "no frame"),
        (lambda: seams(torch.zeros(5, 1, 3), 5), "window is 5"),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
