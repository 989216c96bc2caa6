"""Pruning whole networks: filters that move, masks that hold, layers left out with a reason."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from lithe import cost, data, onexn
from lithe.channels import UntraceableError, trace
from lithe.onexn.grid import Grid
from lithe.onexn.moving import joint_orders
from lithe.training import TrainConfig, fit
from lithe.vision import torchvision

LEFT = {
    "stem.0": "the first convolution",
    "depthwise.0": "depthwise: one input channel per filter",
    "head": "the last layer: makes the network's output",
}
LAYERS = ["expand.0", "project.0", "left.0", "right.0", "grouped.0", "hidden"]


def close(ours, theirs):
    assert float(theirs.std()) > 1e-2, "outputs are all alike: this comparison cannot fail"
    assert float((ours - theirs).abs().max()) <= 1e-5 * max(1.0, float(theirs.std()))


@torch.no_grad()
def check_moved(model, x, expected):
    moved, names = onexn.move_filters(model, x[:1])
    assert names == expected
    assert type(moved) is type(model)
    assert list(moved.state_dict()) == list(model.state_dict())
    close(moved(x), model(x))
    before, after = model.state_dict(), moved.state_dict()
    for name in names:
        assert not torch.equal(before[f"{name}.weight"], after[f"{name}.weight"]), name
    return moved


def test_filters_move_and_the_function_stays(tangle, images):
    moved = check_moved(tangle, images, {"stem.0", *LAYERS})
    # left and right are read in groups of four, so theirs are sorted group by group
    runs = {"expand.0": (18,), "hidden": (14,), "left.0": (4, 4, 2), "right.0": (2, 4)}
    for name, sizes in runs.items():
        for norms in moved.get_submodule(name).weight.abs().flatten(1).sum(1).split(sizes):
            assert torch.equal(norms, norms.sort().values), name
    joint = [moved.get_submodule(n).weight.detach().flatten(1) for n in ("stem.0", "project.0")]
    shares = sum(w.abs().sum(1) / w.abs().sum(1).mean() for w in joint)
    assert bool((shares.diff() >= 0).all()), "layers of a sum are sorted by their joint norm"


def test_no_layer_of_a_sum_outweighs_the_others(tangle, images):
    before = joint_orders(trace(tangle, images[:1]), ["stem.0", "project.0"])
    with torch.no_grad():
        tangle.project[0].weight *= 100
    after = joint_orders(trace(tangle, images[:1]), ["stem.0", "project.0"])
    assert list(before) == list(after) == ["stem.0"]
    assert torch.equal(before["stem.0"], after["stem.0"])
    alone = joint_orders(trace(tangle, images[:1]), ["project.0"])["project.0"]
    assert not torch.equal(after["stem.0"], alone)


def test_filters_move_where_channels_part_ways(halves, images):
    check_moved(halves(), images, {"first.0", "wide.0", "upper.0"})


def test_filters_stay_where_a_part_runs_in_training_only(halves, images):
    model = halves(auxiliary=True)
    moved, names = onexn.move_filters(model, images[:1])
    assert not names
    assert torch.equal(moved(images), model(images))
    pruned = onexn.prune(model, 4, 0.0, example=images[:1])
    assert {row.placement for row in pruned.pruning.layers} == {"rows"}
    assert torch.equal(pruned.train()(images), copy.deepcopy(model).train()(images))


ZOO = {"mobilenet_v2": 35, "densenet121": 120, "shufflenet_v2_x1_0": 18, "resnet18": 20}


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "shufflenet_v2_x1_0"])
def test_filters_of_the_zoo_move(name):
    torch.manual_seed(0)
    model = getattr(torchvision().models, name)(weights=None, num_classes=10).eval()
    for module in model.modules():  # untrained deep sums would leave no signal in the output
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        model.train()(x)
    model.eval()
    moved, names = onexn.move_filters(model, x[:1])
    assert len(names) == ZOO[name]
    with torch.no_grad():
        close(moved(x), model(x))


def test_pruning_at_zero_leaves_the_function(tangle, images):
    for example in (None, images[:1]):
        pruned = onexn.prune(tangle, 4, 0.0, example=example)
        close(pruned(images).detach(), tangle(images).detach())


def test_the_report_names_every_layer(tangle, images):
    before = copy.deepcopy(tangle.state_dict())
    pruned = onexn.prune(tangle, 4, 0.5, example=images[:1])
    report = pruned.pruning
    assert [row.name for row in report.layers] == LAYERS
    assert {row.placement for row in report.layers} == {"moved"}
    assert dict(report.skipped) == LEFT
    masks = {name: layer.mask for name, layer in onexn.masked_layers(pruned).items()}
    assert {row.name: row.kept for row in report.layers} == {
        n: int(m.sum()) for n, m in masks.items()
    }
    for line in ("pruned hidden: ", "filters moved", "left   head: the last layer"):
        assert line in str(report)
    assert list(before) == list(tangle.state_dict())
    assert all(torch.equal(before[k], v) for k, v in tangle.state_dict().items())


@pytest.mark.parametrize("rearrange", [True, False])
@pytest.mark.parametrize("traced", [True, False])
def test_masks_are_those_of_the_pattern(rearrange, traced, tangle, images):
    example = images[:1] if traced else None
    pruned = onexn.prune(tangle, 4, 0.5, rearrange, example)
    base = onexn.move_filters(tangle, images[:1], LAYERS)[0] if rearrange and traced else tangle
    rows = rearrange and not traced
    for name, layer in onexn.masked_layers(pruned).items():
        weight, groups = base.get_submodule(name).weight, getattr(layer, "groups", 1)
        mask = onexn.block_mask(weight, 4, 0.5, rows, groups=groups)
        assert torch.equal(layer.mask, mask), name
        assert torch.equal(layer.weight, torch.where(mask, weight, 0.0))
        natural = torch.equal(layer.order, torch.arange(len(weight)))
        assert natural != rows


def test_rules_and_requests(tangle):
    names = lambda **o: [row.name for row in onexn.prune(tangle, **o).pruning.layers]  # noqa: E731
    assert names(skip=["left.0"]) == [n for n in LAYERS if n != "left.0"]
    assert names(skip="hidden") == LAYERS[:-1]
    assert names(ends=True) == ["stem.0", *LAYERS, "head"]


def test_layers_that_cannot_be_pruned_are_named():
    tied = nn.Linear(6, 6)
    twin = nn.Linear(6, 6)
    twin.weight = tied.weight
    hooked = nn.Conv2d(4, 4, 1)
    hooked.register_forward_hook(lambda *_: None)
    normed = parametrizations.weight_norm(nn.Conv2d(4, 4, 1))
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, padding_mode="reflect", padding=1), hooked, normed,
        nn.ConvTranspose2d(4, 4, 2), nn.Flatten(), tied, twin, nn.Linear(6, 8), nn.Linear(8, 2),
    )  # fmt: skip
    pruned = onexn.prune(model, 2)
    assert [row.name for row in pruned.pruning.layers] == ["8"]
    reasons = dict(pruned.pruning.skipped)
    for name, words in {
        "0": "first", "1": "reflect", "2": "hooks", "3": "Parametrized", "4": "ConvTranspose2d",
        "6": "shared", "7": "shared", "9": "last",
    }.items():  # fmt: skip
        assert words in reasons[name]


def test_a_parameter_that_something_else_reads_stays_tied():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 1)
    )
    model.register_parameter("scale", model[1].bias)
    pruned = onexn.prune(model, 2)
    assert [row.name for row in pruned.pruning.layers] == ["2"]
    assert pruned.scale is pruned[1].bias


def test_a_layer_that_runs_twice_is_one_layer(images):
    torch.manual_seed(0)
    twice = nn.Conv2d(8, 8, 3, padding=1)
    model = nn.Sequential(nn.Conv2d(3, 8, 1), twice, nn.ReLU(), twice, nn.Conv2d(8, 2, 1))
    for example in (None, images[:1]):
        pruned = onexn.prune(model, 4, 0.5, example=example)
        assert pruned[1] is pruned[3]
        assert [row.name for row in pruned.pruning.layers] == ["1"]
        assert torch.equal(onexn.finalise(pruned)(images), pruned(images))
        close(onexn.prune(model, 4, 0.0, example=example)(images).detach(), model(images).detach())


def test_transposed_and_grouped_layers_move_too(images):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.ConvTranspose2d(8, 12, 2, groups=2), nn.Conv2d(12, 2, 1)
    )
    moved = check_moved(model, images, {"0", "1"})
    norms = moved[1].weight.reshape(2, 4, 6, -1).abs().sum((1, 3))
    assert torch.equal(norms, norms.sort(dim=1).values)


GOLDEN = {"mobilenet_v2": (), "mobilenet_v3_small": ("classifier.0",)}


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("n", [4, 8])
def test_kept_weights_equal_the_released_counts(name, n, golden):
    released = json.loads((golden / "onexn_models.json").read_text())[name]
    model = getattr(torchvision().models, name)(weights=None)
    pruned = onexn.prune(model, n, 0.5, skip=GOLDEN[name])
    kept = {row.name: row.kept for row in pruned.pruning.layers}
    layers = {k: m for k, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    assert sum(m.weight.numel() for m in layers.values()) == released["conv_weights_dense"]
    total = sum(kept.get(key, layer.weight.numel()) for key, layer in layers.items())
    assert total == released[f"N{n}_p0.5_intended"]["conv_weights_kept"]


OPTIMISERS = {
    "sgd": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 0.01, momentum=0.9, centered=True),
}


def train(model, optimiser, x, steps=4):
    model.train()
    for _ in range(steps):
        optimiser.zero_grad()
        model(x).square().mean().backward()
        optimiser.step()


@pytest.mark.parametrize("name", OPTIMISERS)
def test_zeros_stay_exactly_zero_while_the_rest_is_trained(name, tangle, images):
    pruned = onexn.prune(tangle, 4, 0.6, example=images[:1])
    before = copy.deepcopy(pruned.state_dict())
    train(pruned, OPTIMISERS[name](pruned.parameters()), images)
    for key, layer in onexn.masked_layers(pruned).items():
        assert not bool(layer.weight[~layer.mask].any()), key
        assert not bool(layer.weight.grad[~layer.mask].any()), key
        assert torch.equal(layer.mask, before[f"{key}.mask"])
        assert not torch.equal(layer.weight, before[f"{key}.weight"])


def test_momentum_from_before_the_mask_is_never_seen(images):
    torch.manual_seed(0)
    conv = onexn.MaskedConv2d(3, 8, 3, n=4)
    optimiser = OPTIMISERS["sgd"](conv.parameters())
    train(conv, optimiser, images)
    with torch.no_grad():
        conv.mask.copy_(onexn.block_mask(conv.weight, 4, 0.5))
    train(conv, optimiser, images)
    drifted = conv.weight[~conv.mask]
    assert bool(drifted.any())
    with torch.no_grad():
        expected = F.conv2d(images, conv.weight * conv.mask, conv.bias)
        assert torch.equal(conv(images), expected)
        onexn.hold(conv)
        assert not bool(conv.weight[~conv.mask].any())
        assert torch.equal(conv(images), expected)


def test_a_masked_nan_is_never_seen(tangle, images):
    pruned = onexn.prune(tangle, 4, 0.5)
    expected = pruned(images)
    with torch.no_grad():
        for layer in onexn.masked_layers(pruned).values():
            layer.weight[~layer.mask] = torch.nan
    assert torch.equal(pruned(images), expected)
    pruned(images).sum().backward()
    layer = pruned.get_submodule("expand.0")
    assert bool(layer.weight.grad.isfinite().all())


def test_finalise_gives_ordinary_layers(tangle, images):
    pruned = onexn.prune(tangle, 4, 0.5, example=images[:1])
    train(pruned, OPTIMISERS["sgd"](pruned.parameters()), images)
    for mode in (True, False):
        final = onexn.finalise(pruned.train(mode))
        assert not onexn.masked_layers(final)
        assert list(final.state_dict()) == list(tangle.state_dict())
        assert all(m.training == mode for m in final.modules())
        assert all(type(final.get_submodule(n)) in (nn.Conv2d, nn.Linear) for n in LAYERS)
    assert torch.equal(final(images), pruned(images))
    assert not bool(final.hidden.weight[~pruned.hidden.mask].any())
    assert cost.count(pruned, images[:1]).macs == cost.count(tangle, images[:1]).macs


def test_deepcopy_and_state_dict_carry_everything(tangle, remade, images):
    pruned = onexn.prune(tangle, 4, 0.5, example=images[:1])
    train(pruned, OPTIMISERS["sgd"](pruned.parameters()), images)
    pruned.eval()
    assert torch.equal(copy.deepcopy(pruned)(images), pruned(images))
    for example in (images[:1], None):  # filters of the other network moved otherwise, or not
        other = onexn.prune(remade(7), 4, 0.5, example=example)
        assert not torch.equal(other.hidden.mask, pruned.hidden.mask)
        other.load_state_dict(pruned.state_dict())
        assert torch.equal(other(images), pruned(images))
        with torch.no_grad():
            same = onexn.compress(other)(images), pruned(images)
        assert torch.allclose(*same, rtol=1e-5, atol=1e-6)


def test_a_run_that_was_stopped_ends_with_the_same_bits(remade, tmp_path):
    images = data.fake_images((3, 8, 8), 5, 16, seed=0)
    example = torch.zeros(1, 3, 8, 8)

    def run(epochs, directory=None, seed=0):
        model = onexn.prune(remade(seed), 4, 0.5, example=example)
        config = TrainConfig(epochs=3, batch_size=8, lr=0.05, weight_decay=0.01, device="cpu")
        calls = []

        def step(model, x, y):
            calls.append(None)
            if len(calls) == 2 * epochs:
                raise KeyboardInterrupt
            outputs = model(x)
            return F.cross_entropy(outputs, y), outputs

        try:
            fit(model, images, config, step=step, progress=False, directory=directory)
        except KeyboardInterrupt:
            assert epochs < 4
        return model.state_dict()

    whole = run(4)
    run(2, tmp_path)
    resumed = run(4, tmp_path, seed=5)  # other weights: all that matters comes from the folder
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.parametrize("budget", ["layer", "row", "global"])
def test_gradual_pruning_ends_at_its_target_and_never_returns(budget, tangle, images):
    pruned = onexn.prune(tangle, 4, 0.1, example=images[:1], budget=budget)
    optimiser = OPTIMISERS["sgd"](pruned.parameters())
    for step in range(1, 6):
        before = {n: x.mask.clone() for n, x in onexn.masked_layers(pruned).items()}
        report = onexn.tighten(pruned, onexn.cubic_sparsity(step, 0, 5, 0.75, 0.1))
        train(pruned, optimiser, images, steps=1)
        for name, layer in onexn.masked_layers(pruned).items():
            assert not bool((layer.mask & ~before[name]).any()), "a block came back"
            Grid(layer.mask.shape, 4, layer.order, getattr(layer, "groups", 1)).kept(layer.mask)
    assert report is pruned.pruning
    assert report.sparsity == 0.75
    for layer in onexn.masked_layers(pruned).values():
        kept = layer.grid.kept(layer.mask)
        if budget == "layer":
            assert int((~kept).sum()) == int(0.75 * kept.numel())
        if budget == "row":
            assert set((~kept).sum(1).tolist()) == {int(0.75 * kept.shape[1])}
    if budget == "global":  # at most one block short of the target
        total = sum(row.weights for row in report.layers)
        assert 0.25 <= report.kept <= 0.25 + 36 / total
    counts = {row.name: row.kept for row in report.layers}
    assert counts == {n: int(x.mask.sum()) for n, x in onexn.masked_layers(pruned).items()}


def test_blocks_gone_stay_gone_whatever_the_weights_say(tangle):
    sparse, pruned = onexn.prune(tangle, 4, 0.6), onexn.prune(tangle, 4, 0.1)
    pruned.load_state_dict(sparse.state_dict())  # a run resumed from further on
    with torch.no_grad():
        for layer in onexn.masked_layers(pruned).values():
            layer.weight.zero_()
    for sparsity in (0.3, 0.6):
        onexn.tighten(pruned, sparsity)
        for name, layer in onexn.masked_layers(pruned).items():
            assert torch.equal(layer.mask, sparse.get_submodule(name).mask), (sparsity, name)


def test_one_tightening_from_zero_is_the_stroke(tangle, images):
    gradual = onexn.prune(tangle, 4, 0.0, example=images[:1])
    onexn.tighten(gradual, 0.5)
    stroke = onexn.prune(tangle, 4, 0.5, example=images[:1])
    for name, tensor in stroke.state_dict().items():
        assert torch.equal(tensor, gradual.state_dict()[name]), name


@pytest.mark.parametrize("pattern", ["weight", "filter", "kernel", "random"])
def test_baselines_prune_whole_networks(pattern, tangle, images):
    generator = torch.Generator().manual_seed(0) if pattern == "random" else None
    pruned = onexn.prune(tangle, 4, 0.5, pattern=pattern, generator=generator)
    assert 0.45 < pruned.pruning.kept < 0.62
    weight, mask = tangle.left[0].weight, pruned.left[0].mask
    if pattern == "random":
        assert int(Grid(mask.shape, 4).kept(mask).sum()) == 18
    else:
        assert torch.equal(mask, getattr(onexn, f"{pattern}_mask")(weight, 0.5))
    assert {row.placement for row in pruned.pruning.layers} == {"natural"}
    assert not torch.equal(pruned(images), tangle(images))


def test_a_bare_layer_can_be_pruned(images):
    conv = nn.Conv2d(3, 8, 3)
    pruned = onexn.prune(conv, 4, 0.5, ends=True)
    assert isinstance(pruned, onexn.MaskedConv2d)
    assert torch.equal(onexn.finalise(pruned)(images), pruned(images))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "expand.0: n is 0"),
        ({"sparsity": 1.5}, "sparsity is 1.5"),
        ({"budget": "net"}, "budget is 'net'"),
        ({"pattern": "1xn"}, "pattern is '1xn'"),
        ({"pattern": "weight", "budget": "row"}, "knows only 'layer'"),
        ({"pattern": "random"}, "give a generator"),
        ({"generator": torch.Generator()}, "give a generator"),
        ({"skip": ["stem"]}, "skip names stem"),
        ({"skip": LAYERS}, "no layer of this network can be pruned"),
    ],
)
def test_bad_requests_are_refused(options, message, tangle):
    with pytest.raises(ValueError, match=message):
        onexn.prune(tangle, **options)


def test_models_that_do_not_fit_are_refused(tangle, images):
    with pytest.raises(TypeError, match="list"):
        onexn.prune([tangle])
    pruned = onexn.prune(tangle, 4, 0.5)
    with pytest.raises(ValueError, match="pruned already"):
        onexn.prune(pruned)
    with pytest.raises(ValueError, match=r"below 0\.5"):
        onexn.tighten(pruned, 0.4)
    with pytest.raises(ValueError, match="not pruned in blocks"):
        onexn.tighten(tangle, 0.4)
    for call in (onexn.finalise, onexn.compress):
        with pytest.raises(ValueError, match="no masked layer"):
            call(tangle)
    tangle.left[0].weight.data[0, 0, 0, 0] = torch.inf
    with pytest.raises(ValueError, match=r"left\.0: weight holds NaN or infinity in 1 places"):
        onexn.prune(tangle)
    with pytest.raises(TypeError, match="example"):
        onexn.move_filters(tangle)


def test_a_network_that_cannot_be_traced_is_pruned_without_an_example(images):
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 2, 1)

        def forward(self, x):
            x = self.a(x)
            return self.c(self.b(x) if x.sum() > 0 else x)

    with pytest.raises(UntraceableError):
        onexn.prune(Branching(), example=images[:1])
    assert [row.name for row in onexn.prune(Branching()).pruning.layers] == ["b"]


def test_masks_that_do_not_fit_are_refused():
    conv = nn.Conv2d(4, 6, 3)
    with pytest.raises(TypeError, match="float32"):
        onexn.MaskedConv2d.of(conv, torch.ones(6, 4, 3, 3), 4)
    with pytest.raises(ValueError, match=r"shape \(6, 4\)"):
        onexn.MaskedConv2d.of(conv, torch.ones(6, 4).bool(), 4)
    with pytest.raises(ValueError, match="n is 0"):
        onexn.MaskedConv2d(4, 6, 3, n=0)
