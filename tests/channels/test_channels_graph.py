"""What the graph says about a network: groups, reasons, and refusals by name and line."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lithe import channels

X = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.a, self.b = nn.Conv2d(8, 5, 3, padding=1), nn.Conv2d(5, 8, 3, padding=1)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x))
        return self.fc((x + self.b(self.a(x).relu())).mean((2, 3)))


def test_groups_name_producers_consumers_and_travellers():
    graph = channels.trace(Residual(), X)
    stream, inner, out = graph.groups()
    assert stream.producers == {"stem": 8, "b": 8}
    assert (stream.consumers, stream.travellers) == (("a", "fc"), ("norm",))
    assert stream.cuttable
    assert stream.reasons == ()
    assert (inner.producers, inner.consumers) == ({"a": 5}, ("b",))
    assert not out.cuttable
    assert out.reasons == ("it is the network's output",)
    assert graph.group_of("b") == stream
    assert graph.free_convs() == ["a"]


def test_groups_print_in_words():
    text = str(channels.trace(Residual(), X))
    assert text.startswith("3 width groups, 2 cuttable; 1 convolutions change width alone")
    assert "stem (8), b (8)" in text
    assert "because it is the network's output" in text


def test_groups_of_padded_shortcut_span_widths():
    """Dropping a channel before the padded shortcut drops it, shifted, after it."""

    class Padded(Residual):
        def forward(self, x: Tensor) -> Tensor:
            x = self.norm(self.stem(x))[:, :, ::2, ::2]
            return self.fc(F.pad(x, (0, 0, 0, 0, 2, 1)) + self.b(self.a(x)))

    model = Padded()
    model.b, model.fc = nn.Conv2d(5, 11, 3, padding=1), nn.Conv2d(11, 2, 1)
    graph = channels.trace(model, X)
    assert graph.group_of("stem").producers == {"stem": 8, "b": 11}
    plan = channels.plan(graph, {"stem": [1, 4, 6]})
    assert plan.outputs["b"].tolist() == [0, 1, 3, 6, 8, 10]
    assert plan.inputs["fc"].tolist() == [0, 1, 3, 6, 8, 10]
    plan = channels.plan(graph, {"b": [0, 2, 3, 5, 9, 10]})
    assert plan.outputs["stem"].tolist() == [0, 1, 3, 7]


def test_plan_expands_features_after_flatten():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AvgPool2d(3), nn.Flatten(), nn.Linear(16, 3))
    plan = channels.plan(model, {"0": [3, 1]}, X)
    assert plan.outputs["0"].tolist() == [3, 1]
    assert plan.inputs["3"].tolist() == [12, 13, 14, 15, 4, 5, 6, 7]
    assert set(plan.outputs) == {"0"}
    assert set(plan.inputs) == {"3"}


def test_plan_is_reusable_on_other_weights_of_the_structure(oracle):
    first, second = oracle.randomise(Residual(), 1), oracle.randomise(Residual(), 2)
    plan = channels.plan(channels.trace(first, X), {"b": [0, 2, 5, 7]})
    assert torch.equal(plan.apply(second).stem.weight, second.stem.weight[[0, 2, 5, 7]])
    assert torch.equal(plan.apply().stem.weight, first.stem.weight[[0, 2, 5, 7]])


def test_graph_blocks_and_cells_say_what_goes_together():
    model = nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1), nn.Conv2d(12, 8, 3, groups=4), nn.PixelShuffle(2),
        nn.Conv2d(2, 2, 3),
    )  # fmt: skip
    graph = channels.trace(model, X)
    assert graph.cells("0").tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    assert len(graph.labels("0").unique()) == 12
    first = graph.labels("1")
    assert first[:4].unique().numel() == first[4:].unique().numel() == 1
    assert graph.free_convs() == []
    assert graph.group_of("0").cuttable


def test_select_keeps_the_best_of_each_cell():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3, groups=2), nn.ReLU(), nn.Conv2d(4, 2, 1)
    )
    graph = channels.trace(model, X)
    scores = torch.tensor([1.0, 9.0, 3.0, 2.0, 5.0, 6.0, 7.0, 8.0])
    assert graph.select("0", scores, 5).tolist() == [1, 2, 6, 7]
    assert graph.select("0", scores, 1).tolist() == [1, 7]  # one of each cell at least
    assert graph.select("0", scores, 8).tolist() == list(range(8))
    with pytest.raises(ValueError, match="`0` has 8 channels"):
        graph.select("0", scores[:3], 2)
    with pytest.raises(ValueError, match="count 0"):
        graph.select("0", scores, 0)


def test_trace_leaves_the_model_as_it_was():
    model = Residual().train()
    model.a.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    channels.keep(model, {"stem": [0, 1]}, X)
    assert model.training
    assert not model.a.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


class Odd(nn.Module):
    """A sorting of channels, which no rule follows, beside a part that is plain."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.fc = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.b(self.a(x)).cumsum(1)
        return self.fc(x.mean((2, 3)))


