"""The packed weight: exact both ways, counted to the byte, refused when it is not whole."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from torch.nn import functional as F

from lithe import export, onexn
from lithe.export import ExportError


@pytest.fixture(autouse=True, scope="module")
def plain_torch():
    """Bits are compared here, and only the plain path has those of torch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LITHE_KERNELS", "reference")
        yield


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 9), st.integers(1, 5), st.sampled_from([(), (1, 1), (3, 2)]), st.integers(1, 11),
    st.floats(0, 0.99), st.booleans(), st.integers(1, 3), st.integers(0, 9),
)  # fmt: skip
def test_packing_loses_nothing(o, i, kernel, n, sparsity, rearrange, groups, seed):
    weight = normal(o * groups, i, *kernel, seed=seed)
    mask = onexn.block_mask(weight, n, sparsity, rearrange, groups=groups)
    order = onexn.rearrangement(weight, groups) if rearrange else None
    packed = onexn.pack_weight(weight, mask, n, order, groups)
    assert torch.equal(packed.unpack(), torch.where(mask, weight, 0.0))
    assert packed.values.shape[1] == n
    assert len(packed.values) == int(packed.grid.kept(mask).sum())
    found = onexn.pack_weight(weight, mask, n, groups=groups)  # the order is in the mask
    assert torch.equal(found.unpack(), packed.unpack())


def test_what_is_stored_is_what_the_paper_draws():
    weight = torch.arange(1.0, 19.0).reshape(6, 3)
    mask = torch.tensor([[1, 0, 1]] * 4 + [[0, 1, 0]] * 2).bool()
    packed = onexn.pack_weight(weight, mask, 4)
    assert packed.values.tolist() == [[1, 4, 7, 10], [3, 6, 9, 12], [14, 17, 0, 0]]
    assert packed.columns.tolist() == [0, 2, 1]
    assert packed.pointers.tolist() == [0, 2, 3]
    assert packed.order is None
    assert (packed.columns.dtype, packed.pointers.dtype) == (torch.int32, torch.int32)


def test_signs_and_small_numbers_survive():
    weight = torch.tensor([[-0.0, 1e-42], [3.4e38, -1e-45]])
    packed = onexn.pack_weight(weight, torch.ones(2, 2).bool(), 2)
    assert torch.equal(packed.unpack().view(torch.int32), weight.view(torch.int32))
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        other = normal(6, 4, 3, 3).to(dtype)
        mask = onexn.block_mask(other, 4, 0.5)
        unpacked = onexn.pack_weight(other, mask, 4).unpack()
        assert unpacked.dtype is dtype
        assert torch.equal(unpacked, torch.where(mask, other, 0.0))


@pytest.mark.parametrize(
    ("n", "share"), [(1, 1), (2, 0.75), (4, 0.625), (8, 0.5625), (16, 0.53125)]
)
def test_bytes_at_one_half_are_those_of_the_formula(n, share):
    weight = normal(64, 32, 1, 1)
    packed = onexn.pack_weight(weight, onexn.block_mask(weight, n, 0.5), n)
    bytes_ = onexn.Storage.of(packed)
    pointers = (64 // n + 1) * 4
    assert bytes_.dense == 64 * 32 * 4
    assert bytes_.packed == share * bytes_.dense + pointers
    assert bytes_.csr == 1024 * 8 + 65 * 4


def test_bytes_are_those_of_the_tensors(tangle, images):
    pruned = onexn.prune(tangle, 4, 0.5)
    counted = onexn.storage(pruned)
    assert counted == onexn.storage(onexn.compress(pruned))
    assert list(counted) == [row.name for row in pruned.pruning.layers]
    for name, layer in onexn.packed_layers(onexn.compress(pruned)).items():
        held = {k: v.numel() * v.element_size() for k, v in layer.named_buffers() if k != "bias"}
        assert counted[name].values == held.pop("values")
        assert counted[name].indices == sum(held.values())
        dense = pruned.get_submodule(name).weight
        rows = csr_matrix(dense.detach().flatten(1).numpy())
        parts = (rows.data, rows.indices, rows.indptr)
        assert counted[name].csr == sum(part.nbytes for part in parts)
        assert counted[name].dense == dense.numel() * 4


def test_narrow_rows_are_counted_with_their_padding():
    weight = normal(5, 2)
    packed = onexn.pack_weight(weight, torch.ones(5, 2).bool(), 4)
    bytes_ = onexn.Storage.of(packed)
    assert (bytes_.values, bytes_.indices) == (4 * 4 * 4, 4 * 4 + 3 * 4)
    assert bytes_.csr == 10 * 8 + 6 * 4


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 10), st.integers(1, 4), st.integers(1, 3), st.integers(1, 2), st.integers(0, 2),
    st.integers(1, 5), st.integers(1, 2), st.booleans(), st.integers(0, 9),
)  # fmt: skip
def test_a_packed_convolution_is_the_masked_one(o, i, k, stride, pad, n, groups, bias, seed):
    weight = normal(o * groups, i, k, k, seed=seed)
    offset = normal(o * groups, seed=1) if bias else None
    mask = onexn.block_mask(weight, n, 0.5, rearrange=True, groups=groups)
    layer = onexn.PackedConv2d(weight, offset, mask, n, stride, pad, groups=groups)
    x = normal(2, i * groups, 7, 6)
    expected = F.conv2d(x, weight * mask, offset, stride, pad, groups=groups)
    assert torch.equal(layer(x), expected)


