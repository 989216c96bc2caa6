from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lithe.data import Augmentation
from lithe.data.augment import crop, flip


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _pixels(n: int, c: int, h: int, w: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(256, (n, c, h, w), generator=_generator(seed), dtype=torch.uint8)


def _crop_one_by_one(pixels, pad, top, left):
    n, _, h, w = pixels.shape
    out = torch.zeros_like(pixels)
    for i in range(n):
        for y in range(h):
            for x in range(w):
                source_y, source_x = y + int(top[i]) - pad, x + int(left[i]) - pad
                if 0 <= source_y < h and 0 <= source_x < w:
                    out[i, :, y, x] = pixels[i, :, source_y, source_x]
    return out


@settings(max_examples=20, deadline=None)
@given(
    n=st.integers(1, 4),
    c=st.integers(1, 3),
    h=st.integers(1, 6),
    w=st.integers(1, 6),
    pad=st.integers(0, 3),
    seed=st.integers(0, 1000),
)
def test_crop_equals_moving_one_pixel_at_a_time(n, c, h, w, pad, seed):
    pixels = _pixels(n, c, h, w, seed)
    top, left = torch.randint(2 * pad + 1, (2, n), generator=_generator(seed))
    assert torch.equal(crop(pixels, pad, top, left), _crop_one_by_one(pixels, pad, top, left))


def test_flip_mirrors_only_the_chosen_images():
    pixels = _pixels(3, 3, 4, 5)
    out = flip(pixels, torch.tensor([True, False, True]))
    assert torch.equal(out[0], pixels[0].flip(-1))
    assert torch.equal(out[1], pixels[1])
    assert torch.equal(out[2], pixels[2].flip(-1))


def test_draws_cover_the_whole_range_and_mirror_half():
    draw = Augmentation(pad=4).draw(4000, _generator())
    for place in (draw.top, draw.left):
        counts = place.bincount(minlength=9)
        assert len(counts) == 9
        assert (counts - 4000 / 9).abs().max() < 5 * (4000 / 9) ** 0.5  # five standard errors
    assert abs(int(draw.mirrored.sum()) - 2000) < 5 * 1000**0.5


def test_without_mirroring_the_same_crops_are_drawn():
    mirrored, plain = (Augmentation(4, mirror).draw(50, _generator(3)) for mirror in (True, False))
    assert torch.equal(mirrored.top, plain.top)
    assert torch.equal(mirrored.left, plain.left)
    assert mirrored.mirrored.any()
    assert not plain.mirrored.any()


def test_part_of_a_draw_is_what_the_whole_would_have_done():
    augmentation, pixels = Augmentation(), _pixels(10, 3, 8, 8)
    draw = augmentation.draw(10, _generator(1))
    whole = augmentation.apply(pixels, draw)
    assert torch.equal(augmentation.apply(pixels[3:7], draw.part(slice(3, 7))), whole[3:7])


def test_negative_padding_is_refused():
    with pytest.raises(ValueError, match="pad is -1"):
        Augmentation(pad=-1)


def test_half_a_pixel_of_padding_is_refused():
    with pytest.raises(ValueError, match=r"pad is 1\.5; it is a whole number"):
        Augmentation(pad=1.5)
