"""Charts are stored with a palette, photographs are not touched."""

import base64
from io import BytesIO

import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_output
from PIL import Image

from lithe.notebooks.pictures import shrink


def cell_of(pixels):
    written = BytesIO()
    Image.fromarray(pixels).save(written, "PNG", dpi=(96, 96))
    data = {"image/png": base64.b64encode(written.getvalue()).decode(), "text/plain": "<Figure>"}
    return new_code_cell("plot()", outputs=[new_output("display_data", data=data)])


def picture(cell):
    return Image.open(BytesIO(base64.b64decode(cell.outputs[0].data["image/png"])))


def chart():
    rng = np.random.default_rng(0)
    shades = np.linspace(0, 255, 700).astype(np.uint8)
    pixels = np.full((200, 300, 3), 255, np.uint8)
    pixels[rng.integers(0, 200, 4000), rng.integers(0, 300, 4000)] = np.stack(
        [rng.choice(shades, 4000), rng.choice(shades[:9], 4000), rng.choice(shades[:9], 4000)], 1
    )
    return pixels


def test_a_chart_takes_a_palette_and_looks_the_same():
    pixels = chart()
    cell = cell_of(pixels)
    before = len(cell.outputs[0].data["image/png"])
    shrink(cell)
    small = picture(cell)
    assert small.mode == "P"
    assert len(cell.outputs[0].data["image/png"]) < before
    assert small.size == (300, 200)
    assert small.info["dpi"] == pytest.approx((96, 96), abs=0.1)
    off = np.abs(np.asarray(small.convert("RGB")).astype(int) - pixels)
    assert off.mean() < 0.5
    again = dict(cell.outputs[0].data)
    shrink(cell)
    assert cell.outputs[0].data == again  # a second pass changes nothing


def test_photographs_and_transparent_pictures_stay():
    photo = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    clear = np.dstack([chart(), np.full((200, 300), 128, np.uint8)])
    for pixels in (photo, clear):
        cell = cell_of(pixels)
        before = cell.outputs[0].data["image/png"]
        shrink(cell)
        assert cell.outputs[0].data["image/png"] == before


def test_outputs_without_pictures_are_left_alone():
    cell = new_code_cell("1", outputs=[new_output("stream", text="1"), new_output("error")])
    shrink(cell)
    assert cell.outputs[0].text == "1"
