"""What the page with the draggable budget shows: one photograph under several routers.

``python -m lithe.arm.exhibits SHARED`` enlarges a photograph of scikit-image with the released
CARN and writes what the page loads into ``book/_static``. The page follows the steps that
:func:`lithe.arm.anytime.ladder` bought, and adds their squared errors up.
"""

from __future__ import annotations

import argparse
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lithe import ledger
from lithe.arm import routers
from lithe.arm.anytime import CELL, Cells, Ladder, ladder, survey
from lithe.arm.branches import Mixed
from lithe.arm.calibrate import measure, to_uint8
from lithe.arm.degrade import PHOTOS, degrade
from lithe.arm.metrics import psnr_of
from lithe.arm.official import load_official, official_table
from lithe.arm.testsets import bundled
from lithe.files import write_atomic, write_with

__all__ = ["Shown", "data_script", "enlarged", "page_fragment", "shown", "write"]

PHOTO, BACKBONE = "rocket", "carn"
QUALITY = 95  # of the pictures on the page; numbers are those of the pixels before
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
TITLES = {
    "released": "the released table of PSNR",
    "mse": "a table of squared error",
    "score": "the order of the edge scores",
    "random": "chance",
    "oracle": "hindsight",
}


@dataclass(frozen=True, eq=False)
class Shown:
    """One photograph, cell by cell, and the steps that each router buys.

    Attributes:
        cells: what every branch makes of every cell.
        steps: by router.
        size: height and width of the small image.
    """

    cells: Cells
    steps: dict[str, Ladder]
    size: tuple[int, int]

    def psnr(self, router: str, share: float) -> float:
        """PSNR in dB of the whole image at a share of the full cost."""
        budget = share * self.cells.costs.max() * self.cells.area.sum()
        return float(psnr_of(self.steps[router].at(np.array([budget]))[0] / self.cells.pixels[0]))


def _photo() -> np.ndarray:
    [image] = bundled((PHOTO,)).images.values()
    return image


def enlarged(net: Mixed) -> list[np.ndarray]:
    """The photograph, shrunk and enlarged by every branch, uint8 ``(h, w, 3)``."""
    _, small = degrade(_photo(), net.scale)
    x = torch.from_numpy(small).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        return [to_uint8(net(x, j))[0] for j in range(len(net))]


def shown(shared: Path) -> Shown:
    """Survey the photograph with the released network; tables are made of the other photographs.

    Args:
        shared: the folder of shared data.

    Raises:
        FileNotFoundError: the released weights are not there.
    """
    golden = shared / "golden"
    net = load_official(golden / f"arm_{BACKBONE}_official.safetensors", BACKBONE).deployed()
    cells = survey(net, [_photo()], ("laplacian",))
    others = tuple(name for name in PHOTOS if name not in (PHOTO, "retina"))
    patches = measure(net, bundled(others).images.values())
    released, _ = official_table(golden / "arm_lut_official.npz", BACKBONE)
    scores, generator = cells.scores["laplacian"], torch.Generator().manual_seed(0)
    gains = {
        "released": released.filled().gains(scores),
        "mse": patches.table(10, "mse").gains(scores),
        "score": routers.score_gains(scores, patches),
        "random": routers.random_gains(len(cells), cells.costs, generator),
        "oracle": -cells.error,
    }
    steps = {name: ladder(g, cells.squared, cells.costs, cells.area) for name, g in gains.items()}
    _, small = degrade(_photo(), net.scale)
    return Shown(cells, steps, small.shape[:2])


def data_script(found: Shown) -> str:
    """The script that gives the page its numbers."""
    cells = found.cells
    height, width = found.size
    content = {
        "height": height,
        "width": width,
        "cell": CELL,
        "names": [
            "interpolation",
            *(f"CARN, width {n.rpartition('-')[2]}" for n in cells.names[1:]),
        ],
        "costs": [round(float(c), 3) for c in cells.costs],
        "area": cells.area.astype(int).tolist(),
        "pixels": int(cells.pixels[0]),
        "squared": cells.squared.astype(int).tolist(),
        "scores": [round(float(s), 1) for s in cells.scores["laplacian"]],
        "routers": [
            {
                "id": name,
                "title": TITLES[name],
                "start": steps.start.tolist(),
                "cell": steps.cell.tolist(),
                "branch": steps.branch.tolist(),
            }
            for name, steps in found.steps.items()
        ],
    }
    return f"globalThis.armPhotograph = {json.dumps(content, separators=(',', ':'))};\n"


def page_fragment(found: Shown) -> str:
    """What the chapter includes: the place of the page's program, and what stands there without."""
    heads = "".join(f'<th scope="col">{100 * share:.0f}%</th>' for share in SHARES)
    rows = "\n".join(
        f'<tr><th scope="row">{html.escape(TITLES[name])}</th>'
        + "".join(f"<td>{found.psnr(name, share):.2f}</td>" for share in SHARES)
        + "</tr>"
        for name in found.steps
    )
    height, width = (4 * side for side in found.size)
    pictures = "\n".join(
        f'<img class="dark-light" data-arm-branch="{j}" src="../_static/arm-branch-{j}.webp" '
        f'width="{width}" height="{height}" alt="The picture as branch {j} makes it">'
        for j in range(len(found.cells.names))
    )
    return f"""<link rel="stylesheet" href="../_static/arm-explorer.css">
<div class="arm-explorer" data-arm-explorer></div>
<div class="arm-sources" hidden>
{pictures}
</div>
<noscript>
<figure class="arm-still">
<img class="dark-light" src="../_static/arm-branch-3.webp" alt="A rocket on its launch pad under a
dark sky, enlarged four times by the largest network.">
<figcaption>The photograph, enlarged four times by CARN at full width.</figcaption>
</figure>
<table class="arm-table">
<caption>PSNR in dB of the whole photograph, by what routes it and by the share of the full cost
that may be spent.</caption>
<thead><tr><th scope="col">Router</th>{heads}</tr></thead>
<tbody>
{rows}</tbody>
</table>
</noscript>
<script defer src="../_static/arm-explorer-data.js"></script>
<script defer src="../_static/arm-explorer.js"></script>
"""


def write(shared: Path, folder: Path | None = None) -> list[Path]:
    """Write pictures, numbers and fragment.

    Args:
        shared: the folder of shared data.
        folder: where to; by default the book's ``_static``.
    """
    folder = folder or ledger.book_root() / "_static"
    found = shown(shared)
    golden = shared / "golden" / f"arm_{BACKBONE}_official.safetensors"
    pictures = enlarged(load_official(golden, BACKBONE).deployed())
    paths = []
    for j, picture in enumerate(pictures):
        image, target = Image.fromarray(picture), folder / f"arm-branch-{j}.webp"
        write_with(target, lambda file, im=image: im.save(file, "WEBP", quality=QUALITY, method=6))
        paths.append(target)
    for name, text in (
        ("arm-explorer-data.js", data_script(found)),
        ("arm-explorer.html", page_fragment(found)),
    ):
        write_atomic(folder / name, text.encode())
        paths.append(folder / name)
    return paths


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; see the module's text."""
    parser = argparse.ArgumentParser(prog="python -m lithe.arm.exhibits", description=__doc__)
    parser.add_argument("shared", type=Path, help="the folder of shared data")
    options = parser.parse_args(arguments)
    if not (options.shared / "golden").is_dir():
        parser.error(f"no released weights below {options.shared}")
    for written in write(options.shared):
        print(written.name)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
