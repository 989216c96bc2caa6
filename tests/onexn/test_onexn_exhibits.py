"""The data of the explorer of masks."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from lithe import ledger
from lithe.onexn import block_mask, exhibits


@pytest.fixture(scope="module")
def layers(shared: Path) -> list[exhibits.TrainedLayer]:
    return exhibits.trained_layers(shared / "data" / "weights")


def test_the_committed_files_are_those_of_the_weights(
    layers: list[exhibits.TrainedLayer], tmp_path: Path
) -> None:
    static = ledger.book_root() / "_static"
    assert (static / "onexn-explorer-data.js").read_text() == exhibits.data_script(layers)
    assert (static / "onexn-explorer.html").read_text() == exhibits.page_fragment(layers)
    assert (static / "onexn-masks.png").stat().st_size <= 60_000


def test_the_script_holds_json_of_every_layer(layers: list[exhibits.TrainedLayer]) -> None:
    name, _, text = exhibits.data_script(layers).partition(" = ")
    assert name == "globalThis.onexnLayers"
    for entry, layer in zip(json.loads(text.rstrip(";\n")), layers, strict=True):
        norms = np.frombuffer(base64.b64decode(entry["norms"]), dtype=np.uint8)
        assert np.array_equal(norms.reshape(entry["filters"], entry["inputs"]), layer.norms)


def test_norms_keep_their_proportions(shared: Path) -> None:
    weight = load_file(shared / "data" / "weights" / exhibits.RESNET)["layer3.1.conv1.weight"]
    norms = np.abs(weight.astype(np.float64)).sum((2, 3))
    quantised = exhibits.quantised_norms(weight)
    assert quantised.dtype == np.uint8
    assert quantised.max() == 255
    assert np.abs(quantised / 255 - norms / norms.max()).max() <= 0.5 / 255 + 1e-12


def test_masks_of_the_norms_are_nearly_those_of_the_weights(
    layers: list[exhibits.TrainedLayer], shared: Path
) -> None:
    """Steps of 1/255 change the order of a few blocks of nearly equal norm."""
    weight = load_file(shared / "data" / "weights" / exhibits.RESNET)["layer3.1.conv1.weight"]
    true = block_mask(torch.from_numpy(weight), 4, 0.5)[:, :, 0, 0]
    shown = block_mask(layers[-1].weight, 4, 0.5)
    assert (true == shown).float().mean() > 0.98


def test_kept_mass_falls_with_n_and_rises_with_rearrangement(
    layers: list[exhibits.TrainedLayer],
) -> None:
    for layer in layers:
        shares = exhibits.kept_mass(layer, 0.5, (1, 2, 4, 8))
        plain = [share.plain for share in shares]
        assert plain == sorted(plain, reverse=True)
        assert shares[0].rearranged == pytest.approx(shares[0].plain)
        assert all(0.5 < share.plain <= 1 for share in shares)
        by_hand = float(layer.weight[block_mask(layer.weight, 4, 0.5)].sum() / layer.weight.sum())
        assert plain[2] == pytest.approx(by_hand)


def test_missing_weights_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(FileNotFoundError):
        exhibits.trained_layers(tmp_path)
    with pytest.raises(SystemExit):
        exhibits.main([str(tmp_path)])
    assert "no weights" in capsys.readouterr().err
