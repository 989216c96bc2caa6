"""Executors: the same numbers from whatever runs a branch."""

import numpy as np
import pytest
import torch
from torch import nn

from lithe.arm import EdgeTable, Supernet, Upscaler
from lithe.arm import executors as executors_module
from lithe.arm.branches import Interpolation
from lithe.arm.executors import OnnxExecutor, TorchExecutor, executor, fastest, kind_of, layout_of
from lithe.arm.latencies import Latencies
from lithe.arm.subpixel import subpixel, without_transposed


@pytest.mark.parametrize(
    ("k", "s", "p"), [(9, 4, 3), (9, 2, 4), (9, 3, 3), (2, 2, 0), (4, 2, 1), (6, 3, 2), (3, 4, 0)]
)
@pytest.mark.parametrize("bias", [True, False])
def test_a_transposed_convolution_is_a_convolution_and_a_shuffle(k, s, p, bias):
    torch.manual_seed(0)
    spare = s - k + 2 * p
    if not 0 <= spare < s:
        pytest.skip("torch has no such layer")
    conv = nn.ConvTranspose2d(5, 3, k, s, p, output_padding=spare, bias=bias).double()
    x = torch.randn(2, 5, 6, 7, dtype=torch.float64)
    torch.testing.assert_close(subpixel(conv)(x), conv(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "conv",
    [
        nn.ConvTranspose2d(4, 4, 3, 2),  # its output is no multiple of the input
        nn.ConvTranspose2d(4, 4, 4, 2, 1, groups=2),
        nn.ConvTranspose2d(4, 4, (4, 2), 2, (1, 0)),
        nn.ConvTranspose2d(4, 4, 3, 2, 2, output_padding=1, dilation=2),
        nn.ConvTranspose2d(4, 4, 3, 1, 1),
    ],
)
def test_other_transposed_convolutions_stay(conv):
    assert subpixel(conv) is None
    kept = without_transposed(nn.Sequential(conv))
    assert isinstance(kept[0], nn.ConvTranspose2d)
    assert kept[0] is not conv


@pytest.fixture(scope="module")
def nets(golden):
    from lithe.arm import load_official

    fsrcnn = load_official(golden / "arm_fsrcnn_official.safetensors", "fsrcnn")
    carn = load_official(golden / "arm_carn_official.safetensors", "carn")
    return {"fsrcnn": fsrcnn.branch(3), "carn": carn.branch(1)}


@pytest.mark.parametrize("kind", ["torch", "onnx"])
@pytest.mark.parametrize("name", ["fsrcnn", "carn"])
def test_executors_agree_with_torch_at_any_size(nets, name, kind):
    net = nets[name]
    run = executor(net, kind)
    assert kind_of(run) == kind
    for n, h, w in ((1, 24, 20), (3, 17, 31), (1, 1, 5)):
        x = torch.rand(n, 3, h, w, generator=torch.Generator().manual_seed(h))
        with torch.inference_mode():
            expected = net(x)
            made = run(x.contiguous(memory_format=layout_of(run)))
        torch.testing.assert_close(made, expected, rtol=0, atol=2e-5)


def test_interpolation_is_left_alone_and_unknown_executors_are_refused():
    plain = Interpolation(4)
    assert fastest(plain, 8) is plain
    assert executor(plain, "onnx") is plain
    assert layout_of(plain) == torch.contiguous_format
    with pytest.raises(ValueError, match="executor is 'cuda'; known are 'torch', 'onnx'"):
        executor(plain, "cuda")


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 3, padding=1)

    def forward(self, x):
        return nn.functional.pixel_shuffle(self.conv(x), 2)


class Off:
    """An executor that is fast and wrong by a little."""

    kind, layout = "onnx", torch.contiguous_format

    def __init__(self, net):
        self.net = net

    def __call__(self, x):
        return self.net(x) + 1e-3


def test_a_faster_executor_is_used_only_if_it_gives_the_same(monkeypatch):
    net = Small().eval().requires_grad_(False)
    times = iter(np.cumsum([0, 9, 0, 1] * 10).tolist())  # torch takes 9, the other 1
    monkeypatch.setattr(executors_module, "perf_counter", lambda: next(times))
    assert isinstance(fastest(net, 8, rounds=1), OnnxExecutor)
    monkeypatch.setattr(executors_module, "OnnxExecutor", Off)
    assert isinstance(fastest(net, 8, rounds=1), TorchExecutor)


def test_what_cannot_be_exported_stays_in_torch(monkeypatch):
    net = Small().eval()
    monkeypatch.setattr(
        executors_module, "OnnxExecutor", lambda net: (_ for _ in ()).throw(RuntimeError("no"))
    )
    assert isinstance(fastest(net, 8, rounds=1), TorchExecutor)
    monkeypatch.setattr(executors_module.importlib.util, "find_spec", lambda name: None)
    assert isinstance(fastest(net, 8, rounds=1), TorchExecutor)


def test_an_upscaler_runs_what_was_measured():
    net = Supernet("fsrcnn", generator=torch.Generator().manual_seed(0)).eval()
    edges = np.linspace(0, 120, 9)
    gain = np.outer(1 - 0.5 ** np.arange(4), np.arange(8) + 1.0)
    table = EdgeTable(edges, 30 + gain, np.ones(8), names=("a", "b", "c", "d"))
    ms = {32: (0.1, 1.0, 2.0, 3.0)}
    halos = tuple(Upscaler(net).halos)
    known = Latencies(ms, {32: (1, 1, 1, 1)}, halos, 1, ("torch", "torch", "torch", "onnx"))
    up = Upscaler(net, table, latencies=known)
    assert up.largest == 32
    with pytest.raises(ValueError, match=r"latencies are for tiles of \[32\], not of 64"):
        Upscaler(net, table, latencies=known, largest=64)
    assert [kind_of(run) for run in up.runs] == list(known.executors)
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    plain = Upscaler(net, table)
    assert plain.largest == 256  # its layers are thin
    assert np.abs(up(picture).image.astype(int) - plain(picture).image).max() <= 1
    other = up.routed_by(table)
    assert other.runs is up.runs
    with pytest.raises(ValueError, match="the table has 3 branches"):
        up.routed_by(EdgeTable(edges, 30 + gain[:3], np.ones(8), names=("a", "b", "c")))
