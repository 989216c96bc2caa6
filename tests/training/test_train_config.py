from __future__ import annotations

import pytest
from pydantic import ValidationError

from lithe.training import TrainConfig


def test_defaults_are_the_cifar_recipe_of_the_specification():
    config = TrainConfig()
    assert (config.lr, config.momentum, config.nesterov) == (0.1, 0.9, False)
    assert (config.weight_decay, config.batch_size, config.drop_last) == (5e-4, 256, False)


def test_a_config_survives_json_and_cannot_be_changed():
    config = TrainConfig(schedule="step", milestones=(3, 5), betas=(0.5, 0.99), clip_norm=1.0)
    assert TrainConfig.model_validate_json(config.model_dump_json()) == config
    with pytest.raises(ValidationError, match="frozen"):
        config.lr = 1.0


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"learning_rate": 0.1}, "learning_rate"),
        ({"epochs": 0}, "greater than or equal to 1"),
        ({"lr": 0}, "greater than 0"),
        ({"lr": float("nan")}, "lr"),
        ({"lr": float("inf")}, "finite"),
        ({"momentum": 1.0}, "less than 1"),
        ({"optimizer": "adam"}, "'sgd' or 'adamw'"),
        ({"precision": "fp16"}, "'no' or 'bf16'"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"ema_decay": 1.0}, "less than 1"),
        ({"clip_norm": 0.0}, "greater than 0"),
        ({"schedule": "step"}, "needs at least one"),
        ({"milestones": (3,)}, 'milestones go with schedule="step"'),
        ({"schedule": "step", "milestones": (5, 3)}, "rising order"),
        ({"schedule": "cosine", "epochs": 5, "warmup_epochs": 5}, "leaves nothing of epochs=5"),
        ({"per_iteration": True}, 'is for "cosine"'),
        ({"nesterov": True, "momentum": 0.0}, "momentum above 0"),
        ({"nesterov": True, "optimizer": "adamw"}, "optimizer='sgd'"),
        ({"accumulate": 9, "batch_size": 8}, "into nothing"),
    ],
)
def test_impossible_recipes_are_refused(wrong, says):
    with pytest.raises(ValidationError, match=says):
        TrainConfig(**wrong)
