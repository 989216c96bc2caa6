"""Windows of both corpora, the loss of stage 3, and its training."""

from __future__ import annotations

import pytest
import torch

from lithe.syntalker import h3d
from lithe.syntalker.codec import BodyCodec
from lithe.syntalker.conditions import Dropping
from lithe.syntalker.denoiser import DenoiserConfig
from lithe.syntalker.normaliser import Normaliser
from lithe.syntalker.space import AlignedSpace, SpaceConfig
from lithe.syntalker.speech_denoiser import SpeechDenoiser
from lithe.syntalker.spoken import BothCorpora, SpokenClip
from lithe.syntalker.stage3 import DiffusionStep, SharedEars, diffusion_recipe, train_denoiser
from lithe.syntalker.text import HashingEncoder
from lithe.syntalker.vocabulary import PAD
from lithe.syntalker.vqvae import CodecConfig
from lithe.training import CheckpointError

WINDOW = 32
NET = DenoiserConfig(
    latent=12, width=16, layers=1, heads=2, hidden=16, rotary=8, speech=4, prompt=8
)
TEXT = HashingEncoder(16)


def drawn(*size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


def talker(k: int, frames: int = 80) -> SpokenClip:
    samples = int(frames / 30 * 16000)
    sound = torch.arange(samples)[:, None].expand(-1, 2) + 1e5 * (k + 1)
    return SpokenClip(drawn(frames, 263, seed=k), sound, torch.arange(frames) + 4, (), f"t{k}")


def mover(k: int, frames: int = 60, captions: tuple[str, ...] = ()) -> SpokenClip:
    return SpokenClip(drawn(frames, 263, seed=50 + k), captions=captions, name=f"m{k}")


def corpora(**changed) -> BothCorpora:
    given = {"window": WINDOW, "stride": 16} | changed
    movers = [mover(0, captions=("a man walks", "he walks")), mover(1), mover(2, 20)]
    return BothCorpora([talker(0), talker(1, 50)], movers, **given)


def stages(unit: bool = True) -> tuple[BodyCodec, AlignedSpace]:
    generator = torch.Generator().manual_seed(1)
    norm = Normaliser(drawn(263), torch.full((263,), 2.0))
    size = CodecConfig(width=4, latent=6, layers=1, codes=4, dropout=0.0)
    codec = BodyCodec(h3d.parts(22), size, normaliser=norm, scale=1.0, generator=generator)
    config = SpaceConfig(width=8, layers=1, heads=2, feedforward=8, dropout=0.0, unit=unit)
    space = AlignedSpace(263, 16, config, normaliser=norm, generator=generator)
    return codec.eval(), space.eval()


def network(seed: int = 2) -> SpeechDenoiser:
    return SpeechDenoiser(NET, 100, 4, generator=torch.Generator().manual_seed(seed))


def step(data: BothCorpora, **changed) -> DiffusionStep:
    return DiffusionStep(data, *stages(), **changed)


class Spy(torch.nn.Module):
    """Remembers what it was asked and returns half the state."""

    def __init__(self) -> None:
        super().__init__()
        self.network = network()

    def forward(self, *asked):
        self.asked = asked
        return asked[0] / 2


def test_windows_of_speech_are_a_stride_apart_and_silent_clips_count_once():
    data = corpora()
    # talkers: 80 frames give 0, 16, 32, 48; 50 frames give 0, 16; the mover of 20 is too short
    assert data.windows.tolist() == [
        [0, 0],
        [0, 16],
        [0, 32],
        [0, 48],
        [1, 0],
        [1, 16],
        [2, 0],
        [3, 0],
    ]
    assert len(data) == 8
    assert float(data.weights[6:].sum() / data.weights.sum()) == pytest.approx(1 / 3)
    x, y = data.batch(torch.tensor([1, 6]))
    assert torch.equal(x[0], data.clips[0].features[16:48])
    assert y.tolist() == [[0, 16, 0], [2, 0, 0]]


def test_training_draws_a_third_in_silence_and_half_of_it_from_rest():
    data = corpora(from_start=0.5)
    x, y = data.batch(torch.zeros(6000).long(), torch.Generator().manual_seed(0), True)
    silent = y[:, 0] >= data.spoken
    assert abs(float(silent.double().mean()) - 1 / 3) < 5 * (2 / 9 / 6000) ** 0.5
    rest = (y[silent][:, 1] == 0).double().mean()
    assert 0.5 < float(rest) < 0.6  # and one in 29 of the others
    captions = y[y[:, 0] == 2][:, 2]
    assert set(captions.tolist()) == {0, 1}
    clip, start, _ = y[17].tolist()
    assert torch.equal(x[17], data.clips[clip].features[start : start + WINDOW])


def test_a_part_of_a_batch_is_what_the_whole_has_there():
    data, wanted = corpora(), torch.arange(8)
    whole = data.batch(wanted, torch.Generator().manual_seed(3), True)
    part = data.batch(wanted, torch.Generator().manual_seed(3), True, slice(2, 5))
    assert all(torch.equal(a[2:5], b) for a, b in zip(whole, part))


def test_speech_belongs_to_its_window_and_movers_hear_nothing():
    data = corpora()
    sound, words = data.heard(torch.tensor([[0, 16, 0], [2, 5, 0]]))
    assert sound.shape == (2, int(WINDOW / 30 * 16000), 2)
    assert float(sound[0, 0, 0]) == int(16 / 30 * 16000) + 1e5
    assert words[0].tolist() == list(range(20, 52))
    assert not sound[1].any()
    assert (words[1] == PAD).all()


def test_the_step_tells_the_network_latents_places_and_speech():
    data = corpora()
    codec, space = stages()
    one, spy = DiffusionStep(data, codec, space, dropping=Dropping(prompt=0.0)), Spy()
    x, y = data.batch(torch.tensor([0, 6]))
    torch.manual_seed(0)
    loss, estimate = one(spy, x, y)
    _, _, sound, _, seed, prompt, unprompted = spy.asked
    latents = codec.encode(x)
    assert torch.equal(seed, latents[:, :4])
    assert torch.equal(prompt, space.embed_motion(x))
    torch.testing.assert_close(prompt.norm(dim=1), torch.full((2,), 8**0.5))
    assert sound[0].any()
    assert not sound[1].any()
    assert not unprompted.any()
    assert estimate.shape == latents.shape
    assert loss.ndim == 0


def test_speech_normalised_twice_gets_another_pseudo_prompt():
    data, spy = corpora(), Spy()
    x, y = data.batch(torch.tensor([0, 6]))
    told = []
    for twice in (False, True):
        one = step(data, twice=twice)
        one(spy, x, y)
        told.append(spy.asked[5])
    assert not torch.allclose(told[0][0], told[1][0])
    assert torch.equal(told[0][1], told[1][1])


def test_text_prompts_are_captions_and_null_where_there_is_none():
    data, spy = corpora(), Spy()
    with torch.no_grad():
        spy.network.denoiser.null.fill_(7.0)
    one = step(data, prompts="text", text=TEXT)
    x, y = data.batch(torch.tensor([0, 6, 6, 7]))
    y[2, 2] = 1
    one(spy, x, y)
    prompt = spy.asked[5]
    said = TEXT(["a man walks", "he walks"])
    places = one.space.embed_text(said.words, said.spoken)
    assert torch.equal(prompt[[1, 2]], places)
    assert (prompt[[0, 3]] == 7).all()


def test_shared_ears_hear_as_each_alone_does_and_draws_differ():
    net, data = network().eval(), corpora()
    x, y = data.batch(torch.tensor([0, 3, 6]))
    one, spy = step(data, draws=2), Spy()
    one(spy, x, y)
    x_t, t, sound, words, seed, prompt, _ = spy.asked
    assert len(x_t) == 6
    assert torch.equal(seed[0], seed[1])
    assert not torch.equal(x_t[0], x_t[1])
    shared = SharedEars(net, 2)(x_t, t, sound, words, seed, prompt)
    torch.testing.assert_close(shared, net(x_t, t, sound, words, seed, prompt))


def recipe(epochs: int, **changed):
    return diffusion_recipe(epochs, batch_size=4, lr=3e-3, ema_decay=0.8, **changed)


def test_training_lowers_the_loss_and_leaves_the_frozen_stages_alone(tmp_path):
    data, net = corpora(), network()
    one = step(data, draws=4)
    before = [x.clone() for x in (*one.codec.state_dict().values(), *one.space.parameters())]
    history = train_denoiser(net, data, one, recipe(12), progress=False)
    losses = history["train_loss"]
    assert sum(losses[-3:]) < 0.85 * sum(losses[:3])
    after = [*one.codec.state_dict().values(), *one.space.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after))
    averaged = history.ema.network
    assert not torch.equal(averaged.denoiser.out.weight, net.denoiser.out.weight)


