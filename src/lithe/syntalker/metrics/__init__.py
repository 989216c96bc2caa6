"""How good generated motion is: each number with its convention stated, none with hidden files.

Distances between distributions (:func:`frechet_distance`, :func:`diversity`), between text and
motion (:func:`r_precision`, :func:`mm_dist`), between speech and motion
(:func:`beat_consistency` and its control, :func:`mismatched`), and what a body cannot hide
(:func:`jitter`, :func:`foot_skate`, :mod:`~lithe.syntalker.metrics.attributes`).

Everything is numpy in float64. Source: SynTalker spec 8, 10 and 11.3.
"""

from lithe.syntalker.metrics.attributes import Attributes, attribute_accuracy, measure
from lithe.syntalker.metrics.beats import (
    UPPER,
    beat_consistency,
    joint_beats,
    joint_speed,
    mismatched,
)
from lithe.syntalker.metrics.frechet import Gaussian, fit_gaussian, frechet_distance
from lithe.syntalker.metrics.physics import foot_skate, jitter, longest_slide
from lithe.syntalker.metrics.retrieval import mm_dist, r_precision
from lithe.syntalker.metrics.spread import diversity, l1_diversity

__all__ = [
    "UPPER",
    "Attributes",
    "Gaussian",
    "attribute_accuracy",
    "beat_consistency",
    "diversity",
    "fit_gaussian",
    "foot_skate",
    "frechet_distance",
    "jitter",
    "joint_beats",
    "joint_speed",
    "l1_diversity",
    "longest_slide",
    "measure",
    "mismatched",
    "mm_dist",
    "r_precision",
]
