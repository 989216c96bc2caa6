from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lithe.export import ExportError, check_onnx, load, save, to_onnx

pytest.importorskip("onnxruntime", reason="the extra 'export' is not installed")
pytest.importorskip("onnxscript", reason="the extra 'export' is not installed")


def test_onnx_agrees_at_every_batch_size_and_leaves_the_model_alone(
    tiny: nn.Module, image: Tensor, tmp_path: Path
):
    path = to_onnx(tiny, tmp_path / "net.onnx", image[:1])
    assert tiny.training
    assert [file.name for file in tmp_path.iterdir()] == ["net.onnx"]
    assert check_onnx(path, tiny, image) <= 1e-5  # float32 sums in another order
    with torch.no_grad():
        tiny.head.bias.add_(0.1)
    with pytest.raises(ExportError, match=r"net\.onnx differs by"):
        check_onnx(path, tiny, image)


def test_a_loaded_model_exports_too(tiny: nn.Module, image: Tensor, tmp_path: Path):
    loaded = load(save(tiny, tmp_path / "net"))
    check_onnx(to_onnx(loaded, tmp_path / "net.onnx", image), tiny, image)


class Fixed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(2, 192)  # right for a batch of two only


def test_a_fixed_batch_is_found_by_the_check_though_the_exporter_lets_it_pass(
    image: Tensor, tmp_path: Path
):
    path = to_onnx(Fixed(), tmp_path / "net.onnx", image)
    with pytest.raises(ExportError, match=r"net\.onnx does not run at any batch size"):
        check_onnx(path, Fixed(), image)


class Sorting(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[x > 0.5] if x.sum() > 0 else x


def test_a_model_that_the_exporter_refuses_leaves_no_file(image: Tensor, tmp_path: Path):
    with pytest.raises(ExportError, match="Sorting cannot be exported"):
        to_onnx(Sorting(), tmp_path / "net.onnx", image)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_onnx_is_refused(tiny: nn.Module, image: Tensor, tmp_path: Path):
    (tmp_path / "net.onnx").write_bytes(b"no")
    with pytest.raises(ExportError, match=r"net\.onnx does not run"):
        check_onnx(tmp_path / "net.onnx", tiny, image)


@pytest.mark.parametrize("example", ["x", torch.tensor(1.0), torch.zeros(0, 3, 8, 8)])
def test_an_example_without_a_batch_is_refused(tiny: nn.Module, tmp_path: Path, example: object):
    with pytest.raises(ExportError, match=r"must be a tensor \(n, \.\.\.\) with n at least 1"):
        to_onnx(tiny, tmp_path / "net.onnx", example)


def test_nan_at_one_batch_size_is_the_worst_difference(
    tiny: nn.Module, image: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = to_onnx(tiny, tmp_path / "net.onnx", image[:1])
    differences = iter([1e-6, float("nan")])
    monkeypatch.setattr("lithe.export.onnx_file._difference", lambda *_: next(differences))
    with pytest.raises(ExportError, match="differs by nan"):
        check_onnx(path, tiny, image)
