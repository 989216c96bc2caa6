"""Edge tables: the released ones, empty bins, files, held-out images."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lithe import arm


@pytest.fixture(scope="module")
def released(golden):
    return np.load(golden / "arm_lut_official.npz")


@pytest.mark.parametrize("bins", [5, 10, 30, 60])
def test_tables_of_few_patches_are_the_released_ones(golden, bins):
    small = np.load(golden / "arm_lut_build_small.npz")
    table = arm.EdgeTable.build(small["scores"], small["psnr"], bins, empty="released")
    assert np.array_equal(table.edges, small[f"edges_K{bins}"])
    assert np.allclose(table.centres, small[f"centres_K{bins}"], rtol=0, atol=1e-12)
    assert np.array_equal(table.counts, small[f"count_K{bins}"])
    assert np.allclose(table.values[0], small[f"mean_K{bins}"], rtol=0, atol=1e-10, equal_nan=True)
    assert np.array_equal(table.bin_of(small["queries"]), small[f"query_index_K{bins}"])
    predicted = table.predict(small["queries"])[:, 0]
    assert np.allclose(predicted, small[f"query_pred_K{bins}"], atol=1e-10, equal_nan=True)


def test_the_released_table_is_rebuilt_from_the_released_log(released):
    table = arm.EdgeTable.build(released["bilinear_log_scores"], released["bilinear_log_psnr"])
    for name in ("fsrcnn", "carn"):
        official, costs = arm.official_table(released, name)
        assert np.allclose(table.edges, official.edges, rtol=0, atol=1e-12)
        assert np.allclose(table.centres, official.centres, rtol=0, atol=1e-12)
        assert np.array_equal(table.counts, official.counts)
        assert np.allclose(table.values[0], official.values[0], rtol=0, atol=1e-9)
        assert costs.tolist() == arm.Supernet(name).costs(released=True)


def test_the_cap_of_branch_0_is_an_artefact_of_the_released_log(released):
    psnr = released["bilinear_log_psnr"]
    official, _ = arm.official_table(released, "fsrcnn")
    capped = arm.EdgeTable.build(released["bilinear_log_scores"], np.minimum(psnr, 80))
    equal = arm.EdgeTable.build(released["bilinear_log_scores"], np.where(psnr == 90, 80, psnr))
    assert official.values[0, 0] > official.values[3, 0] > equal.values[0, 0] > capped.values[0, 0]
    assert equal.values[0, 0] == pytest.approx(49.18, abs=0.005)
    assert capped.values[0, 0] == pytest.approx(49.13, abs=0.005)


def test_empty_bins_are_interpolated(golden):
    small = np.load(golden / "arm_lut_build_small.npz")
    raw = arm.EdgeTable.build(small["scores"], small["psnr"], 60, empty="released")
    table = arm.EdgeTable.build(small["scores"], small["psnr"], 60)
    known = np.isfinite(raw.values[0])
    assert (~known).sum() == 18
    assert np.array_equal(table.values[0, known], raw.values[0, known])
    for k in np.flatnonzero(~known):
        left, right = np.flatnonzero(known[:k])[-1], k + 1 + np.flatnonzero(known[k + 1 :])[0]
        share = (k - left) / (right - left)
        straight = (1 - share) * raw.values[0, left] + share * raw.values[0, right]
        assert table.values[0, k] == pytest.approx(straight)
    assert np.array_equal(table.counts, raw.counts)  # nothing pretends to have been measured


def test_an_empty_bin_as_released_sends_the_patch_to_branch_0(golden):
    small = np.load(golden / "arm_lut_build_small.npz")
    quality = np.stack([small["psnr"], small["psnr"] + 5])
    raw = arm.EdgeTable.build(small["scores"], quality, 60, empty="released")
    hole = raw.centres[np.flatnonzero(raw.counts == 0)[0]]
    assert arm.choose(raw.predict(hole), [0, 1], "best") == 0
    assert arm.choose(raw.filled().predict(hole), [0, 1], "best") == 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0, 255), min_size=1, max_size=30),
    st.integers(1, 12),
    st.lists(st.floats(-50, 400), min_size=1, max_size=10),
)
def test_a_score_is_looked_up_at_the_nearest_centre(scores, bins, queries):
    table = arm.EdgeTable.build(np.array(scores), np.arange(len(scores)) * 1.0, bins)
    distance = np.abs(np.array(queries)[:, None] - table.centres)
    assert np.array_equal(table.bin_of(np.array(queries)), distance.argmin(1))
    assert table.counts.sum() == len(scores)
    weighted = (table.values[0] * table.counts).sum() / len(scores)
    assert weighted == pytest.approx(np.mean(np.arange(len(scores))))  # bins neither lose nor add


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_a_table_comes_back_from_its_file_bit_for_bit(tmp_path, golden, suffix):
    small = np.load(golden / "arm_lut_build_small.npz")
    table = arm.EdgeTable.build(
        *(small["scores"], np.stack([small["psnr"], small["psnr"] + 1]), 30),
        **{"empty": "released", "target": "mse", "score": "sobel", "names": ("a", "b")},
    )
    back = arm.EdgeTable.load(table.save(tmp_path / f"table{suffix}"))
    for name in ("edges", "values", "counts", "centres"):
        assert np.array_equal(getattr(back, name), getattr(table, name), equal_nan=name == "values")
    assert (back.target, back.score, back.names) == ("mse", "sobel", ("a", "b"))
    assert np.isnan(back.values).any()


def test_files_that_are_no_table_are_refused(tmp_path):
    table = arm.EdgeTable([0, 1, 2], [[30.0, 20.0]], [3, 4])
    path = table.save(tmp_path / "table.json")
    content = json.loads(path.read_text())

    def refused(change, match):
        path.write_text(json.dumps({**content, **change}))
        with pytest.raises(arm.TableError, match=match):
            arm.EdgeTable.load(path)

    refused({"version": 2}, "version 1")
    refused({"format": "other"}, "holds")
    refused({"values": [[1.0]]}, "damaged")
    refused({"values": "x"}, "damaged")
    refused({"more": 1}, "fields")
    refused({"target": "ssim"}, "target is 'ssim'")
    path.write_text('{"format":')
    with pytest.raises(arm.TableError, match="cannot be read"):
        arm.EdgeTable.load(path)
    (tmp_path / "table.npz").write_bytes(b"no archive")
    with pytest.raises(arm.TableError, match="cannot be read"):
        arm.EdgeTable.load(tmp_path / "table.npz")
    with pytest.raises(FileNotFoundError):
        arm.EdgeTable.load(tmp_path / "none.json")
    with pytest.raises(ValueError, match=r"\.json or \.npz"):
        table.save(tmp_path / "table.pkl")


def test_gains_are_over_branch_0_and_point_up_for_both_targets():
    scores = np.array([0.0, 1.0, 9.0, 10.0])
    error = np.array([[4.0, 4.0, 100.0, 100.0], [3.0, 3.0, 60.0, 60.0]])
    by_error = arm.EdgeTable.build(scores, error, 2, target="mse")
    by_psnr = arm.EdgeTable.build(scores, arm.psnr_of(error), 2)
    assert by_error.gain(1, scores).tolist() == [1, 1, 40, 40]
    assert by_psnr.gain(1, scores) == pytest.approx(10 * np.log10(error[0] / error[1]))
    assert by_error.psnr(1, 9.5) == pytest.approx(by_psnr.psnr(1, 9.5))
    assert np.array_equal(by_error.gains(scores)[:, 0], np.zeros(4))
    assert isinstance(by_psnr.psnr(0, 3.0), float)


def test_one_score_only_makes_one_table():
    table = arm.EdgeTable.build(np.full(4, 7.0), np.arange(4.0), 3)
    assert table.psnr(0, 7.0) == 1.5
    assert np.isfinite(table.values).all()


@pytest.mark.parametrize(
    ("scores", "quality", "change", "match"),
    [
        ([], [], {}, "at least one patch"),
        ([1.0], [[1.0, 2.0]], {}, r"\(m, n\)"),
        ([1.0, np.nan], [1.0, 2.0], {}, "finite"),
        ([1.0, 2.0], [1.0, np.inf], {}, "cap the PSNR"),
        ([1.0, 2.0], [1.0, 2.0], {"bins": 0}, "bins is 0"),
        ([1.0, 2.0], [1.0, 2.0], {"bins": 2.5}, "bins is 2.5"),
        ([1.0, 2.0], [1.0, 2.0], {"empty": "zero"}, "empty is 'zero'"),
        ([1.0, 2.0], [1.0, 2.0], {"names": ("a", "b")}, "names"),
    ],
)
def test_bad_measurements_are_refused(scores, quality, change, match):
    with pytest.raises(ValueError, match=match):
        arm.EdgeTable.build(np.array(scores), np.array(quality), **change)


def test_bad_questions_are_refused():
    table = arm.EdgeTable([0, 1, 2], [[30.0, 20.0]], [3, 4])
    with pytest.raises(ValueError, match="no branch 1"):
        table.psnr(1, 0.5)
    with pytest.raises(ValueError, match="not finite"):
        table.psnr(0, np.nan)
    with pytest.raises(ValueError, match="no table of 'srresnet'"):
        arm.official_table({}, "srresnet")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=60), st.integers(1, 12), st.integers(0, 99)
)
def test_bins_of_equal_count_average_neighbours_in_score(scores, bins, seed):
    scores = np.array(scores, dtype=float)
    quality = np.random.default_rng(seed).normal(30, 5, (2, len(scores)))
    table = arm.EdgeTable.build(scores, quality, bins, target="mse", spacing="count")
    assert 1 <= table.bins <= bins
    assert table.counts.min() >= 1
    assert table.counts.sum() == len(scores)
    assert (np.diff(table.centres) > 0).all()
    parts = [np.searchsorted(table.edges[1:-1], s, side="right") for s in scores]  # the twin
    for k in range(table.bins):
        inside = [n for n, part in enumerate(parts) if part == k]
        assert table.counts[k] == len(inside)
        assert np.isclose(table.centres[k], scores[inside].mean())
        assert np.allclose(table.values[:, k], quality[:, inside].mean(1))
    if len(set(scores)) == len(scores):  # no ties: the counts differ by little
        assert np.ptp(table.counts) <= 2


def test_bins_of_equal_count_keep_to_their_file_and_their_name(tmp_path):
    scores, quality = np.arange(20.0) ** 2, np.arange(40.0).reshape(2, 20)
    table = arm.EdgeTable.build(scores, quality, 4, spacing="count")
    back = arm.EdgeTable.load(table.save(tmp_path / "table.json"))
    assert np.array_equal(back.predict(scores), table.predict(scores))
    with pytest.raises(ValueError, match="'even' and 'count'"):
        arm.EdgeTable.build(scores, quality, 4, spacing="equal")
