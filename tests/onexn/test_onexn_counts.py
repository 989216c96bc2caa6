"""Whole numbers: equal to those of the released code, and to masks counted one by one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lithe.onexn import block_mask, counts
from lithe.onexn.networks import NETWORKS, build
from lithe.onexn.pretrained import released_mask

#: The layers of a network whose filters N does not divide, at N of 16 and 32, differ on purpose.
RAGGED = {"mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large"}


@pytest.fixture(scope="module")
def models(golden: Path) -> dict:
    return json.loads((golden / "onexn_models.json").read_text())


@pytest.fixture(scope="module")
def tables() -> dict:
    return {key: counts.network(key) for key in NETWORKS}


@pytest.mark.parametrize("key", NETWORKS)
def test_dense_networks_are_those_of_the_released_code(models, tables, key):
    assert tables[key]["weights"] == models[key]["conv_weights_dense"]
    assert tables[key]["macs"] == models[key]["conv_macs_dense"]
    classifiers = 2 if "v3" in key else 1  # counted as masked there, at a rate of 0
    assert tables[key]["pruned_layers"] == models[key]["n_masked"] - classifiers


@pytest.mark.parametrize("key", NETWORKS)
@pytest.mark.parametrize("n", counts.SIZES)
@pytest.mark.parametrize("p", counts.RATES)
def test_what_is_kept_equals_the_released_count(models, tables, key, n, p):
    table, cell = tables[key], f"n{n}_p{100 * p:.0f}"
    released = models[key][f"N{n}_p{p}_official"]
    assert table[f"released_weights_{cell}"] == released["conv_weights_kept"]
    assert table[f"released_macs_{cell}"] == released["conv_macs_kept"]
    meant = models[key][f"N{n}_p{p}_intended"]
    for name, field in (("weights", "conv_weights_kept"), ("macs", "conv_macs_kept")):
        high = table[f"{name}_{cell}"]
        low = table.get(f"{name}_low_{cell}", high)
        assert low <= meant[field] <= high or (key in RAGGED and n >= 16 and p == 0.9)
        if key not in RAGGED or n < 16:
            assert low == high == meant[field]


@pytest.mark.parametrize("key", NETWORKS)
def test_layers_and_their_blocks_are_those_of_the_released_code(models, key):
    model, example = counts._on_meta(key)
    survey = counts.survey(model, example, NETWORKS[key].skip)
    ours = [
        (list(survey.layers[x.name][0].weight.shape[:2]), x.positions, x.dropped, x.blocks)
        for x in counts.count(survey, 4, 0.5).layers
    ]
    theirs = [
        (x["shape"][:2], x["out_hw"] ** 2, x["pruned_blocks"], x["blocks"])
        for x in models[key]["layers_N4_p0.5"]
        if x["pruned_blocks"] and x["name"] != "fc"
    ]
    assert sorted(ours) == sorted(theirs)


def test_straddling_layers_are_those_the_released_code_reports(models, tables):
    for key, table in tables.items():
        for n in counts.SIZES:
            named = models[key]["Cout_not_multiple"][str(n)]
            pruned = [name for name in named if name not in ("classifier.0", "classifier.1", "fc")]
            pruned = [name for name in pruned if name != "classifier.3"]
            assert table[f"straddling_layers_n{n}"] == len(pruned), (key, n)


@given(o=st.integers(1, 12), i=st.integers(1, 8), n=st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_straddling_equals_a_count_block_by_block(o, i, n):
    if o * i % n:
        with pytest.raises(ValueError, match=f"n is {n}"):
            counts.straddling(torch.Size((o, i)), n)
        return
    channels = [c for c in range(i) for _ in range(o)]
    cut = [channels[k : k + n] for k in range(0, o * i, n)]
    assert counts.straddling(torch.Size((o, i)), n) == sum(len(set(part)) > 1 for part in cut)


@given(o=st.integers(1, 20), n=st.integers(1, 8), p=st.sampled_from([0.0, 0.3, 0.5, 0.9]))
@settings(max_examples=40, deadline=None)
def test_the_range_of_what_is_kept_holds_the_masks(o, n, p):
    conv = torch.nn.Conv2d(6, o, 1)
    found = counts._layer("conv", conv, 1, n, p)
    kept = int(block_mask(conv.weight, n, p).sum())
    assert found.kept[0] <= kept <= found.kept[1]
    assert (found.kept[0] == found.kept[1]) or o % n


@pytest.mark.parametrize("n", [2, 4, 8])
def test_the_released_mask_is_ours_where_blocks_fit(n):
    weight = torch.randn(16, 6, 3, 3, generator=torch.Generator().manual_seed(n))
    assert torch.equal(released_mask(weight, n, 0.5), block_mask(weight, n, 0.5))


def test_the_released_mask_is_that_of_the_released_code_where_they_do_not(golden: Path):
    import numpy as np

    with np.load(golden / "onexn_masks.npz") as masks:
        weight = torch.from_numpy(masks["pw_24x96__weight"])
        for n, p in ((16, 0.25), (16, 0.5), (16, 0.75), (16, 0.9)):
            theirs = masks[f"pw_24x96__N{n}__p{p}__plain__mask_out_in"].astype(bool)
            ours = released_mask(weight.reshape(*weight.shape[:2], 1, 1), n, p)[:, :, 0, 0]
            assert torch.equal(ours, torch.from_numpy(theirs))
            assert not torch.equal(ours, block_mask(weight.reshape(24, 96), n, p))


def test_packed_bytes_follow_the_formula():
    table = counts.storage()
    for n in (1, *counts.SIZES):
        for p in (0.5, 0.75, 0.9):
            ratio = table[f"packed_over_dense_n{n}_p{100 * p:.0f}"]
            assert 0 <= ratio - (1 - p) * (n + 1) / n <= 0.0025  # row pointers, rounding down
    assert table["csr_over_dense_n4_p50"] > 1


def test_drawing_with_replacement_removes_what_probability_says():
    removed = counts.with_replacement()["removed_percent"]["value"]
    assert removed == pytest.approx(100 * (1 - 2.718281828**-0.5), abs=0.1)


def test_unknown_networks_are_refused_by_name():
    with pytest.raises(KeyError, match="mobilenet_v9"):
        build("mobilenet_v9")
