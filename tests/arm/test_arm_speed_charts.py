"""The figure of quality against time says what is on record, and what is not."""

import matplotlib.pyplot as plt
import pytest

from lithe import ledger
from lithe.arm.speed import charts


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    monkeypatch.setenv("LITHE_BOOK", str(tmp_path))
    (tmp_path / "results").mkdir()
    yield tmp_path
    plt.close("all")


def test_the_figure_says_what_is_not_on_record(shelf):
    for axis in charts.quality_against_time().axes:
        assert [text.get_text() for text in axis.texts] == ["not on record yet"]


def test_every_width_and_both_tables_are_drawn(shelf):
    metrics, curves = {}, {}
    for backbone, picture in charts.PANELS:
        tag = f"{backbone}_{picture}_t1"
        for k, name in enumerate(
            ("fixed_w8", "fixed_w16", "fixed_last", "fixed_executor", "tiled")
        ):
            metrics |= {f"{tag}_{name}_ms": 10.0 + k, f"{tag}_{name}_psnr": 30.0 + k}
        for name in ("mse", "psnr"):
            curves |= {f"{tag}_{name}_ms": [1.0, 2.0], f"{tag}_{name}_psnr": [28.0, 29.0]}
    ledger.record(
        "arm", "speed-curves", "small", 0, {}, metrics, sources=("lithe.files",), curves=curves
    )
    first = charts.quality_against_time().axes[0]
    lines = {line.get_label(): line for line in first.lines}
    assert list(lines) == [
        *("table of squared error", "table of PSNR", "whole, plain torch", "whole, our executor"),
        "largest, our tiles",
    ]
    assert sorted(lines["whole, plain torch"].get_xdata()) == [10.0, 11.0]
    assert list(lines["table of PSNR"].get_ydata()) == [28.0, 29.0]
