"""The command and the folder run: errors per file, nothing done twice, exit codes."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from lithe.arm import EdgeTable, Mixed, Supernet
from lithe.arm.__main__ import main
from lithe.arm.branches import Interpolation
from lithe.arm.folder import MANIFEST, images_in, target_of, upscale_folder
from lithe.arm.upscaler import Upscaler


def size_of(path):
    with Image.open(path) as image:
        return image.size


@pytest.fixture
def doubler():
    return Upscaler(Mixed([Interpolation(2, "nearest")]))


@pytest.fixture
def folder(tmp_path):
    """Two good images, one of them deeper down, three bad files and one that is no image."""
    root = tmp_path / "in"
    (root / "deeper").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("a.png", "deeper/b.jpg"):
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(root / name)
    (root / "empty.png").write_bytes(b"")
    (root / "noise.jpg").write_bytes(bytes(range(256)))
    (root / "half.png").write_bytes((root / "a.png").read_bytes()[:500])
    (root / "readme.txt").write_text("no image")
    return root


def test_bad_files_do_not_stop_the_others(doubler, folder, tmp_path):
    outcomes = {o.source.name: o for o in upscale_folder(doubler, folder, tmp_path / "out")}
    assert {name for name, o in outcomes.items() if o.error} == {
        "empty.png",
        "noise.jpg",
        "half.png",
    }
    assert size_of(tmp_path / "out/deeper/b.jpg") == (60, 40)
    made = {p.name for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert made == {"a.png", "b.jpg", MANIFEST}


def test_a_second_run_does_only_what_is_new(doubler, folder, tmp_path):
    out = tmp_path / "out"
    list(upscale_folder(doubler, folder, out))
    first = (out / "a.png").stat().st_mtime_ns
    again = list(upscale_folder(doubler, folder, out))
    assert [o.source.name for o in again if o.skipped] == ["a.png", "b.jpg"]
    assert (out / "a.png").stat().st_mtime_ns == first
    Image.new("RGB", (5, 5)).save(folder / "a.png")  # changed since
    (out / "deeper/b.jpg").unlink()  # lost since
    assert not any(o.skipped for o in upscale_folder(doubler, folder, out))
    other = list(upscale_folder(doubler, folder, out, settings="other weights"))
    assert not any(o.skipped for o in other)
    forced = list(upscale_folder(doubler, folder, out, settings="other weights", overwrite=True))
    assert not any(o.skipped for o in forced)


def test_an_interrupted_run_goes_on(doubler, folder, tmp_path):
    out = tmp_path / "out"
    run = upscale_folder(doubler, folder, out)
    next(run)  # a.png is done, then the run ends
    run.close()
    assert next(o.skipped for o in upscale_folder(doubler, folder, out))
    (out / MANIFEST).write_text("{")  # a manifest that is damaged costs time, no more
    assert not any(o.skipped for o in upscale_folder(doubler, folder, out))


def test_names_are_kept_and_do_not_collide(tmp_path):
    taken = {}
    for name in ("a.gif", "a.png", "b.jpg"):
        source = tmp_path / name
        taken[target_of(source, tmp_path, tmp_path / "out", taken)] = source
    assert [path.name for path in taken] == ["a.png", "a.png.png", "b.jpg"]
    assert images_in(tmp_path) == []


def test_out_inside_in_is_refused(doubler, folder):
    with pytest.raises(ValueError, match="choose a folder outside"):
        list(upscale_folder(doubler, folder, folder / "out"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Arguments that name weights and a table small enough to be quick."""
    root = tmp_path_factory.mktemp("model")
    net = Supernet("fsrcnn", generator=torch.Generator().manual_seed(0))
    save_file({k: v.contiguous() for k, v in net.full.state_dict().items()}, root / "w.safetensors")
    gains = np.outer([0, 1, 1.5, 1.7], [1.0, 2, 3])
    EdgeTable(np.linspace(0, 120, 4), 30 + gains, np.ones(3)).save(root / "t.json")
    return [
        *("--backbone", "fsrcnn", "--weights", str(root / "w.safetensors")),
        *("--table", str(root / "t.json"), "--halo", "exact"),
    ]


def test_the_command_on_a_folder(model, folder, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["upscale", str(folder), str(out), "--macs", "1e6", *model]
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert said.count("failed:") == 3
    assert "empty.png is empty" in said
    assert size_of(out / "a.png") == (120, 80)
    for name in ("empty.png", "noise.jpg", "half.png"):
        (folder / name).unlink()
    assert main(arguments) == 0
    assert capsys.readouterr().err.count("done before") == 2


@pytest.mark.parametrize("budget", [["--quality", "best"], ["--eta", "1e7"], ["--ms", "400"], []])
def test_the_command_on_one_image(model, folder, tmp_path, budget, capsys):
    target = tmp_path / "big.png"
    assert main(["upscale", str(folder / "a.png"), str(target), *budget, *model]) == 0
    assert size_of(target) == (120, 80)
    assert "GMACs; cells: " in capsys.readouterr().err


def test_the_command_says_what_is_wrong(model, folder, tmp_path, capsys):
    good, target = str(folder / "a.png"), str(tmp_path / "b.png")
    assert main(["upscale", str(tmp_path / "nowhere"), target, *model]) == 2
    assert "no such file or folder" in capsys.readouterr().err
    assert main(["upscale", good, str(tmp_path / "b.txt"), *model]) == 2
    assert "name a file ending in" in capsys.readouterr().err
    assert main(["upscale", str(folder / "empty.png"), target, *model]) == 1
    assert "empty.png is empty" in capsys.readouterr().err
    wrong = [*model[:3], str(tmp_path / "no.safetensors"), *model[4:]]
    assert main(["upscale", good, target, *wrong]) == 2
    assert "no weights at" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["upscale", good, target, "--ms", "5", "--macs", "5"])


def test_quiet_is_quiet(model, folder, tmp_path, capsys):
    target = str(tmp_path / "b.png")
    assert main(["upscale", str(folder / "a.png"), target, "--macs", "0", "--quiet", *model]) == 0
    assert capsys.readouterr() == ("", "")