def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path):
    data = corpora()
    whole, part = network(), network()
    train_denoiser(whole, data, step(data), recipe(2), directory=tmp_path / "a", progress=False)

    class Stopped(Exception):
        pass

    class Stopping(DiffusionStep):
        calls = 0

        def __call__(self, *given):
            Stopping.calls += 1
            if Stopping.calls == 4:  # in the second epoch
                raise Stopped
            return super().__call__(*given)

    stopping = Stopping(data, *stages())
    with pytest.raises(Stopped):
        train_denoiser(part, data, stopping, recipe(2), directory=tmp_path / "b", progress=False)
    again = network(9)
    train_denoiser(again, data, step(data), recipe(2), directory=tmp_path / "b", progress=False)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    other = step(data, prompts="none")
    with pytest.raises(CheckpointError, match="objective"):
        train_denoiser(again, data, other, recipe(2), directory=tmp_path / "b", progress=False)


def test_speech_is_dropped_for_all_rows_of_a_window():
    data, spy = corpora(), Spy()
    one = step(data, draws=3, dropping=Dropping(speech=0.5))
    x, y = data.batch(torch.zeros(40, dtype=torch.long))
    torch.manual_seed(0)
    one(spy, x, y)
    sound, words = spy.asked[2], spy.asked[3]
    silent = (sound == 0).flatten(1).all(1).view(40, 3)
    assert torch.equal(silent.any(1), silent.all(1))
    assert 8 < int(silent[:, 0].sum()) < 32
    assert bool((words.view(40, 3, -1)[silent] == PAD).all())


def test_the_released_recipe():
    chosen = diffusion_recipe(600)
    assert (chosen.lr, chosen.betas, chosen.batch_size) == (5e-5, (0.5, 0.999), 200)
    assert (chosen.clip_norm, chosen.weight_decay) == (0.99, 0.0)
    assert (chosen.milestones, chosen.gamma) == ((200, 400), 0.1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: corpora(window=30), "window = 30"),
        (lambda: corpora(window=100), "no clip of speech"),
        (lambda: corpora(from_start=1.5), "from_start = 1.5"),
        (lambda: BothCorpora([mover(0)]), "has no sound"),
        (lambda: SpokenClip(drawn(9, 3), drawn(9, 2)), "come together"),
        (lambda: SpokenClip(drawn(9, 3), drawn(9, 2), torch.zeros(4)), "4 words for 9"),
        (lambda: SpokenClip(torch.full((9, 3), torch.nan)), "finite"),
        (lambda: step(corpora(), prompts="text"), "needs the language model"),
        (
            lambda: train_denoiser(network(), corpora(), step(corpora(), seed=2), recipe(1)),
            "seed of 4.*give 12, 2",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
