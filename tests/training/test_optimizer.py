from __future__ import annotations

import pytest
import torch
from torch import nn

from lithe.training import TrainConfig
from lithe.training.optimizer import build_optimizer


def _net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, groups=8), nn.Linear(8, 2)
    )


def test_all_parameters_decay_by_default():
    model = _net()
    (group,) = build_optimizer(model, TrainConfig(weight_decay=1e-3)).param_groups
    assert len(group["params"]) == len(list(model.parameters()))
    assert group["weight_decay"] == 1e-3


def test_dense_decay_spares_depthwise_weights_norms_and_biases():
    model = _net()
    decayed, spared = build_optimizer(model, TrainConfig(decay="dense")).param_groups
    names = {id(p): name for name, p in model.named_parameters()}
    assert {names[id(p)] for p in decayed["params"]} == {"0.weight", "3.weight"}
    assert len(decayed["params"]) + len(spared["params"]) == len(names)
    assert spared["weight_decay"] == 0


def test_config_reaches_the_optimiser():
    sgd = build_optimizer(_net(), TrainConfig(lr=0.2, momentum=0.8, nesterov=True))
    assert isinstance(sgd, torch.optim.SGD)
    assert (sgd.defaults["momentum"], sgd.defaults["nesterov"]) == (0.8, True)
    adamw = build_optimizer(_net(), TrainConfig(optimizer="adamw", betas=(0.5, 0.9)))
    assert isinstance(adamw, torch.optim.AdamW)
    assert adamw.defaults["betas"] == (0.5, 0.9)


def test_a_model_with_nothing_to_train_is_refused():
    with pytest.raises(ValueError, match="nothing to train"):
        build_optimizer(_net().requires_grad_(False), TrainConfig())
