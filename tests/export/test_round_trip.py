from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, fx, nn

from lithe.export import ExportError, load, register_module, save
from lithe.vision import torchvision

MODELS = {
    "resnet18": {},
    "mobilenet_v3_small": {},
    "densenet121": {},
    "shufflenet_v2_x0_5": {},
    "efficientnet_b0": {},
    "convnext_tiny": {},
    "googlenet": {"init_weights": False},
    "regnet_y_400mf": {},
}


def outputs(model: nn.Module, image: Tensor) -> Tensor:
    with torch.no_grad():
        return model.eval()(image)


def test_a_small_net_round_trips_bit_for_bit(tiny: nn.Module, image: Tensor, tmp_path: Path):
    assert save(tiny, tmp_path / "net", image) == tmp_path / "net.json"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.json", "net.safetensors"]
    loaded = load(tmp_path / "net")
    assert not loaded.training
    assert torch.equal(outputs(loaded, image), outputs(tiny, image))
    assert not any("unused" in name for name, _ in loaded.named_parameters())


@pytest.mark.parametrize("name", MODELS)
def test_torchvision_models_round_trip_bit_for_bit(name: str, tmp_path: Path):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = getattr(torchvision().models, name)(weights=None, **MODELS[name])
        image = torch.rand(2, 3, 64, 64)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.fill_(0.01)
            module.running_var.fill_(0.9)
    save(model, tmp_path / name)
    assert model.training  # as it was before
    assert torch.equal(outputs(load(tmp_path / name), image), outputs(model, image))


def test_an_edited_graph_module_round_trips(tiny: nn.Module, image: Tensor, tmp_path: Path):
    edited = fx.symbolic_trace(tiny.eval())
    [conv] = [node for node in edited.graph.nodes if node.target == "depthwise"]
    with edited.graph.inserting_after(conv):
        edited.add_submodule("extra.norm", nn.BatchNorm2d(8))
        new = edited.graph.call_module("extra.norm", (conv,))
    conv.replace_all_uses_with(new, delete_user_cb=lambda user: user is not new)
    edited.recompile()
    save(edited, tmp_path / "net", image)
    again = save(load(tmp_path / "net"), tmp_path / "again", image)
    assert torch.equal(outputs(load(again), image), outputs(edited, image))


def test_saving_twice_gives_the_same_bytes(tiny: nn.Module, tmp_path: Path):
    first, second = save(tiny, tmp_path / "a"), save(tiny, tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()


def test_loading_needs_no_class_and_no_pickle(tiny: nn.Module, image: Tensor, tmp_path: Path):
    save(tiny, tmp_path / "net")
    torch.save({"x": image, "y": outputs(tiny, image)}, tmp_path / "io.pt")
    code = (
        "import pickle, sys, torch\n"
        "io = torch.load('io.pt', weights_only=True)\n"
        "def refuse(*_, **__): raise SystemExit('pickle was used')\n"
        "pickle.load = pickle.loads = pickle.Unpickler = torch.load = refuse\n"
        "torch.set_num_threads(1)\n"
        "from lithe.export import load\n"
        "assert torch.equal(load('net')(io['x']), io['y'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_flags_and_weights_of_the_model_are_left_alone(tiny: nn.Module, tmp_path: Path):
    tiny.train()
    tiny.stem.eval()
    before = {name: value.clone() for name, value in tiny.state_dict().items()}
    names = set(dir(tiny))
    save(tiny, tmp_path / "net")
    assert tiny.training
    assert not tiny.stem.training
    assert set(dir(tiny)) == names
    assert all(torch.equal(before[name], value) for name, value in tiny.state_dict().items())


def test_loading_draws_nothing_from_the_global_generator(tiny: nn.Module, tmp_path: Path):
    save(tiny, tmp_path / "net")
    state = torch.get_rng_state()
    load(tmp_path / "net")
    assert torch.equal(torch.get_rng_state(), state)


def test_a_loaded_model_can_be_trained(tiny: nn.Module, image: Tensor, tmp_path: Path):
    save(tiny, tmp_path / "net")
    loaded = load(tmp_path / "net").train()
    loaded(image).sum().backward()
    assert all(parameter.grad is not None for parameter in loaded.parameters())


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(self.a(x))) @ self.a.weight


def test_tied_weights_are_stored_once_and_stay_tied(tmp_path: Path):
    model = Tied()
    save(model, tmp_path / "net", torch.rand(2, 4))
    assert sorted(load_file(tmp_path / "net.safetensors")) == ["a.bias", "a.weight", "b.bias"]
    loaded = load(tmp_path / "net")
    assert loaded.a.weight is loaded.b.weight
    x = torch.rand(2, 4)
    assert torch.equal(outputs(loaded, x), outputs(model, x))


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1, padding=1), (2, 4, 5, 5)),
        (nn.Conv2d(4, 4, 3, padding="same", padding_mode="reflect"), (2, 4, 5, 5)),
        (nn.Conv1d(4, 2, 3, dilation=2, bias=False), (2, 4, 9)),
        (nn.GroupNorm(2, 4), (2, 4, 5, 5)),
        (nn.LayerNorm((4, 5), bias=False), (2, 4, 5)),
        (nn.BatchNorm2d(4, affine=False, track_running_stats=False), (2, 4, 5, 5)),
        (nn.PReLU(4), (2, 4, 5)),
        (nn.PixelShuffle(2), (2, 4, 5, 5)),
        (nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False), (2, 4, 5, 5)),
        (nn.AvgPool2d(2, ceil_mode=True), (2, 4, 5, 5)),
        (nn.AdaptiveAvgPool2d((None, 1)), (2, 4, 5, 5)),
        (nn.LSTM(4, 3, num_layers=2, bidirectional=True, batch_first=True), (2, 5, 4)),
        (nn.Flatten(0, 1), (2, 4, 5)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_leaves_keep_their_arguments(module: nn.Module, shape: tuple, tmp_path: Path):
    model = nn.Sequential(module)
    x = torch.rand(shape)
    loaded = load(save(model, tmp_path / "net", x))
    assert repr(loaded.get_submodule("0")) == repr(module)


def test_half_precision_survives(tmp_path: Path):
    save(nn.Sequential(nn.Linear(2, 2)).to(torch.bfloat16), tmp_path / "net")
    assert load(tmp_path / "net").get_parameter("0.weight").dtype is torch.bfloat16


@register_module("test.Shift")
class Shift(nn.Module):
    def __init__(self, size: int):
        super().__init__()
        self.register_buffer("index", torch.arange(size).roll(1))

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self.index.tolist()]  # torch.fx could not trace through this

    def export_config(self) -> dict:
        return {"size": len(self.index)}

    @classmethod
    def from_config(cls, config: dict) -> Shift:
        return cls(**config)


