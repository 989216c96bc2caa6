"""Edge scores: bit for bit, and against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lithe import arm
from lithe.arm.edge import gray, laplacian


def test_every_stage_of_the_released_score_is_exact(golden):
    stages = np.load(golden / "arm_edge_score.npz")
    patches = stages["patches_rgb_uint8"]
    assert np.array_equal(gray(patches), stages["gray_uint8"])
    assert np.array_equal(laplacian(stages["gray_uint8"]), stages["laplacian_int16"])
    assert np.array_equal(arm.edge_scores(patches), stages["score_float64"])
    assert [arm.edge_score(p) for p in patches] == stages["score_float64"].tolist()


def plain(patch: np.ndarray, kernel: list[list[int]]) -> float:
    """The definition, pixel by pixel."""
    h, w = patch.shape[:2]
    y = [[(9798 * int(r) + 19235 * int(g) + 3735 * int(b) + 16384) >> 15 for r, g, b in row]
         for row in patch]  # fmt: skip

    def mirrored(k: int, n: int) -> int:
        return 0 if n == 1 else -k if k < 0 else 2 * n - 2 - k if k >= n else k

    total = 0
    for i in range(h):
        for j in range(w):
            value = sum(
                kernel[a + 1][b + 1] * y[mirrored(i + a, h)][mirrored(j + b, w)]
                for a in (-1, 0, 1)
                for b in (-1, 0, 1)
            )
            total += min(abs(value), 255)
    return total / (h * w)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_scores_equal_plain_loops_on_patches_of_any_size(h, w, seed):
    patch = np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)
    assert arm.edge_score(patch) == plain(patch, [[2, 0, 2], [0, -8, 0], [2, 0, 2]])
    four = plain(patch, [[0, 2, 0], [2, -8, 2], [0, 2, 0]])
    assert arm.edge_score(patch, "laplacian4") == four


def test_the_blind_spot_and_what_sees_it():
    checkerboard = np.indices((32, 32)).sum(0) % 2 * 255
    patch = np.repeat(checkerboard[..., None], 3, 2).astype(np.uint8)
    assert arm.edge_score(patch) == 0
    assert arm.edge_score(patch, "laplacian4") == 255
    assert arm.edge_score(patch, "range") == 255
    assert arm.edge_score(patch, "variance") == 127.5
    assert arm.edge_score(np.full((32, 32, 3), 77, np.uint8), "variance") == 0


def test_sobel_of_a_ramp():
    ramp = np.repeat(np.tile(np.arange(32, dtype=np.uint8), (32, 1))[..., None], 3, 2)
    # 8 across in the inside, 0 at the mirrored first and last column
    assert arm.edge_score(ramp, "sobel") == pytest.approx(8 * 30 / 32)


def test_batches_of_any_number_are_scored_alike():
    patches = np.random.default_rng(0).integers(0, 256, (1100, 4, 5, 3), dtype=np.uint8)
    for kind in arm.SCORES:
        scores = arm.edge_scores(patches, kind)
        assert scores.shape == (1100,)
        assert scores.dtype == np.float64
        assert (scores >= 0).all()
        assert (scores <= 255).all()
        for k in (0, 1023, 1024, 1099):
            assert scores[k] == arm.edge_score(patches[k], kind)
    assert arm.edge_scores(patches[:0]).shape == (0,)


def test_bad_patches_are_refused():
    patch = np.zeros((1, 8, 8, 3), np.uint8)
    with pytest.raises(TypeError, match="uint8"):
        arm.edge_scores(patch / 255)
    with pytest.raises(ValueError, match=r"\(n, h, w, 3\)"):
        arm.edge_scores(patch[..., :1])
    with pytest.raises(ValueError, match=r"\(h, w, 3\)"):
        arm.edge_score(patch)
    with pytest.raises(ValueError, match="kind is 'canny'"):
        arm.edge_scores(patch, "canny")
