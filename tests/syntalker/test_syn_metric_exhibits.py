"""Measures on motion that no network made, and the pairs that a filter of captions lets through."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lithe.syntalker import metric_exhibits, space_charts
from lithe.syntalker.text import Embedded


@pytest.fixture(scope="module")
def measured(shared):
    return metric_exhibits.measures(4, 1)


def value(metrics: dict, name: str) -> float:
    return metrics[name]["value"]


def test_every_score_of_beats_is_one_and_has_its_control(measured):
    metrics, _, used = measured
    for field in space_charts.BEATS.values():
        assert 0 < value(metrics, field) < 1
        assert 0 < value(metrics, f"{field}_other") < 1
    assert {data["name"].rpartition(".")[2] for data in used} == {"flac", "npz"}


def test_beats_of_the_recording_are_those_of_the_six_pieces(measured):
    """Measured before the exhibit was written, with the metrics alone."""
    metrics = measured[0]
    assert metrics["beat2_clean"]["n"] == 6
    assert value(metrics, "beat2_clean") == pytest.approx(0.787, abs=0.002)
    assert value(metrics, "beat2_clean_other") == pytest.approx(0.780, abs=0.002)
    assert value(metrics, "beat2_released") == pytest.approx(0.722, abs=0.002)


def test_talkers_keep_their_own_beat_and_tremor_keeps_everyones(measured):
    metrics = measured[0]
    for name in ("world_accents", "world_accents_narrow"):
        assert value(metrics, name) > value(metrics, f"{name}_other") + 0.05
    assert value(metrics, "beat2_tremor") > value(metrics, "beat2_clean")
    assert abs(value(metrics, "beat2_tremor") - value(metrics, "beat2_tremor_other")) < 0.02


def test_bodies_are_measured_in_their_units(measured):
    metrics = measured[0]
    counts = {"talkers": 4, "movers": 4, "beat2": 6, "cmu": 1}
    for kind, unit in (("skate", "m/s"), ("jitter", "m/s³"), ("spread", "m")):
        for name, n in counts.items():
            assert metrics[f"{kind}_{name}"]["unit"] == unit
            assert metrics[f"{kind}_{name}"]["n"] == n
    assert value(metrics, "skate_talkers") < 0.001 < value(metrics, "skate_cmu")


def test_scores_are_taken_without_the_roots_translation():
    pose = np.random.default_rng(0).normal(size=(90, 22, 3))
    clip = type("Clip", (), {"motion": type("Motion", (), {"positions": pose + 5})})
    assert np.allclose(metric_exhibits._in_place(clip), pose - pose[:, :1])


class OneHot:
    """Captions as unit vectors: equal captions are alike by exactly 1, others by 0."""

    width = 1024

    def __call__(self, captions):
        number = {text: k for k, text in enumerate(dict.fromkeys(captions))}
        rows = torch.eye(self.width)[torch.tensor([number[text] for text in captions])]
        return Embedded(rows[:, None], torch.ones(len(rows), 1, dtype=torch.bool), rows)


class Rounded(OneHot):
    """The same, but similarities stay below 1, as rounding may leave them."""

    def __call__(self, captions):
        words, spoken, rows = super().__call__(captions)
        slight = torch.randn(len(rows), 8, generator=torch.Generator().manual_seed(0))
        return Embedded(words, spoken, torch.cat([rows, 1e-2 * slight], 1))


def test_equal_captions_are_let_through_where_they_are_exactly_alike(shared):
    metrics, curves, used = metric_exhibits.negatives(OneHot())
    for name in ("world", "cmu"):
        assert value(metrics, f"let_through_{name}") == 100
        assert value(metrics, f"alike_{name}") == value(metrics, f"equal_{name}") > 0
    assert curves is None
    assert used[0]["name"] == "captions.csv"


def test_equal_captions_are_caught_where_rounding_parts_them(shared):
    metrics, _, _ = metric_exhibits.negatives(Rounded())
    assert value(metrics, "let_through_world") == 0
    assert value(metrics, "let_through_cmu") == 0


def test_captions_stand_for_pieces_of_their_recording(tmp_path):
    path = tmp_path / "captions.csv"
    path.write_text("caption,frames\nwalks,256\nsits,20\n", encoding="utf-8")
    assert metric_exhibits._collected(path) == ["walks", "walks", "sits"]


def test_exhibits_have_names_that_no_other_exhibit_has():
    from lithe.syntalker import data_exhibits, model_exhibits

    assert set(metric_exhibits.EXHIBITS) == {"metrics", "negatives"}
    taken = data_exhibits.EXHIBITS.keys() | model_exhibits.EXHIBITS.keys()
    own = {"metrics": metric_exhibits.measures, "negatives": metric_exhibits.negatives}
    assert all(name not in taken or metric_exhibits.EXHIBITS[name] is own[name] for name in own)
