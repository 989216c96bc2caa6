"""Figures in a third of the bytes: charts have few colours, and a palette holds them."""

from __future__ import annotations

import base64
from io import BytesIO

from nbformat import NotebookNode
from PIL import Image

__all__ = ["shrink"]

PALETTE = 256
COLOURS = 20_000  # more than that is a photograph, whose shades a palette would band


def shrink(cell: NotebookNode) -> None:
    """Store the PNG outputs of a cell with a palette, where that is smaller (in place).

    A chart has a handful of colours and the shades at the edges of its lines; 256 of them cannot
    be told from all. Photographs stay as they are. The bytes are the same on every run.

    Args:
        cell: of an executed notebook.
    """
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        if "image/png" in data:
            raw = base64.b64decode("".join(data["image/png"]))
            if len(small := _with_palette(raw)) < len(raw):
                data["image/png"] = base64.b64encode(small).decode()


def _with_palette(raw: bytes) -> bytes:
    """The same picture with a palette; as it was if it is transparent or a photograph."""
    with Image.open(BytesIO(raw)) as image:
        plain = image.convert("RGB")
        seen_through = image.convert("RGBA").getextrema()[3][0] < 255
        if image.mode == "P" or seen_through or plain.getcolors(COLOURS) is None:
            return raw
        few = plain.quantize(PALETTE, dither=Image.Dither.NONE)
        written = BytesIO()
        few.save(written, "PNG", optimize=True, dpi=image.info.get("dpi", (110, 110)))
    return written.getvalue()
