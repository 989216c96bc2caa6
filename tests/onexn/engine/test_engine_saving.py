"""Packed networks on disk."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from lithe import data, export, onexn, zoo
from lithe.export import ExportError
from lithe.onexn import PackedNetwork, pack
from lithe.training import TrainConfig, fit


@pytest.fixture(scope="module")
def packed(judge):
    model = judge.randomise(zoo.mobilenet_v1(6, 0.25))
    pruned = onexn.prune(model, 4, 0.5)
    return pack(pruned, judge.images(1, 3, 32, 32), threads=1, tune=False)


def test_a_saved_network_runs_packed_again(packed, judge, tmp_path):
    path = onexn.save(packed, tmp_path / "net", judge.images(1, 3, 32, 32))
    loaded = onexn.load(path, tune=False)
    assert isinstance(loaded, PackedNetwork)
    assert (loaded.shapes, loaded.threads) == (packed.shapes, packed.threads)
    assert loaded.report.runs == "packed"
    for shape in ((1, 3, 32, 32), (2, 3, 20, 24)):
        x = judge.images(*shape)
        assert torch.equal(loaded(x), packed(x))


def test_pruned_trained_packed_saved_loaded(judge, tmp_path):
    images = judge.images(16, 3, 16, 16)
    pruned = onexn.prune(judge.randomise(zoo.mobilenet_v1(6, 0.25, 1)), 4, 0.5)
    config = TrainConfig(epochs=2, batch_size=8, lr=0.05, device="cpu")
    fit(
        pruned,
        data.fake_images((3, 16, 16), 6, 16, seed=0),
        config,
        progress=False,
        directory=tmp_path / "run",
    )
    pruned.eval()
    path = onexn.save(pack(pruned, images[:1], tune=False), tmp_path / "net")
    with torch.no_grad():
        wanted = onexn.finalise(pruned)(images)
    judge.close(onexn.load(path, tune=False)(images), wanted)


def test_the_file_holds_no_dropped_block(packed, tmp_path):
    path = onexn.save(packed, tmp_path / "net")
    stored = sum(x.numel() for x in load_file(path.with_suffix(".safetensors")).values())
    dense = sum(x.numel() for x in zoo.mobilenet_v1(6, 0.25).parameters())
    assert stored < 0.8 * dense


def test_a_fresh_process_needs_no_class(packed, judge, tmp_path):
    x = judge.images(2, 3, 32, 32)
    onexn.save(packed, tmp_path / "net")
    save_file({"x": x}, tmp_path / "x.safetensors")
    code = (
        "import sys; from safetensors.torch import load_file, save_file;"
        "from lithe import onexn; folder = sys.argv[1];"
        "net = onexn.load(f'{folder}/net', tune=False);"
        "y = net(load_file(f'{folder}/x.safetensors')['x']);"
        "assert net.report.runs == 'packed' and 'lithe.zoo' not in sys.modules;"
        "save_file({'y': y}, f'{folder}/y.safetensors')"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code, str(tmp_path)], check=True)
    assert torch.equal(load_file(tmp_path / "y.safetensors")["y"], packed(x))


def change(path, edit):
    plan = json.loads(path.read_text())
    edit(plan["extra"]["onexn.PackedNetwork"])
    path.write_text(json.dumps(plan))


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda e: e.pop("threads"), "shapes, threads"),
        (lambda e: e.update(code="x"), "shapes, threads"),
        (lambda e: e.update(shapes=[]), "lists of sizes"),
        (lambda e: e.update(shapes=[[1, 3, -1, 8]]), "lists of sizes"),
        (lambda e: e.update(shapes=[[1, 3, 10**6, 10**6]]), "lists of sizes"),
        (lambda e: e.update(shapes=[[1, 3, 32, "32"]]), "lists of sizes"),
        (lambda e: e.update(shapes=[[1, 4, 32, 32]]), "does not run"),
        (lambda e: e.update(threads=0), "threads is 0"),
        (lambda e: e.update(threads=True), "threads is True"),
        (lambda e: e.update(threads=10**9), "threads is 1000000000"),
        (lambda e: e.update(by_torch=3), "by_torch is 3"),
    ],
)
def test_altered_plans_are_refused(packed, tmp_path, edit, says):
    path = onexn.save(packed, tmp_path / "net")
    change(path, edit)
    with pytest.raises(ExportError, match=says):
        onexn.load(path, tune=False)


def test_truncated_weights_are_refused(packed, tmp_path):
    path = onexn.save(packed, tmp_path / "net")
    weights = path.with_suffix(".safetensors")
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(ExportError, match="checksum"):
        onexn.load(path, tune=False)


def test_networks_without_a_program_come_back(judge, tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(0))
    x = judge.images(2, 3, 8, 8)
    packed = pack(judge.randomise(model), x, tune=False)
    loaded = onexn.load(onexn.save(packed, tmp_path / "net"), tune=False)
    assert loaded.report.runs == "dense"
    assert torch.equal(loaded(x), packed(x))


def test_plans_of_other_models_hold_nothing_extra(judge, tmp_path):
    path = export.save(zoo.small_cnn(), tmp_path / "net")
    assert "extra" not in json.loads(path.read_text())
    assert export.load(path).meta["extra"] == {}