def test_a_packed_linear_layer_is_the_masked_one():
    weight, bias, x = normal(7, 5), normal(7, seed=1), normal(2, 3, 5)
    mask = onexn.block_mask(weight, 4, 0.5)
    layer = onexn.PackedLinear(weight, bias, mask, 4)
    assert torch.equal(layer(x), F.linear(x, weight * mask, bias))


def test_masks_that_are_not_made_of_blocks_are_refused(tangle):
    weight = normal(8, 6, 3, 3)
    with pytest.raises(ValueError, match="with n=4 it must keep or drop blocks whole"):
        onexn.pack_weight(weight, onexn.weight_mask(weight, 0.5), 4)
    with pytest.raises(ValueError, match="with n=8 it must"):
        onexn.pack_weight(weight[..., 0, 0], onexn.block_mask(weight[..., 0, 0], 1, 0.5), 8)
    pruned = onexn.prune(tangle, 4, 0.5, pattern="weight")
    with pytest.raises(ValueError, match=r"expand\.0: mask keeps a part"):
        onexn.compress(pruned)


def test_bad_layers_are_refused():
    weight, mask = normal(8, 6, 3, 3), torch.ones(8, 6, 3, 3).bool()
    with pytest.raises(TypeError, match=r"mask is torch\.float32"):
        onexn.PackedConv2d(weight, None, mask.float(), 4)
    with pytest.raises(ValueError, match="mask has shape"):
        onexn.PackedConv2d(weight, None, mask[:4], 4)
    with pytest.raises(ValueError, match=r"bias has shape \(4,\) for 8 filters"):
        onexn.PackedConv2d(weight, torch.zeros(4), mask, 4)
    with pytest.raises(ValueError, match="must have 4 axes"):
        onexn.PackedConv2d(weight[..., 0], None, mask[..., 0], 4)
    weight[0, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="NaN or infinity in 1 places"):
        onexn.PackedConv2d(weight, None, mask, 4)
    mask[:4, 0] = False  # a value that is dropped is not read
    assert bool(onexn.pack_weight(weight, mask, 4).unpack().isfinite().all())


def sample():
    weight = normal(10, 6, 3, 3)
    order = onexn.rearrangement(weight)
    return onexn.pack_weight(weight, onexn.block_mask(weight, 4, 0.5, True), 4, order)


def spoilt(tensor, place, value):
    tensor = tensor.clone()
    tensor[place] = value
    return tensor


