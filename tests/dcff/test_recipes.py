"""The full recipes are the released ones, and each survives two steps at its real image shape."""

from __future__ import annotations

import pytest

from lithe import data
from lithe.dcff import PAPER_CONFIGS, recipes
from lithe.training import learning_rate


def test_cifar_recipe_is_the_released_one():
    train = recipes.recipe("resnet56").train
    assert (train.epochs, train.batch_size, train.momentum, train.weight_decay) == (
        300,
        256,
        0.9,
        5e-4,
    )
    rates = [learning_rate(train, epoch, 0, 196) for epoch in (0, 149, 150, 224, 225, 299)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


def test_imagenet_step_recipe_drops_at_30_60_80_after_a_warm_up():
    train = recipes.recipe("r50_step_b").train
    steps = 5005
    assert learning_rate(train, 0, 0, steps) == pytest.approx(0.1 / (5 * steps))
    assert learning_rate(train, 4, steps - 1, steps) == pytest.approx(0.1)
    late = [learning_rate(train, epoch, 0, steps) for epoch in (29, 30, 60, 80, 89)]
    assert late == pytest.approx([0.1, 0.01, 0.001, 0.0001, 0.0001])


def test_imagenet_cosine_recipe_has_momentum_99_and_ends_near_zero():
    import math

    train = recipes.recipe("r50_cos_a").train
    assert (train.epochs, train.momentum) == (180, 0.99)
    middle = 0.5 * 0.01 * (1 + math.cos(math.pi * (100 - 5) / 175))
    assert learning_rate(train, 100, 17, 5005) == pytest.approx(middle)


@pytest.mark.parametrize("key", PAPER_CONFIGS)
def test_every_recipe_survives_two_steps_on_fake_images_at_the_real_shape(key):
    history = recipes.dry_run(key)
    assert len(history) == 1
    assert history.last["train_loss"] > 0


def test_unknown_key_is_refused_with_the_list():
    with pytest.raises(KeyError, match="vgg16, resnet56"):
        recipes.recipe("vgg19")


def test_imagenet_without_a_folder_says_what_to_do():
    with pytest.raises(data.DataError, match="name its folder"):
        recipes.load(recipes.recipe("r50_step_a"), None)
