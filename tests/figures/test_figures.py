"""The house style keeps its promises: contrast, colour deficiency, sizes."""

from __future__ import annotations

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest

from lithe import figures

# Linear-RGB simulation of full dichromacy after Viénot et al. 1999 (protan, deutan)
# and the common tritan approximation.
DEFICIENCY = {
    "protan": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
    "deutan": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
    "tritan": [[1, 0.1274, -0.1274], [0, 0.8739, 0.1261], [0, 0.8739, 0.1261]],
}
LEAST_DISTANCE = 8.0  # CIE76 units in Lab; 2.3 is just noticeable


def lab(colour: str, matrix: list[list[float]] | None = None) -> np.ndarray:
    from skimage.color import rgb2lab

    rgb = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    if matrix is not None:
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        linear = np.clip(np.array(matrix) @ linear, 0, 1)
        rgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return rgb2lab(rgb[None, None])[0, 0]


@pytest.mark.parametrize("name", figures.PALETTE)
def test_every_colour_has_text_contrast_on_white(name):
    assert figures.contrast_ratio(figures.PALETTE[name], "#ffffff") >= 4.5


def test_contrast_ratio_of_black_and_white_is_21():
    assert figures.contrast_ratio("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("deficiency", DEFICIENCY)
def test_the_three_main_colours_stay_apart_without_one_cone(deficiency):
    main = [figures.PALETTE[name] for name in ("blue", "vermilion", "green")]
    for first, second in itertools.combinations(main, 2):
        matrix = DEFICIENCY[deficiency]
        assert np.linalg.norm(lab(first, matrix) - lab(second, matrix)) > LEAST_DISTANCE


def test_differences_marks_only_intervals_that_exclude_zero():
    figure = figures.differences(
        {"clear": (-2.0, -3.0, -1.0), "open": (0.5, -1.0, 2.0)}, unit="points", zero="no change"
    )
    shapes = [line.get_marker() for line in figure.axes[0].lines if line.get_marker() in "Do"]
    plt.close(figure)
    assert shapes == ["D", "o"]


def test_lines_and_heatmaps_draw_what_they_are_given():
    _, (axis,) = figures.canvas()
    figures.lines(axis, {"a": [1, 2, 3]}, spread={"a": [0.1, 0.1, 0.1]})
    assert axis.lines[0].get_ydata().tolist() == [1, 2, 3]
    shown = figures.heatmaps({"one": np.eye(3), "two": np.ones((2, 2))}, label="weight")
    assert [a.get_title(loc="left") for a in shown.axes[:2]] == ["one", "two"]
    plt.close("all")


def test_canvas_refuses_no_panel():
    with pytest.raises(ValueError, match="columns=0"):
        figures.canvas(0)
