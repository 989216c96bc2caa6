"""Whole networks: the program computes what the network does."""

import pytest
import torch

from lithe import onexn, zoo
from lithe.onexn import finalise, masked_layers
from lithe.vision import torchvision

PLAIN = {
    "mobilenet_v1": lambda: zoo.mobilenet_v1(10, 0.5),
    "resnet20": lambda: zoo.resnet20(),
    "vgg16": lambda: zoo.vgg16(),
    "zoo googlenet": lambda: zoo.googlenet(),
    "small_cnn": lambda: zoo.small_cnn(),
}
MODELS = {
    "mobilenet_v2": {},
    "mobilenet_v3_small": {},
    "mobilenet_v3_large": {},
    "resnet18": {},
    "resnet50": {},
    "googlenet": {"init_weights": False, "aux_logits": False},
    "shufflenet_v2_x0_5": {},
    "densenet121": {},
    "efficientnet_b0": {},
    "squeezenet1_1": {},
    "mnasnet0_5": {},
}


def build(name):
    if name in PLAIN:
        return PLAIN[name]()
    return getattr(torchvision().models, name)(weights=None, **MODELS[name])


@pytest.mark.parametrize("name", [*PLAIN, *MODELS])
def test_a_dense_network_packs_to_the_same_function(judge, name):
    model = judge.randomise(build(name))
    judge.agrees(model, judge.images(1, 3, 32, 32), graph=False)


@pytest.mark.parametrize(
    ("name", "n", "sparsity", "moved"),
    [
        ("mobilenet_v1", 4, 0.5, True),
        ("mobilenet_v2", 8, 0.75, False),
        ("mobilenet_v3_small", 16, 0.5, True),
        ("resnet18", 3, 0.9, False),
        ("shufflenet_v2_x0_5", 2, 0.5, True),
        ("zoo googlenet", 32, 0.5, False),
    ],
)
def test_a_pruned_network_packs_to_what_its_masks_compute(judge, name, n, sparsity, moved):
    example = judge.images(1, 3, 32, 32)
    model = judge.randomise(build(name))
    pruned = onexn.prune(model, n, sparsity, example=example if moved else None)
    packed = judge.agrees(pruned, judge.images(2, 3, 32, 32), graph=False)
    judge.close(packed(example), finalise(pruned)(example).detach())
    rows = {row.name: row for row in packed.report.layers if row.blocks is not None}
    for layer in masked_layers(pruned):
        assert rows[layer].blocks < rows[layer].of_blocks


@pytest.mark.parametrize("pattern", ["weight", "filter", "kernel", "random"])
def test_baselines_pack_too(judge, pattern):
    generator = judge.generator() if pattern == "random" else None
    model = judge.randomise(zoo.mobilenet_v1(10, 0.25))
    pruned = onexn.prune(model, 4, 0.5, pattern=pattern, generator=generator)
    judge.agrees(pruned, judge.images(1, 3, 32, 32))


def test_networks_that_packed_layers_were_loaded_into(judge, tmp_path):
    model = judge.randomise(zoo.mobilenet_v1(10, 0.25))
    pruned = onexn.prune(model, 4, 0.5)
    loaded = onexn.load(onexn.save(pruned, tmp_path / "net"))
    judge.agrees(loaded, judge.images(1, 3, 32, 32))


def test_mobilenets_and_resnets_leave_nothing_to_torch(judge, counted):
    for name in ("mobilenet_v1", "mobilenet_v3_small", "resnet18", "densenet121", "googlenet"):
        x = judge.images(1, 3, 32, 32)
        counts = counted(onexn.pack(judge.randomise(build(name)), x, tune=False))
        assert "Foreign" not in counts, name
        assert "Activate" not in counts, name  # activations fused, concatenations written in place


def test_residual_sums_and_norms_are_folded(judge, counted):
    resnet = judge.randomise(torchvision().models.resnet18(weights=None))
    packed = onexn.pack(resnet, judge.images(1, 3, 64, 64), tune=False)
    # 20 convolutions and the classifier; one pool, one mean, no sum of its own
    assert counted(packed) == {"Conv": 21, "Pool": 1, "Mean": 1}


def test_attention_runs_by_torch_in_between(judge):
    class Mixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = torch.nn.Conv2d(3, 8, 4, 4)
            self.attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)
            self.head = torch.nn.Linear(8, 3)

        def forward(self, x):
            x = self.stem(x).flatten(2).transpose(1, 2)
            x = x + self.attention(x, x, x)[0]
            return self.head(x.mean(1))

    judge.agrees(judge.randomise(Mixed()), judge.images(2, 3, 16, 16))
