"""Exhibits: the small facts of the chapter, against the specification's measurements."""

from __future__ import annotations

import pytest
import torch

from lithe.dcff import exhibits


def test_effective_rank_of_equal_rows_is_one_and_of_orthogonal_rows_their_number():
    rows = torch.ones(5, 8, dtype=torch.float64)
    assert exhibits.effective_rank(rows) == pytest.approx(1)
    assert exhibits.effective_rank(torch.eye(6, dtype=torch.float64)) == pytest.approx(6)


def test_schedule_shows_the_freeze_and_the_collapse():
    facts = exhibits.schedule()
    assert facts["onehot_layers_epoch1_vgg16"] == facts["layers_vgg16"] == 13
    assert facts["onehot_layers_epoch1_resnet56"] == facts["layers_resnet56"] == 55
    assert facts["finite_layers_epoch1_vgg16"] == facts["finite_layers_epoch1_resnet56"] == 0
    assert facts["cosine_epoch0_vgg16"] == pytest.approx(0.98, abs=0.01)
    assert facts["mean_max_proxy_epoch0_resnet56"] == pytest.approx(0.21, abs=0.01)


def test_score_is_nearly_total_distance_at_first_and_exactly_in_the_limit():
    facts = exhibits.score()
    assert facts["spearman_total_distance_t1e4"] == pytest.approx(1, abs=1e-9)
    assert facts["spearman_total_distance_t1"] > 0.9
    assert 0.8 < facts["overlap_l1"] < facts["overlap_l2"] < facts["overlap_total_distance"] <= 1
