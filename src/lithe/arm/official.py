"""The released weights and tables, read from files that carry numbers only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from lithe.arm.supernet import Supernet
from lithe.arm.table import EdgeTable

__all__ = ["load_official", "official_table"]

Backbone = Literal["fsrcnn", "carn", "srresnet"]


def load_official(path: str | Path, backbone: Backbone) -> Supernet:
    """A supernet with released weights (x4, full width), in eval mode.

    Source: ARM spec 2 and 11.

    Args:
        path: ``.safetensors``, or ``.npz`` of arrays, with the released key names.
        backbone: which network they belong to.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be read, or it holds other tensors than the backbone has.
    """
    path = Path(path)
    tensors = _tensors(path)
    supernet = Supernet(backbone)
    wanted = {name: tuple(t.shape) for name, t in supernet.full.state_dict().items()}
    found = {name: tuple(t.shape) for name, t in tensors.items()}
    if found != wanted:
        differ = sorted(k for k in {*wanted, *found} if wanted.get(k) != found.get(k))
        first = differ[0]
        raise ValueError(
            f"{path.name} does not hold a {backbone} supernet: {len(differ)} tensors differ, "
            f"`{first}` is {found.get(first, 'missing')} and should be "
            f"{wanted.get(first, 'absent')}"
        )
    supernet.full.load_state_dict(tensors)
    return supernet.eval()


def _tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return {name: torch.from_numpy(file[name]) for name in file.files}
        return load_file(path)
    except Exception as error:
        raise ValueError(f"{path} cannot be read as weights: {error}") from error


def official_table(
    path: str | Path | Mapping[str, np.ndarray], backbone: Literal["fsrcnn", "carn"]
) -> tuple[EdgeTable, np.ndarray]:
    """The released edge-to-PSNR table and the cost list that goes with it.

    Source: ARM spec 4.4. Its branch 0 was measured with bilinear interpolation and another cap
    on the PSNR, and is run with bicubic (ARM spec 9.1, 9.2).

    Args:
        path: the ``.npz`` of both released tables, or its arrays.
        backbone: which of them.

    Returns:
        The table of 30 bins, and costs float64 ``(4,)`` by the released counter.

    Raises:
        ValueError: no table of that backbone is there.
    """
    arrays = path if isinstance(path, Mapping) else np.load(path, allow_pickle=False)
    if f"{backbone}_psnr_mean" not in arrays:
        raise ValueError(f"no table of {backbone!r} in the file; it has fsrcnn and carn")
    names = Supernet(backbone).names
    table = EdgeTable(
        arrays["edges"],
        arrays[f"{backbone}_psnr_mean"],
        arrays["bin_counts"],
        names=("bilinear", *names[1:]),
        centres=arrays[f"{backbone}_centres"],
    )
    return table, np.array(arrays[f"{backbone}_cost_list"])
