"""The aligned space: released numbers, sizes, padding, losses, retrieval."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lithe.syntalker.losses import cosine, false_negatives, gaussian_kl, info_nce
from lithe.syntalker.normaliser import Normaliser
from lithe.syntalker.retrieval import ranks, recall
from lithe.syntalker.space import SPACE_FULL, AlignedSpace, SpaceConfig, SpaceLoss
from lithe.syntalker.tmr import Gaussian, MotionDecoder, SequenceEncoder, sinusoids

TINY = SpaceConfig(width=16, layers=2, feedforward=32, dropout=0.0)


def seeded(n: int) -> torch.Generator:
    return torch.Generator().manual_seed(n)


@pytest.fixture(scope="module")
def numbers(golden) -> dict[str, torch.Tensor]:
    with np.load(golden / "syntalker_tmr_losses.npz", allow_pickle=False) as file:
        return {name: torch.from_numpy(np.asarray(file[name])) for name in file}


def test_info_nce_gives_the_released_numbers(numbers):
    motion, text = numbers["emb_motion"], numbers["emb_text"]
    plain = info_nce(motion, text, 0.1)
    torch.testing.assert_close(plain, numbers["infonce_nofilter"], atol=1e-6, rtol=1e-5)
    ignored = false_negatives(numbers["sbert_sim"], 0.85, released=True)
    filtered = info_nce(motion, text, 0.1, ignored)
    torch.testing.assert_close(filtered, numbers["infonce_filter"], atol=1e-6, rtol=1e-5)


def test_released_filter_keeps_duplicates_and_the_corrected_one_does_not(numbers):
    released = false_negatives(numbers["sbert_sim"], released=True)
    corrected = false_negatives(numbers["sbert_sim"])
    assert released.nonzero().tolist() == [[1, 3], [3, 1]]
    assert corrected.nonzero().tolist() == [[0, 5], [1, 3], [3, 1], [5, 0]]


def test_kl_gives_the_released_numbers(numbers):
    p, q = (Gaussian(numbers[f"mu{k}"], numbers[f"logvar{k}"]) for k in (1, 2))
    torch.testing.assert_close(gaussian_kl(p, q), numbers["kl_1_to_2_mean"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(gaussian_kl(q, p), numbers["kl_2_to_1_mean"], atol=1e-5, rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_kl_is_that_of_torch(seed):
    draw = torch.randn(4, 3, 5, generator=seeded(seed))
    p, q = Gaussian(draw[0], draw[1]), Gaussian(draw[2], draw[3])
    normals = [torch.distributions.Normal(one.mean, one.std) for one in (p, q)]
    expected = torch.distributions.kl_divergence(*normals).mean()
    torch.testing.assert_close(gaussian_kl(p, q), expected)
    assert gaussian_kl(p, p).abs() < 1e-6


def test_info_nce_by_hand():
    motion = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    text = torch.tensor([[2.0, 0.0], [3.0, 4.0]])
    # cosine: [[1, 0.6], [0, 0.8]]
    e = [[math.exp(10 * c) for c in row] for row in ((1.0, 0.6), (0.0, 0.8))]
    rows = [-math.log(e[k][k] / sum(e[k])) for k in (0, 1)]
    columns = [-math.log(e[k][k] / (e[0][k] + e[1][k])) for k in (0, 1)]
    expected = (sum(rows) + sum(columns)) / 4
    assert info_nce(motion, text, 0.1).item() == pytest.approx(expected, rel=1e-5)
    everything = ~torch.eye(2, dtype=torch.bool)
    assert info_nce(motion, text, 0.1, everything).item() == pytest.approx(0, abs=1e-6)


def loaded_encoder(golden) -> tuple[SequenceEncoder, dict[str, torch.Tensor]]:
    name = "tmr_motion_encoder_d16"
    with np.load(golden / "syntalker_modules.npz", allow_pickle=False) as file:
        kept = {k.removeprefix(f"{name}/"): torch.from_numpy(file[k]) for k in file if name in k}
    encoder = SequenceEncoder(5, 16, layers=2, feedforward=32).eval()
    names = {
        "w/mu_token": "mean_token",
        "w/logvar_token": "logvar_token",
        "w/skel_embedding": "embed",
        "w/seqTransEncoder": "transformer",
    }
    state = {
        ours + key.removeprefix(theirs): value
        for key, value in kept.items()
        for theirs, ours in names.items()
        if key.startswith(theirs)
    }
    encoder.load_state_dict(state)
    return encoder, kept


def test_motion_encoder_gives_the_released_numbers(golden):
    encoder, kept = loaded_encoder(golden)
    with torch.no_grad():
        found = encoder(kept["in"], torch.ones(2, 9, dtype=torch.bool))
    torch.testing.assert_close(found.mean, kept["out"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.std, kept["out_scale"], atol=1e-5, rtol=1e-5)
    table = kept["w/sequence_pos_encoding.pe"][:, 0]
    # angles up to 5000 in float32: the last digits of the angle are those of the machine
    torch.testing.assert_close(sinusoids(5000, 16), table, atol=1e-3, rtol=0)
    torch.testing.assert_close(sinusoids(300, 16), table[:300], atol=5e-5, rtol=0)


def test_full_size_has_the_released_number_of_parameters():
    with torch.device("meta"):
        space = AlignedSpace.__new__(AlignedSpace)
        torch.nn.Module.__init__(space)
        parts = (
            (SequenceEncoder(623, 256), 3.32),
            (SequenceEncoder(768, 256, activate=True), 3.36),
            (MotionDecoder(623, 256), 4.37),
        )
    for module, millions in parts:
        assert round(sum(p.numel() for p in module.parameters()) / 1e6, 2) == millions
    assert SPACE_FULL.width == 256


@pytest.fixture(scope="module")
def space() -> AlignedSpace:
    normaliser = Normaliser(torch.arange(7.0), torch.arange(1.0, 8.0))
    return AlignedSpace(7, 12, TINY, normaliser=normaliser, generator=seeded(0)).eval()


def batch(n: int = 3, t: int = 12, s: int = 5) -> tuple[torch.Tensor, ...]:
    features = torch.randn(n, t, 7, generator=seeded(1))
    words = torch.randn(n, s, 12, generator=seeded(2))
    lengths = torch.tensor([12, 8, 4])[:n]
    spoken = torch.arange(s) < torch.tensor([5, 3, 1])[:n, None]
    return features, lengths, words, spoken


def test_padding_changes_nothing(space):
    features, lengths, words, spoken = batch()
    moved = space.embed_motion(features, lengths)
    said = space.embed_text(words, spoken)
    for k in range(3):
        alone = space.embed_motion(features[k : k + 1, : lengths[k]])
        torch.testing.assert_close(alone[0], moved[k], atol=1e-5, rtol=1e-4)
        s = int(spoken[k].sum())
        alone = space.embed_text(words[k : k + 1, :s], spoken[k : k + 1, :s])
        torch.testing.assert_close(alone[0], said[k], atol=1e-5, rtol=1e-4)


def test_decoded_padding_is_zero_and_lengths_are_kept(space):
    passed = space(*batch())
    for decoded in (passed.from_motion, passed.from_text, passed.wanted):
        assert decoded.shape == (3, 12, 7)
        assert not decoded[1, 8:].any()
        assert decoded[1, :8].any()
    assert space.decode(passed.z_motion, 20).shape == (3, 20, 7)


def test_motion_is_normalised_once(space):
    features, lengths, *_ = batch()
    valid = torch.arange(12) < lengths[:, None]
    expected = (features - torch.arange(7.0)) / torch.arange(1.0, 8.0) * valid[..., None]
    torch.testing.assert_close(space(*batch()).wanted, expected)


def test_unit_embeddings_keep_direction_and_have_length_sqrt_width(space):
    features, lengths, words, spoken = batch()
    plain, unit = (space.embed_motion(features, lengths, unit=u) for u in (False, True))
    torch.testing.assert_close(unit.norm(dim=1), torch.full((3,), 4.0))
    torch.testing.assert_close(cosine(plain, unit).diagonal(), torch.ones(3))
    same = AlignedSpace(7, 12, TINY.model_copy(update={"unit": True}), generator=seeded(0)).eval()
    same.load_state_dict(space.state_dict())
    torch.testing.assert_close(same.embed_motion(features, lengths), unit)
    assert torch.equal(space.embed_text(words, spoken, unit=False), space.embed_text(words, spoken))


def test_a_generator_decides_the_draws(space):
    one, two, other = (space(*batch(), generator=seeded(k)) for k in (5, 5, 6))
    assert torch.equal(one.z_text, two.z_text)
    assert not torch.equal(one.z_text, other.z_text)
    assert torch.equal(one.text.mean, other.text.mean)


def test_total_is_the_weighted_sum_of_the_terms(space):
    passed = space(*batch(), generator=seeded(5))
    sentences = torch.nn.functional.normalize(torch.randn(3, 4, generator=seeded(6)), dim=1)
    loss = SpaceLoss()
    terms = loss.terms(passed, sentences)
    expected = terms["reconstruction"] + 1e-5 * (terms["kl"] + terms["latent"])
    torch.testing.assert_close(loss.total(passed, sentences), expected + 0.1 * terms["contrast"])
    alone = SpaceLoss(reconstruction=0, kl=0, latent=0, contrast=1, filter="none").total(passed)
    torch.testing.assert_close(alone, info_nce(passed.motion.mean, passed.text.mean))


def test_filters_differ_on_identical_captions(space):
    passed = space(*batch(), generator=seeded(5))
    sentences = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    found = {
        name: SpaceLoss(filter=name).terms(passed, sentences)["contrast"].item()
        for name in ("corrected", "released", "none")
    }
    assert found["released"] == pytest.approx(found["none"], rel=1e-6)
    assert found["corrected"] < found["none"] - 1e-4


def test_gradients_reach_every_parameter():
    space = AlignedSpace(7, 12, TINY, generator=seeded(0)).train()
    sentences = torch.nn.functional.normalize(torch.randn(3, 4, generator=seeded(6)), dim=1)
    SpaceLoss().total(space(*batch(), generator=seeded(5)), sentences).backward()
    # a decoder with one item in its memory attends to it whatever query and key say
    idle = {name for name, p in space.named_parameters() if p.grad is None or not p.grad.any()}
    assert all("multihead_attn.in_proj" not in name for name in idle), idle
    assert not idle


def test_layers_of_a_stack_begin_with_weights_of_their_own():
    encoder = AlignedSpace(7, 12, TINY, generator=seeded(0)).motion_encoder
    first, second = (layer.linear1.weight for layer in encoder.transformer.layers)
    assert not torch.equal(first, second)


def test_ranks_by_hand():
    similarity = torch.tensor([[0.9, 0.1, 0.5], [0.8, 0.2, 0.3], [0.4, 0.4, 0.4]])
    assert ranks(similarity).tolist() == [1, 3, 3]  # the tie counts against the query
    relevant = torch.tensor([[1, 0, 1], [0, 1, 1], [1, 1, 1]], dtype=torch.bool)
    assert ranks(similarity, relevant).tolist() == [1, 2, 1]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 8), m=st.integers(1, 8))
def test_ranks_are_those_of_sorting(seed, n, m):
    generator = seeded(seed)
    similarity = torch.randint(0, 4, (n, m), generator=generator).double()
    relevant = torch.rand(n, m, generator=generator) < 0.4
    relevant[torch.arange(n), torch.randint(m, (n,), generator=generator)] = True
    for k, found in enumerate(ranks(similarity, relevant).tolist()):
        order = sorted(range(m), key=lambda i: (-similarity[k, i], bool(relevant[k, i])))
        assert found == 1 + next(p for p, i in enumerate(order) if relevant[k, i])


def test_recall_of_a_perfect_a_broken_and_a_blind_space():
    rows = torch.eye(12)
    perfect = recall(3 * rows, rows)
    assert perfect["text_to_motion_r1"] == perfect["motion_to_text_r1"] == 1
    assert perfect["text_to_motion_median_rank"] == 1
    broken = recall(rows, rows.roll(1, 0))
    assert broken["text_to_motion_r1"] == 0
    blind = recall(torch.ones(12, 4), torch.ones(12, 4))
    assert blind["text_to_motion_r10"] == 0
    assert blind["motion_to_text_median_rank"] == 12


def test_released_retrieval_numbers_by_distance(golden):
    with np.load(golden / "syntalker_frechet_retrieval.npz", allow_pickle=False) as file:
        text, motion = (torch.from_numpy(file[f"{k}_emb"]) for k in ("text", "motion"))
        expected = file["r_precision_top123"]
    found = ranks(-torch.cdist(text, motion))
    np.testing.assert_allclose([(found <= k).double().mean() for k in (1, 2, 3)], expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda s: SpaceConfig(width=10, heads=4), "divide into 4 heads"),
        (lambda s: SpaceConfig(depth=1), "depth"),
        (lambda s: SpaceLoss(temperature=0), "temperature"),
        (lambda s: SpaceLoss(filter="some"), "filter"),
        (lambda s: SpaceLoss().terms(s(*batch())), "give their sentences"),
        (lambda s: s.embed_motion(torch.zeros(1, 4, 6)), r"features are \(n, t, 7\)"),
        (lambda s: s.embed_motion(torch.zeros(0, 4, 7)), r"got \(0, 4, 7\)"),
        (lambda s: s.embed_motion(torch.full((1, 4, 7), torch.inf)), "NaN or infinity"),
        (lambda s: s.embed_motion(torch.zeros(1, 4, 7), torch.tensor([5])), "from 1 to 4"),
        (lambda s: s.embed_text(torch.zeros(1, 4, 3), torch.ones(1, 4) > 0), "12"),
        (lambda s: s.embed_text(torch.zeros(1, 4, 12), torch.zeros(1, 4) > 0), "no word"),
        (lambda s: AlignedSpace(7, 12, TINY, normaliser=Normaliser.empty(3)), "3 channels"),
        (lambda s: info_nce(torch.zeros(2, 3), torch.zeros(3, 3)), "alike"),
        (lambda s: info_nce(torch.ones(2, 3), torch.ones(2, 3), 0.0), "temperature is 0"),
        (lambda s: false_negatives(torch.zeros(2, 3)), r"\(n, n\)"),
        (lambda s: sinusoids(4, 3), "width is 3"),
        (lambda s: ranks(torch.zeros(2, 3), torch.zeros(2, 3) > 0), "no relevant item"),
        (lambda s: ranks(torch.full((2, 2), torch.nan)), "without NaN"),
        (lambda s: recall(torch.zeros(2, 3), torch.ones(2, 3)), "no direction"),
    ],
)
def test_bad_input_is_refused(make, message, space):
    with pytest.raises(ValueError, match=message):
        make(space)