def test_unknown_operation_is_refused_by_name_and_line():
    graph = channels.trace(Odd(), X)
    assert graph.free_convs() == ["a"]
    group = graph.group_of("b")
    assert not group.cuttable
    assert "`cumsum`" in group.reasons[0]
    assert "test_channels_graph.py:" in group.reasons[0]
    with pytest.raises(channels.UntraceableError, match=r"`cumsum` in the root module .*\.py:\d+"):
        channels.keep(graph, {"b": [0, 1]})
    with pytest.raises(channels.UntraceableError) as caught:
        channels.permute(graph, {"b": [5, 4, 3, 2, 1, 0]})
    assert (caught.value.operation, caught.value.module) == ("cumsum", "")
    channels.keep(graph, {"a": [0, 1]})


def test_unknown_module_is_refused_by_its_path():
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.LocalResponseNorm(2))
            self.out = nn.Conv2d(6, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.body(x))

    with pytest.raises(channels.UntraceableError, match=r"`LocalResponseNorm` in `body.1`"):
        channels.keep(Outer(), {"body.0": [0]}, X)


def test_forward_that_branches_on_data_is_refused_by_line():
    class Branch(Residual):
        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            if x.mean() > 0:
                x = x + 1
            return x

    with pytest.raises(channels.UntraceableError, match=r"forward.*test_channels_graph.py:\d+"):
        channels.trace(Branch(), X)


def test_weights_computed_elsewhere_are_not_cut():
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 5, 3), nn.Conv2d(5, 2, 1))
    nn.utils.parametrizations.weight_norm(model[2])
    graph = channels.trace(model, X)
    assert graph.free_convs() == []
    assert "`ParametrizedConv2d` in `2`" in graph.group_of("0").reasons[0]


def test_layer_norm_pins_but_lets_channels_move(oracle):
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.GroupNorm(1, 6), nn.ReLU(), nn.Conv2d(6, 2, 1))
    graph = channels.trace(oracle.randomise(model), X)
    with pytest.raises(channels.UncuttableError, match=r"`0` cannot be cut: `GroupNorm` in `1`"):
        channels.keep(graph, {"0": [0, 1]})
    moved = channels.permute(graph, {"0": [3, 1, 5, 0, 2, 4]})
    oracle.close(moved(X), model(X))


def test_mean_over_channels_pins_and_says_so():
    class Mean(Residual):
        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            return self.fc(self.norm(x * x.mean(1, keepdim=True)).mean((2, 3)))

    graph = channels.trace(Mean(), X)
    assert "`mean` (channels/test_channels_graph.py:" in graph.group_of("stem").reasons[0]
    with pytest.raises(channels.UncuttableError, match="over all its channels"):
        channels.keep(graph, {"stem": [1]})


@pytest.mark.parametrize("name", ["fc", "out"])
def test_network_outputs_keep_width_and_order(name):
    class Two(Residual):
        def __init__(self) -> None:
            super().__init__()
            self.out = nn.Conv2d(8, 3, 1)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            x = self.stem(x)
            return {"map": self.out(x), "class": self.fc(x.mean((2, 3)))}

    graph = channels.trace(Two(), X)
    width = len(graph.labels(name))
    with pytest.raises(channels.UncuttableError, match=f"`{name}` cannot be cut: it is the netw"):
        channels.keep(graph, {name: [0]})
    with pytest.raises(channels.UncuttableError, match=f"`{name}` cannot be reordered"):
        channels.permute(graph, {name: list(reversed(range(width)))})
    channels.permute(graph, {name: list(range(width))})  # nothing moves


def test_tensors_of_another_origin_pin_what_they_meet():
    class Global(Residual):
        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.b(self.a(self.norm(self.stem(x)))) + self.same(x))

    model = Global()
    model.b, model.same, model.fc = nn.Conv2d(5, 3, 3, padding=1), nn.Identity(), nn.Conv2d(3, 2, 1)
    graph = channels.trace(model, X)
    assert "combines it with the network's input `x`" in graph.group_of("b").reasons[0]
    assert graph.group_of("a").cuttable


def test_attention_over_channels_is_left_whole(oracle):
    """A product of two tensors' channels: not followed, so pinned; the rest is cut."""

    class Attention(Residual):
        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x).flatten(2)
            x = torch.softmax(x @ x.transpose(1, 2), -1) @ x
            return self.fc(x.mean(2)) + self.fc(self.b(self.a(x[..., None])).mean((2, 3)))

    graph = oracle.check_keep(oracle.randomise(Attention()), X.repeat(2, 1, 1, 1) + 0.1)
    assert not graph.group_of("stem").cuttable
    assert graph.free_convs() == ["a"]


def test_parameters_used_elsewhere_are_not_cut():
    """A weight that is read beside its layer, or belongs to one that is not followed."""

    class Penalised(Residual):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * self.a.weight.square().mean()

    class Embedded(Residual):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(5, 8)
            self.a = nn.Conv2d(8, 5, 3, padding=1)
            self.extra = nn.Linear(8, 5)
            self.extra.weight = self.words.weight
            self.fc = nn.Linear(8, 4)
            self.last = nn.Linear(5, 4)

        def forward(self, x: Tensor) -> Tensor:
            words = self.words(torch.zeros(1, dtype=torch.long))
            x = self.stem(x).mean((2, 3)) + words.detach()
            return self.fc(x) + self.last(self.extra(x))

    graph = channels.trace(Penalised(), X)
    assert not graph.group_of("a").cuttable
    assert "also used as `a.weight`" in graph.group_of("a").reasons[0]
    graph = channels.trace(Embedded(), X)
    assert "also used as `words.weight`" in graph.group_of("extra").reasons[0]