SPOILT = {
    "channel past the end": (lambda p: {"columns": spoilt(p.columns, -1, 6)}, "column 6"),
    "negative channel": (lambda p: {"columns": spoilt(p.columns, 0, -1)}, "column -1"),
    "repeated channel": (lambda p: {"columns": spoilt(p.columns, 1, p.columns[0])}, "rise"),
    "one column short": (lambda p: {"columns": p.columns[:-1]}, "8 columns for 9 blocks"),
    "wide columns": (lambda p: {"columns": p.columns.long()}, "int64"),
    "first pointer": (lambda p: {"pointers": spoilt(p.pointers, 0, 1)}, "from 0 to 9"),
    "last pointer": (lambda p: {"pointers": spoilt(p.pointers, -1, 8)}, "from 0 to 9"),
    "falling pointers": (lambda p: {"pointers": spoilt(p.pointers, 1, 10)}, "pointers fall"),
    "lost row": (lambda p: {"pointers": p.pointers[[0, 1, 3]]}, "4 numbers"),
    "filter twice": (lambda p: {"order": spoilt(p.order, 0, int(p.order[1]))}, "10 filters once"),
    "short order": (lambda p: {"order": p.order[:9]}, "10 filters once"),
    "nan": (lambda p: {"values": spoilt(p.values, (0, 0, 0, 0), torch.nan)}, "1 places"),
    "infinity": (lambda p: {"values": spoilt(p.values, (0, 0), torch.inf)}, "9 places"),
    "hidden value": (lambda p: {"values": spoilt(p.values, (-1, 3, 0, 0), 1.0)}, "past its last"),
    "integers": (lambda p: {"values": p.values.int()}, "int32"),
    "other kernel": (lambda p: {"values": p.values[..., :2]}, "kernels"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_packed_weight_that_is_not_whole_is_refused(name):
    change, message = SPOILT[name]
    packed = sample()
    packed.check()
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(packed, **change(packed)).unpack()


@pytest.mark.parametrize("traced", [True, False])
def test_saved_networks_load_packed(traced, tangle, images, tmp_path):
    pruned = onexn.prune(tangle, 4, 0.5, example=images[:1] if traced else None)
    plan = onexn.save(pruned, tmp_path / "net", images)
    loaded = onexn.load(plan)
    assert torch.equal(loaded(images), pruned(images))
    assert list(onexn.packed_layers(loaded)) == [row.name for row in pruned.pruning.layers]
    again = onexn.save(loaded, tmp_path / "again")
    assert torch.equal(onexn.load(again)(images), pruned(images))
    state, other = onexn.compress(pruned).state_dict(), loaded.state_dict()
    assert all(torch.equal(state[k], other[k]) for k in other)
    assert onexn.storage(loaded) == onexn.storage(pruned)


def test_masked_networks_are_exported_as_they_are(tangle, images, tmp_path):
    pruned = onexn.prune(tangle, 4, 0.5)
    loaded = export.load(export.save(pruned, tmp_path / "masked", images))
    assert torch.equal(loaded(images), pruned(images))
    assert {n: x.n for n, x in onexn.masked_layers(loaded).items()} == dict.fromkeys(
        [row.name for row in pruned.pruning.layers], 4
    )


def test_the_file_is_smaller_than_the_dense_one(tmp_path):
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 64, 1), torch.nn.Conv2d(64, 256, 3))
    model.append(torch.nn.Conv2d(256, 10, 1))
    dense = export.save(model, tmp_path / "dense").with_suffix(".safetensors").stat().st_size
    pruned = onexn.prune(model, 4, 0.75)
    packed = onexn.save(pruned, tmp_path / "packed").with_suffix(".safetensors").stat().st_size
    assert packed < 0.3 * dense


@pytest.fixture
def saved(tangle, tmp_path):
    return onexn.save(onexn.prune(tangle, 4, 0.5), tmp_path / "net")


def rewrite(plan, edit_tensors=None, edit_config=None):
    """Change a saved pair and put the checksum right, as a forger would."""
    weights = plan.with_suffix(".safetensors")
    tensors, text = safetensors.torch.load_file(weights), json.loads(plan.read_text())
    if edit_tensors:
        edit_tensors(tensors)
    if edit_config:
        edit_config(text["modules"]["left.0"]["config"])
    safetensors.torch.save_file(tensors, weights)
    text["weights_sha256"] = hashlib.sha256(weights.read_bytes()).hexdigest()
    plan.write_text(json.dumps(text))


def test_files_that_are_not_touched_load(saved):
    rewrite(saved)
    onexn.load(saved)


