"""The residual quantiser against released numbers, a brute-force twin, and its own promises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lithe.syntalker.codebook import Codebook, perplexity, usage
from lithe.syntalker.quantizer import ResidualQuantizer


@pytest.fixture(scope="module")
def numbers(golden) -> dict[str, np.ndarray]:
    with np.load(golden / "syntalker_rvq.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file}


@pytest.fixture
def released(numbers) -> tuple[ResidualQuantizer, torch.Tensor]:
    quantizer = ResidualQuantizer(3, 4, 3, temperature=0)
    quantizer.set_codebooks(torch.from_numpy(numbers["codebooks"]))
    return quantizer.eval(), torch.from_numpy(numbers["x"])


def fresh(layers: int = 3, codes: int = 8, dim: int = 4, **options) -> ResidualQuantizer:
    quantizer = ResidualQuantizer(layers, codes, dim, **options)
    generator = torch.Generator().manual_seed(0)
    return quantizer.set_codebooks(torch.randn(layers, codes, dim, generator=generator))


def test_evaluation_gives_the_released_numbers(released, numbers):
    quantizer, x = released
    found = quantizer(x)
    assert np.array_equal(found.indices, numbers["indices"])
    np.testing.assert_allclose(found.output, numbers["quantized"], atol=1e-5)
    np.testing.assert_allclose(found.commitment, numbers["commit_loss"], atol=1e-5)
    np.testing.assert_allclose(found.perplexity, numbers["perplexity"], atol=1e-5)
    np.testing.assert_allclose(found.codes, numbers["per_layer_codes"], atol=1e-5)


def test_one_layer_gives_the_released_numbers_of_dropout(released, numbers):
    quantizer, x = released
    found = quantizer(x, layers=1)
    assert np.array_equal(found.indices, numbers["dropout0_indices"])
    np.testing.assert_allclose(found.output, numbers["dropout0_quantized"], atol=1e-5)
    np.testing.assert_allclose(found.commitment, numbers["dropout0_commit_loss"], atol=1e-5)
    assert not found.codes[1:].any()


def test_decoding_gives_the_released_numbers(released, numbers):
    quantizer, _ = released
    decoded = quantizer.decode(torch.from_numpy(numbers["indices"]))
    np.testing.assert_allclose(decoded, numbers["decoded_from_indices"], atol=1e-6)


def test_gradient_counts_the_layers_as_released(released, numbers):
    quantizer, x = released
    x = x.clone().requires_grad_()
    quantizer(x).output.sum().backward()
    np.testing.assert_allclose(x.grad, numbers["ste_grad_of_sum"], atol=1e-6)


def test_gradient_passes_once_when_asked():
    quantizer = fresh(straight_through="once").eval()
    x = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(1), requires_grad=True)
    found = quantizer(x)
    found.output.sum().backward()
    torch.testing.assert_close(x.grad, torch.ones_like(x))
    torch.testing.assert_close(found.output.detach(), quantizer.decode(found.indices))


def test_two_steps_of_learning_give_the_released_numbers(numbers):
    quantizer = ResidualQuantizer(1, 4, 3, temperature=0, dropout=0).train()
    book = quantizer.books[0]
    for step in ("1", "2"):
        found = quantizer(torch.from_numpy(numbers[f"ema_x{step}"]))
        assert np.array_equal(found.indices[..., 0], numbers[f"ema_idx{step}"])
        for value, name in (
            (found.output, "quantized"),
            (found.commitment, "commit"),
            (found.perplexity, "ppl"),
            (book.codes, "codebook"),
            (book.sums, "code_sum"),
            (book.counts, "code_count"),
        ):
            np.testing.assert_allclose(value, numbers[f"ema_{name}{step}"], atol=1e-5, err_msg=name)
    assert book.resets == 0


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    layers=st.integers(1, 4),
    codes=st.integers(1, 9),
    dim=st.integers(1, 5),
    n=st.integers(1, 3),
    t=st.integers(1, 6),
)
def test_encoding_is_that_of_the_brute_force_twin(seed, layers, codes, dim, n, t):
    generator = torch.Generator().manual_seed(seed)
    quantizer = ResidualQuantizer(layers, codes, dim).eval()
    quantizer.set_codebooks(torch.randn(layers, codes, dim, generator=generator))
    x = torch.randn(n, dim, t, generator=generator)
    total, chosen = quantizer.project(x)
    for k in range(n):
        for frame in range(t):
            residual = x[k, :, frame].double()
            for layer, book in enumerate(quantizer.codebooks.double()):
                distance = (book - residual).square().sum(1)
                picked = int(chosen[k, frame, layer])
                assert distance[picked] <= distance.min() + 1e-5
                residual = residual - book[picked]
            expected = x[k, :, frame].double() - residual
            torch.testing.assert_close(total[k, :, frame].double(), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(quantizer.decode(chosen), total)


def test_more_layers_never_hurt_when_zero_is_a_code():
    quantizer = fresh(4, 16, 4).eval()
    codes = quantizer.codebooks
    codes[:, 0] = 0
    quantizer.set_codebooks(codes)
    x = torch.randn(3, 4, 40, generator=torch.Generator().manual_seed(2))
    errors = [float((quantizer.project(x, k)[0] - x).square().mean()) for k in (1, 2, 3, 4)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.8 * errors[0]


def test_the_input_is_not_written_to(released):
    quantizer, x = released
    before = x.clone()
    quantizer.encode(x)
    quantizer.project(x)
    quantizer(x)
    quantizer.train()(x)
    assert torch.equal(x, before)


def test_evaluation_does_not_learn(released):
    quantizer, x = released
    before = {name: tensor.clone() for name, tensor in quantizer.state_dict().items()}
    quantizer(x + 3)
    assert all(torch.equal(before[name], now) for name, now in quantizer.state_dict().items())


def test_unused_codes_are_replaced_by_vectors_of_the_batch_and_counted():
    book = Codebook(4, 2)
    x = torch.tensor([[1.0, 0.0], [1.1, 0.0]])
    book.start(torch.tensor([[1.0, 0.0], [9.0, 9.0], [8.0, 8.0], [7.0, 7.0]]))
    sums = book.sums.clone()
    book.learn(x, torch.tensor([0, 0]), torch.Generator().manual_seed(0))
    assert book.resets == 3
    jitter = 6 * 0.01 / 2**0.5
    for code in book.codes[1:]:
        assert (code - x).abs().amax(1).min() <= jitter
    # only the code is replaced, its running sum and count are kept
    torch.testing.assert_close(book.sums[1:], 0.99 * sums[1:])
    torch.testing.assert_close(book.counts, torch.tensor([1.01, 0.99, 0.99, 0.99]))


def test_codes_drawn_far_below_the_gaps_are_the_nearest_and_at_high_temperature_any():
    book = Codebook(4, 1)
    book.codes.copy_(torch.tensor([[0.0], [1.0], [2.0], [3.0]]))
    x = torch.full((4000, 1), 1.1)
    generator = torch.Generator().manual_seed(3)
    assert torch.equal(book.drawn(x, 0), book.nearest(x))
    assert (book.drawn(x, 1e-3, generator) == 1).all()
    share = torch.bincount(book.drawn(x, 0.5, generator), minlength=4) / len(x)
    # softmax of -distance^2 / tau
    expected = torch.softmax(-((x[0, 0] - book.codes[:, 0]) ** 2) / 0.5, 0)
    torch.testing.assert_close(share, expected, atol=0.03, rtol=0)


def test_dropout_keeps_one_to_all_layers_as_often_as_it_says():
    quantizer = fresh(3, 4, 2, dropout=0.5, temperature=0).train()
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(1, 2, 4, generator=generator)
    kept = [int((quantizer(x, generator=generator).indices[0, 0] >= 0).sum()) for _ in range(600)]
    share = np.bincount(kept, minlength=4)[1:] / 600
    np.testing.assert_allclose(share, [1 / 6, 1 / 6, 2 / 3], atol=0.06)


def test_a_generator_decides_everything():
    x = torch.randn(2, 4, 9, generator=torch.Generator().manual_seed(5))
    runs = []
    for _ in range(2):
        torch.rand(1)  # the global state differs, the results do not
        quantizer = fresh(dropout=0.5).train()
        generator = torch.Generator().manual_seed(6)
        outputs = [quantizer(x, generator=generator).indices for _ in range(5)]
        runs.append((outputs, quantizer.state_dict()))
    assert all(torch.equal(a, b) for a, b in zip(runs[0][0], runs[1][0]))
    assert all(torch.equal(runs[0][1][key], runs[1][1][key]) for key in runs[0][1])


def test_saved_and_loaded_it_learns_on_as_if_never_stopped():
    generator = torch.Generator().manual_seed(7)
    batches = torch.randn(6, 2, 4, 9, generator=generator)
    straight = ResidualQuantizer(2, 8, 4)
    resumed = ResidualQuantizer(2, 8, 4)
    for k, batch in enumerate(batches):
        straight.train()(batch, generator=torch.Generator().manual_seed(k))
        if k == 3:
            other = ResidualQuantizer(2, 8, 4)
            other.load_state_dict(resumed.state_dict())
            resumed = other
        resumed.train()(batch, generator=torch.Generator().manual_seed(k))
    for key, tensor in straight.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[key]), key
    assert straight.books[0].started == 1


def test_autocast_does_not_change_the_codes(released):
    quantizer, x = released
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(quantizer.encode(x), quantizer.encode(x.clone()))
        inside = quantizer.encode(x)
    assert torch.equal(inside, quantizer.encode(x))


def test_usage_of_known_shares():
    assert usage(torch.tensor([0, 1, 2, 3, -1, -1]), 4) == pytest.approx((4.0, 0), abs=1e-5)
    assert usage(torch.tensor([2, 2, 2]), 4) == pytest.approx((1.0, 3), abs=1e-5)
    assert float(perplexity(torch.tensor([1.0, 1.0, 0.0]))) == pytest.approx(2, abs=1e-5)
    with pytest.raises(ValueError, match="no vector was assigned"):
        usage(torch.tensor([-1]), 4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ResidualQuantizer(0, 4, 3), "layers is 0"),
        (lambda: ResidualQuantizer(1, 0, 3), "size=0"),
        (lambda: ResidualQuantizer(1, 4, 3, decay=1.0), "decay is 1.0"),
        (lambda: ResidualQuantizer(1, 4, 3, temperature=-1), "temperature is -1"),
        (lambda: ResidualQuantizer(1, 4, 3, temperature=float("nan")), "temperature is nan"),
        (lambda: ResidualQuantizer(1, 4, 3, dropout=1.5), "dropout is 1.5"),
        (lambda: ResidualQuantizer(1, 4, 3, straight_through="x"), "straight_through is 'x'"),
        (lambda: fresh()(torch.zeros(2, 5, 3)), r"vectors are \(n, 4, t\)"),
        (lambda: fresh()(torch.zeros(2, 4, 0)), "none empty"),
        (lambda: fresh()(torch.zeros(2, 4, 3), layers=4), "layers is 4"),
        (lambda: fresh().decode(torch.full((1, 1, 3), 8)), "indices run from -1"),
        (lambda: fresh().decode(torch.zeros(1, 1, 4, dtype=torch.long)), "give .n, t, layers."),
        (lambda: fresh().set_codebooks(torch.zeros(3, 8, 5)), "codebooks are"),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_two_processes_keep_one_codebook(tmp_path):
    script = Path(__file__).with_name("two_processes.py")
    command = [sys.executable, str(script), str(tmp_path / "meeting")]
    subprocess.run(command, timeout=300, check=True)
    hashes = [(tmp_path / f"meeting-{rank}").read_text() for rank in (0, 1)]
    assert hashes[0] == hashes[1]