def test_a_registered_module_is_kept_whole(tmp_path: Path):
    model = nn.Sequential(nn.Linear(3, 4), Shift(4))
    model[1].index.copy_(torch.tensor([2, 3, 0, 1]))
    loaded = load(save(model, tmp_path / "net", torch.rand(2, 3)))
    assert type(loaded.get_submodule("1")) is Shift
    assert loaded.get_submodule("1").index.tolist() == [2, 3, 0, 1]


def test_registering_is_refused_without_the_two_methods_or_under_a_taken_name():
    with pytest.raises(TypeError, match="Linear needs a method export_config"):
        register_module("test.Linear")(nn.Linear)
    other = type("Other", (Shift,), {})
    with pytest.raises(ValueError, match=r"'test\.Shift' is taken"):
        register_module("test.Shift")(other)
    with pytest.raises(ValueError, match="needs a dot"):
        register_module("Shift")


class Inverse(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.inv(x)


class Branch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class Frozen(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rand(1)  # drawn once while tracing, again in the original


class Doubling(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 2


def hooked() -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 2))
    model[0].register_forward_hook(lambda *_: None)
    return model


def broken() -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 2))
    model[0].weight.data[0, 0] = torch.nan
    return model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Inverse(), r"function .*linalg_inv cannot be saved"),
        (Branch(), "torch.fx cannot trace Branch"),
        (Frozen(), "Frozen computes something else when rebuilt"),
        (nn.Sequential(nn.Bilinear(2, 2, 2)), r"cannot trace|Bilinear, which cannot be saved"),
        (nn.Sequential(nn.Softmax2d()), r"module '0' is a .*Softmax2d, which cannot be saved"),
        (hooked(), "module '0' has forward hooks"),
        (broken(), r"tensor '0\.weight' holds NaN or infinity in 1 places"),
        (
            nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)),
            "ParametrizationList, which",
        ),
    ],
    ids=["function", "branch", "random", "bilinear", "module", "hook", "nan", "parametrized"],
)
def test_what_a_plan_cannot_hold_is_refused_by_name(model: nn.Module, message: str, tmp_path: Path):
    with pytest.raises(ExportError, match=message):
        save(model, tmp_path / "net", torch.rand(2, 2))
    assert list(tmp_path.iterdir()) == []


def test_a_subclass_of_a_known_module_is_traced_not_mistaken_for_it(tmp_path: Path):
    model = nn.Sequential(Doubling(2, 2))
    x = torch.rand(2, 2)
    loaded = load(save(model, tmp_path / "net", x))
    assert torch.equal(outputs(loaded, x), outputs(model, x))


def test_a_failed_write_leaves_the_old_pair(
    tiny: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    save(tiny, tmp_path / "net")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("lithe.export.pair.write_atomic", full)
    with torch.no_grad():
        tiny.scale.add_(1)
    with pytest.raises(OSError, match="disk full"):
        save(tiny, tmp_path / "net")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_plan_is_readable(tiny: nn.Module, tmp_path: Path):
    plan = json.loads(save(tiny, tmp_path / "net").read_text())
    assert (plan["format"], plan["version"], plan["model"]) == ("lithe.model", 1, "Tiny")
    assert plan["modules"]["depthwise"]["config"]["groups"] == 8
    assert plan["tensors"] == {
        "scale": "parameter",
        "mask": "buffer",
        "_tensor_constant0": "buffer",
    }
