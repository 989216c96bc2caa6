"""A pair of files from outside is data: whatever it says, loading gives a model or ExportError."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import fx, nn

from lithe.export import ExportError, load, save


@pytest.fixture
def pair(tiny: nn.Module, tmp_path: Path) -> Path:
    return save(tiny, tmp_path / "net")


def rewrite(pair: Path, change: Callable[[dict], object]) -> None:
    plan = json.loads(pair.read_text())
    change(plan)
    pair.write_text(json.dumps(plan))


def step(plan: dict, target: str) -> dict:
    return next(step for step in plan["steps"] if step["target"] == target)


def retarget(old: str, new: str) -> Callable[[dict], None]:
    return lambda plan: step(plan, old).update(target=new)


def rename_module(new: str) -> Callable[[dict], None]:
    def change(plan: dict) -> None:
        step(plan, "head").update(target=new)
        plan["modules"][new] = plan["modules"].pop("head")

    return change


PLANS: dict[str, tuple[Callable[[dict], Any], str]] = {
    "format": (lambda p: p.update(format="other"), "not a plan of format"),
    "version": (lambda p: p.update(version=2), "version 2; this Lithe reads 1"),
    "extra key": (lambda p: p.update(code="x"), "code: Extra inputs"),
    "missing key": (lambda p: p.pop("steps"), "steps: Field required"),
    "function": (retarget("torch.cat", "os.system"), r"unknown function 'os\.system'"),
    "dunder": (retarget("torch.cat", "torch.__import__"), "unknown function"),
    "method": (retarget("view", "register_hook"), "unknown tensor method 'register_hook'"),
    "attribute": (
        lambda p: step(p, "builtins.getattr").update(args=[{"$node": "x"}, "__class__"]),
        "reads an attribute that is not in the list",
    ),
    "input name": (retarget("x", "x=print('no')"), "not a plain name"),
    "keyword": (retarget("x", "class"), "not a plain name"),
    "argument name": (
        lambda p: step(p, "torch.cat").update(kwargs={"dim=print('no'), x": 1}),
        "argument name that is no name",
    ),
    "step name": (lambda p: p["steps"][0].update(name="a b"), "not a new plain name"),
    "step twice": (lambda p: p["steps"][1].update(name="x"), "not a new plain name"),
    "later step": (
        lambda p: step(p, "stem.0").update(args=[{"$node": "head"}]),
        "'head', which no earlier step gives",
    ),
    "argument form": (
        lambda p: step(p, "stem.0").update(args=[{"$code": "1"}]),
        "not of a known form",
    ),
    "module name": (rename_module("head');print('no"), "not a place in a model"),
    "traversal": (rename_module("../head"), "not a place in a model"),
    "reserved name": (rename_module("code"), "not a place in a model"),
    "method name": (rename_module("stem.forward"), "not a place in a model"),
    "inside a leaf": (rename_module("depthwise.head"), "inside a module that is kept whole"),
    "kind": (
        lambda p: p["modules"]["head"].update(kind="Module"),
        "unknown kind 'Module'; import the package that registers it",
    ),
    "constructor": (
        lambda p: p["modules"]["head"]["config"].update(in_features="8"),
        r"Linear\(.*cannot be made",
    ),
    "arguments": (
        lambda p: p["modules"]["head"]["config"].update(device="cpu"),
        "Linear takes",
    ),
    "node as config": (
        lambda p: p["modules"]["head"]["config"].update(bias={"$node": "x"}),
        "configuration refers to the step 'x'",
    ),
    "shape": (
        lambda p: p["modules"]["head"]["config"].update(in_features=9),
        r"'head\.weight' has shape \(4, 8\), the plan asks for \(4, 9\)",
    ),
    "no module": (lambda p: p["modules"].pop("head"), "described differ: head"),
    "unused module": (
        lambda p: p["modules"].update(more=p["modules"]["head"]),
        "described differ: more",
    ),
    "no output": (lambda p: p["steps"].pop(), "ends with its one output"),
    "late input": (lambda p: p["steps"].insert(2, p["steps"][0]), "begins with its inputs"),
    "read a module": (
        lambda p: step(p, "scale").update(target="head"),
        "reads 'head', which is no tensor",
    ),
    "tied to nothing": (
        lambda p: p["tied"].update({"head.weight": "nowhere"}),
        "tensors in the weights but not in the plan: head.weight|is not stored",
    ),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_bad_plan_is_refused(pair: Path, name: str, capsys: pytest.CaptureFixture):
    change, message = PLANS[name]
    rewrite(pair, change)
    with pytest.raises(ExportError, match=message):
        load(pair)
    assert capsys.readouterr().out == ""  # no text of the plan was run


def rewrite_weights(pair: Path, change: Callable[[dict], object]) -> None:
    path = pair.with_suffix(".safetensors")
    tensors = safetensors.torch.load(path.read_bytes())
    change(tensors)
    data = safetensors.torch.save(tensors)
    path.write_bytes(data)
    rewrite(pair, lambda plan: plan.update(weights_sha256=hashlib.sha256(data).hexdigest()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("scale"), "tensors missing from the weights: scale"),
        (lambda t: t.update(more=torch.ones(1)), "in the weights but not in the plan: more"),
        (lambda t: t["scale"].fill_(torch.nan), "'scale' holds NaN or infinity in 8 places"),
        (lambda t: t["head.bias"].fill_(torch.inf), r"'head\.bias' holds NaN or infinity"),
        (lambda t: t["mask"].fill_(torch.nan), "'mask' holds NaN or infinity in 2 places"),
        (lambda t: t.update({"head.bias": torch.ones(4).int()}), "is torch.int32, the plan asks"),
    ],
)
def test_bad_weights_are_refused(pair: Path, change: Callable, message: str):
    rewrite_weights(pair, change)
    with pytest.raises(ExportError, match=message):
        load(pair)


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
@pytest.mark.parametrize("kept", [0, 7, 0.5])
def test_a_truncated_file_is_refused(pair: Path, suffix: str, kept: float):
    path = pair.with_suffix(suffix)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if isinstance(kept, float) else kept])
    with pytest.raises(ExportError, match=path.name.replace(".", r"\.")):
        load(pair)


def test_weights_that_are_not_safetensors_are_refused(pair: Path):
    data = b"\x80\x04N."  # a pickle
    pair.with_suffix(".safetensors").write_bytes(data)
    rewrite(pair, lambda plan: plan.update(weights_sha256=hashlib.sha256(data).hexdigest()))
    with pytest.raises(ExportError, match="is not a safetensors file"):
        load(pair)


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_a_missing_file_is_refused(pair: Path, suffix: str):
    pair.with_suffix(suffix).unlink()
    with pytest.raises(ExportError, match=rf"net\{suffix} cannot be read"):
        load(pair)


def test_a_deeply_nested_plan_is_refused(pair: Path):
    pair.write_text("[" * 100_000)
    with pytest.raises(ExportError, match="not JSON"):
        load(pair)


def places(value: Any, path: tuple = ()) -> list[tuple]:
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, item in inner:
        found.append((*path, key))
        if isinstance(item, dict | list):
            found += places(item, (*path, key))
    return found


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 99) | st.text("x.$_a1()'\" ", max_size=6)
    | st.sampled_from(["torch.cat", "view", "stem.0", "head", "call_module", "forward"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["$node", "$tuple", "$slice", "x"]), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_single_change_to_a_plan_gives_a_model_or_an_export_error(pair: Path, data: Any):
    original = pair.read_text()
    plan = json.loads(original)
    *path, last = data.draw(st.sampled_from(places(plan)))
    changed = copy.deepcopy(plan)
    inner = changed
    for key in path:
        inner = inner[key]
    inner[last] = data.draw(JSON)
    try:
        pair.write_text(json.dumps(changed))
        model = load(pair)
    except ExportError:
        return
    finally:
        pair.write_text(original)
    assert isinstance(model, fx.GraphModule)


@pytest.mark.parametrize("model", ["net", None])
def test_what_is_no_model_is_refused(model: object, tmp_path: Path):
    with pytest.raises(ExportError, match=r"not a torch\.nn\.Module"):
        save(model, tmp_path / "net")


@pytest.mark.parametrize("example", ["x", torch.zeros(1, 9, 8, 8), torch.zeros(4)])
def test_an_example_that_does_not_run_is_refused_and_nothing_written(
    tiny: nn.Module, tmp_path: Path, example: object
):
    with pytest.raises(ExportError, match="example"):
        save(tiny, tmp_path / "net", example)
    assert not list(tmp_path.iterdir())


def test_a_missing_plan_is_missing_and_not_called_damaged(tmp_path: Path):
    with pytest.raises(ExportError, match=r"^\S*net\.json cannot be read: No such file"):
        load(tmp_path / "net")
