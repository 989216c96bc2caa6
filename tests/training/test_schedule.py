from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lithe.training import TrainConfig, learning_rate


def test_imagenet_cosine_recipe_follows_the_specification_to_the_letter():
    """DCFF spec 4, column "ImageNet cos": E=180, 5 epochs of warm-up, per-epoch value."""
    config = TrainConfig(epochs=180, lr=0.01, momentum=0.99, schedule="cosine", warmup_epochs=5)
    length = 7
    for e in (0, 3, 4, 5, 6, 90, 179):
        for it in (0, 3, 6):
            expected = 0.5 * 0.01 * (1 + math.cos(math.pi * (e - 5) / (180 - 5)))
            if e < 5:
                expected *= (1 + it + e * length) / (5 * length)
            assert learning_rate(config, e, it, length) == pytest.approx(expected, rel=1e-12)


def test_imagenet_step_recipe_has_its_extra_drop():
    config = TrainConfig(epochs=90, schedule="step", milestones=(30, 60, 80), warmup_epochs=5)
    for e in (5, 29, 30, 59, 60, 79, 80, 89):
        expected = 0.1 * 0.1 ** (e // 30 + (e >= 80))
        assert learning_rate(config, e, 0, 10) == pytest.approx(expected, rel=1e-12)


def test_cifar_recipe_drops_at_150_and_225():
    config = TrainConfig(epochs=300, schedule="step", milestones=(150, 225))
    rates = [learning_rate(config, e, 0, 196) for e in (0, 149, 150, 224, 225, 299)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


def test_cosine_per_iteration_equals_torch():
    epochs, length = 3, 5
    config = TrainConfig(epochs=epochs, lr=0.3, schedule="cosine", per_iteration=True, lr_end=1e-3)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * length, 1e-3)
    for e in range(epochs):
        for it in range(length):
            ours = learning_rate(config, e, it, length)
            assert ours == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
            optimizer.step()
            scheduler.step()


@given(epochs=st.integers(2, 50), warmup=st.integers(1, 5), length=st.integers(1, 9))
def test_warm_up_rises_by_equal_steps_and_ends_at_the_full_rate(epochs, warmup, length):
    config = TrainConfig(epochs=epochs, warmup_epochs=warmup)
    rates = [learning_rate(config, e, it, length) for e in range(warmup) for it in range(length)]
    expected = [0.1 * (k + 1) / len(rates) for k in range(len(rates))]
    assert rates == pytest.approx(expected)
    assert learning_rate(config, warmup, 0, length) == 0.1
