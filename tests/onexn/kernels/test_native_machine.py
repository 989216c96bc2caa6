"""What surrounds the kernels: the cache of objects, threads, registers, the choice of processor."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.nn import functional as F

from lithe.onexn import kernels
from lithe.onexn.kernels import NativeProgram, cache, inner_loop, isa
from lithe.onexn.kernels import compiler as compiling
from lithe.onexn.kernels.cover import tiles
from lithe.onexn.kernels.micro import micro_kernel
from lithe.onexn.kernels.native import Compiled
from lithe.onexn.program import Conv, Plane


@pytest.fixture
def layer(kit, generator):
    weight, spread = kit.packed((20, 12, 3, 3), 4, 0.5, 1, True, generator)
    x, y = Plane(0, 12, 13, 11), Plane(1, 20, 13, 11)
    return kit.program_of(Conv(x, y, weight, padding=(1, 1)), [x], y), spread


def fresh(monkeypatch) -> None:
    """Forget what this process has compiled."""
    own = compiling.Compiler(kernels.host())
    monkeypatch.setattr("lithe.onexn.kernels.native.compiler", lambda isa: own)


@pytest.mark.parametrize("threads", [1, 2])
def test_calls_from_many_python_threads(threads, layer, kit):
    program, spread = layer
    native = NativeProgram(program, threads=threads)
    images = [torch.randn(1, 12, 13, 11) for _ in range(40)]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda image: native.run(image)[0], images))
    for image, ours in zip(images, results):
        kit.agree(ours, F.conv2d(image, spread, padding=1))


def test_objects_come_from_the_cache(layer, monkeypatch, tmp_path):
    monkeypatch.setenv("LITHE_CACHE", str(tmp_path / "own"))
    fresh(monkeypatch)
    first = NativeProgram(layer[0]).compiled
    files = sorted((tmp_path / "own").iterdir())
    assert (first.loaded, first.built) == (0, len(files))
    assert (tmp_path / "own").stat().st_mode & 0o777 == 0o700
    fresh(monkeypatch)
    again = NativeProgram(layer[0]).compiled
    assert (again.built, again.loaded) == (0, first.built)
    assert NativeProgram(layer[0]).compiled == Compiled(0, 0)


def test_a_warm_start_writes_no_ir(layer, monkeypatch, tmp_path):
    monkeypatch.setenv("LITHE_CACHE", str(tmp_path))
    fresh(monkeypatch)
    NativeProgram(layer[0])
    fresh(monkeypatch)
    monkeypatch.setattr("lithe.onexn.kernels.compiler.object_code", None)
    NativeProgram(layer[0])


@pytest.mark.parametrize("damage", ["cut", "empty", "altered", "renamed", "folder"])
def test_damaged_objects_are_compiled_again(damage, layer, kit, monkeypatch, tmp_path):
    monkeypatch.setenv("LITHE_CACHE", str(tmp_path))
    fresh(monkeypatch)
    NativeProgram(layer[0])
    files = sorted(tmp_path.iterdir())
    for file, other in zip(files, files[1:] + files[:1]):
        data = bytearray(file.read_bytes())
        if damage == "folder":
            file.unlink()
            file.mkdir()
            continue
        if damage == "altered":
            data[len(data) // 2] ^= 255
        spoilt = {"cut": data[:100], "empty": b"", "altered": data, "renamed": other.read_bytes()}
        file.write_bytes(spoilt[damage])
    fresh(monkeypatch)
    native = NativeProgram(layer[0])
    # Of the renamed ring all but one were read before their turn came; none may be taken.
    assert native.compiled == Compiled(len(files), 0)
    data = torch.randn(1, 12, 13, 11)
    kit.agree(native.run(data)[0], F.conv2d(data, layer[1], padding=1))


def test_a_folder_that_cannot_be_written_is_no_error(layer, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("LITHE_CACHE", str(tmp_path / "file" / "below"))
    fresh(monkeypatch)
    assert NativeProgram(layer[0]).compiled.loaded == 0
    assert not cache.store("key", b"code")


def test_the_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("LITHE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.folder() == tmp_path / "lithe" / "kernels"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.folder() == tmp_path / ".cache" / "lithe" / "kernels"


@pytest.mark.parametrize("name", ["avx512", "avx2"])
def test_no_sum_leaves_its_register(name):
    if kernels.host().name not in ("avx512", "avx2"):
        pytest.skip("the host is no x86-64 with AVX2")
    try:
        own = isa.named(name)
    except ValueError as error:
        pytest.skip(str(error))
    for rows in range(1, own.most_rows + 1):
        lines = inner_loop(own, rows)
        products = [line for line in lines if line.startswith("vfmadd")]
        assert len(products) == rows * own.vectors(rows)
        assert not any("sp)" in line for line in lines), (name, rows)


def test_the_same_source_is_code_for_arm():
    for rows in range(1, 8):
        lines = inner_loop(kernels.aarch64(), rows)
        products = [line for line in lines if line.startswith("fmla")]
        assert len(products) == rows * kernels.aarch64().vectors(rows)
        assert not any("[sp" in line for line in lines), rows
    by_element = [line for line in inner_loop(kernels.aarch64(), 4) if ".s[" in line]
    assert len(by_element) >= 12
    whole = compiling.assembly(kernels.aarch64(), micro_kernel(kernels.aarch64(), 4, (4,) * 6))
    assert "lithe_kernel:" in whole


def test_lesser_instruction_sets_can_be_asked_for(monkeypatch):
    monkeypatch.setenv("LITHE_ISA", "sse2")
    assert isa.named().name == "sse2"
    assert isa.named("avx2").lanes == 8
    with pytest.raises(ValueError, match="instruction set 'neon'"):
        isa.named("neon")


def test_without_llvmlite_the_error_says_so():
    code = """if True:
        import sys
        sys.modules["llvmlite"] = None
        from lithe.onexn import kernels
        try:
            kernels.NativeProgram
        except kernels.NativeUnavailable as error:
            assert "llvmlite" in str(error) and "LITHE_KERNELS=reference" in str(error), error
        else:
            raise SystemExit("no error")
    """
    subprocess.run([sys.executable, "-c", code], check=True)


def test_tiles_cover_every_pixel_and_stay_inside():
    for widths in ((16, 8, 4, 1), (8, 4, 1), (4, 1)):
        for pixels in range(1, 300):
            for most in (3, 6, 8):
                seen = set()
                for tile in tiles(pixels, widths, most):
                    assert len(tile.widths) <= most
                    for width, start in zip(tile.widths, tile.starts):
                        assert 0 <= start <= pixels - width
                        seen.update(range(start, start + width))
                assert seen == set(range(pixels))