@pytest.mark.parametrize(
    ("key", "place", "value", "message"),
    [
        ("columns", -1, 99, "left.0': column 99"),
        ("columns", 0, -1, "left.0': column -1"),
        ("pointers", 1, 10_000, "pointers fall"),
        ("order", 0, 10_000, "filters once"),
        ("values", (0, 0, 0, 0), torch.nan, "NaN"),
        ("values", (0, 0, 0, 0), torch.inf, "infinity"),
    ],
)
def test_forged_tensors_are_refused(key, place, value, message, saved):
    def edit(tensors):
        tensors[f"left.0.{key}"][place] = value

    rewrite(saved, edit)
    with pytest.raises(ExportError, match=message):
        onexn.load(saved)


def test_forged_types_are_refused(saved):
    def edit(tensors):
        tensors["left.0.columns"] = tensors["left.0.columns"].long()

    rewrite(saved, edit)
    with pytest.raises(ExportError, match="int64"):
        onexn.load(saved)


@pytest.mark.parametrize(
    "change",
    [
        {"blocks": 3}, {"blocks": -1}, {"blocks": 10**9}, {"blocks": None}, {"n": 0}, {"n": 2},
        {"n": "4"}, {"groups": 5}, {"groups": 3}, {"shape": [10, 12]}, {"shape": [10, 12, 3, -3]},
        {"padding": "full"}, {"dilation": 0}, {"ordered": False}, {"bias": True}, {"stride": "two"},
        {"padding": [1, 1, 1]}, {"extra": 1},
    ],
)  # fmt: skip
def test_forged_configurations_are_refused(change, saved):
    rewrite(saved, edit_config=lambda config: config.update(change))
    with pytest.raises(ExportError):
        onexn.load(saved)


def test_a_shape_that_claims_the_world_is_never_unpacked(saved, images):
    rewrite(saved, edit_config=lambda config: config.update(shape=[10, 10**12, 3, 3]))
    with pytest.raises(ValueError, match="for a layer of 1000000000000 channels"):
        onexn.load(saved)(images)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 0}, "stride is 0"),
        ({"stride": (1, 1, 1)}, "stride is"),
        ({"padding": -1}, "padding is -1"),
        ({"padding": "full"}, "padding is 'full'"),
        ({"padding": "same", "stride": 2}, "needs stride 1"),
        ({"dilation": 1.5}, "dilation is 1.5"),
        ({"groups": 3}, "groups is 3"),
    ],
)
def test_bad_arguments_of_a_convolution_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        onexn.PackedConv2d(normal(8, 6, 3, 3), None, torch.ones(8, 6, 3, 3).bool(), 4, **options)


def test_padding_may_be_given_by_name_and_dilation_is_kept():
    weight, x = normal(8, 6, 3, 3), normal(2, 6, 7, 6)
    mask = onexn.block_mask(weight, 4, 0.5)
    layer = onexn.PackedConv2d(weight, None, mask, 4, padding="same", dilation=2)
    assert torch.equal(layer(x), F.conv2d(x, weight * mask, padding="same", dilation=2))
    with pytest.raises(ValueError, match="for a layer of 6 channels"):
        layer(x[:, :5])
    with pytest.raises(ValueError, match="for a layer of 5 channels"):
        onexn.PackedLinear(normal(4, 5), None, torch.ones(4, 5).bool(), 4)(normal(2, 4))


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_truncated_altered_and_missing_files_are_refused(suffix, saved):
    path = saved.with_suffix(suffix)
    whole = path.read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:size])
        with pytest.raises(ExportError):
            onexn.load(saved)
    path.unlink()
    with pytest.raises(ExportError, match="cannot be read"):
        onexn.load(saved)


def test_an_altered_byte_is_noticed(saved):
    weights = saved.with_suffix(".safetensors")
    raw = bytearray(weights.read_bytes())
    raw[-5] ^= 1
    weights.write_bytes(bytes(raw))
    with pytest.raises(ExportError, match="checksum"):
        onexn.load(saved)


def test_networks_that_are_not_pruned_are_not_saved(tangle, tmp_path):
    with pytest.raises(ValueError, match="neither masked nor packed"):
        onexn.save(tangle, tmp_path / "net")
    assert not list(tmp_path.iterdir())
