"""Published numbers against the golden logs, released weights, and the data of the page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lithe import data, ledger
from lithe.arm import exhibits, observed, published, testsets


@pytest.fixture(scope="module")
def logs(golden: Path) -> list[dict]:
    return json.loads((golden / "arm_official_test_logs.json").read_text())


@pytest.fixture(scope="module")
def table() -> dict:
    return published.published()


def test_the_logs_are_the_released_ones(logs):
    known = {(log.net, log.images, log.k): log for log in published.LOGS}
    assert len(known) == len(logs) == 36
    for entry in logs:
        log = known[entry["net"].lower(), entry["set"].lower(), entry["k"]]
        assert list(log.counts) == entry["class_counts"]
        assert log.psnr == pytest.approx(entry["psnr_rgb"], abs=5.1e-4)


def test_costs_follow_from_the_class_counts(logs, table):
    """The logs print five digits; nothing but that rounding is left."""
    sizes = {(log.net, log.images, log.k): log.size for log in published.LOGS}
    for entry in logs:
        key = entry["net"].lower(), entry["set"].lower(), entry["k"]
        cell = f"{key[0]}_{key[1]}_{sizes[key]}"
        assert table[f"flops_{cell}"]["value"] * 1e6 == pytest.approx(entry["flops"], rel=6e-5)
        assert table[f"percent_{cell}"]["value"] / 100 == pytest.approx(entry["fraction"], abs=6e-6)


def test_true_costs_differ_only_where_a_convolution_is_transposed(table):
    assert table["true_percent_fsrcnn_test8k_s"]["value"] == pytest.approx(46.5, abs=0.05)
    assert table["true_percent_srresnet_f2k_m"] == table["percent_srresnet_f2k_m"]
    assert table["headline_fsrcnn"]["value"] == pytest.approx(2.5, abs=0.01)
    assert table["headline_true_fsrcnn"]["value"] == pytest.approx(2.15, abs=0.005)
    assert table["overlap"]["value"] == pytest.approx((32 / 28) ** 2)


def test_rows_get_cheaper_from_l_to_s(table):
    for net, images in {(log.net, log.images) for log in published.LOGS}:
        spent = [table[f"flops_{net}_{images}_{size}"]["value"] for size in "lms"]
        assert spent == sorted(spent, reverse=True)


@pytest.mark.parametrize("net", ["fsrcnn", "carn", "srresnet"])
def test_costs_are_the_golden_ones(golden, net):
    known = json.loads((golden / "arm_flops_params.json").read_text())[net]
    found = published.costs(net)
    for width, entry in known["per_width"].items():
        assert found[f"released_w{width}"] == entry["official_flops"]
        assert found[f"macs_w{width}"] == entry["true_macs"]
    assert found["supernet_params"] == known["total_stored_params"]
    widths = known["width_list"][1:]
    chances = [found[f"sampling_w{width}"] for width in widths]
    assert chances == pytest.approx(known["sampling_prob_cost_squared"])


def test_the_released_table_shows_its_caps(golden, monkeypatch):
    monkeypatch.setenv("LITHE_SHARED", str(golden.parent))
    found, curves, used = observed.released_table()
    assert curves is None
    assert found["patches"] == 22194
    assert found["same_bins"] == 30
    assert found["at_cap"] == 141
    assert found["psnr_rho_interpolation"]["value"] == pytest.approx(-0.914, abs=5e-4)
    assert found["bin0_interpolation"]["value"] == pytest.approx(49.67, abs=5e-3)
    assert found["bin0_same_cap"]["value"] == pytest.approx(49.18, abs=5e-3)
    assert used[0]["name"] == "arm_lut_official.npz"


def test_sets_are_complete_and_disjoint(shared):
    sizes = {name: len(testsets.benchmark(name, shared)) for name in testsets.SETS}
    assert sizes == {"Set5": 5, "Set14": 14, "B100": 20, "Urban100": 3}
    training = testsets.training_pictures(shared)
    known = testsets.calibration_pictures(shared)
    assert (len(training), len(known)) == (22, 8)
    tested = {k for name in testsets.SETS for k in testsets.benchmark(name, shared).images}
    assert not set(training.images) & set(known.images)
    assert not tested & {*training.images, *known.images}
    bridge = testsets.benchmark("Set14", shared).images["bridge"]
    assert bridge.shape == (512, 512, 3)


def test_pictures_are_described_by_their_pixels():
    one = testsets.bundled(("chelsea",))
    cut = one.cut(128)
    assert cut.images["chelsea"].shape == (128, 128, 3)
    assert cut.described()["sha256"] != one.described()["sha256"]
    assert one.described() == testsets.bundled(("chelsea",)).described()


def test_missing_sets_are_refused(tmp_path):
    with pytest.raises(data.DataError, match="no images in data/sr/Set5"):
        testsets.benchmark("Set5", tmp_path)
    with pytest.raises(ValueError, match="no test set 'Set6'"):
        testsets.benchmark("Set6", tmp_path)


@pytest.fixture(scope="module")
def photograph() -> dict:
    text = (ledger.book_root() / "_static" / "arm-explorer-data.js").read_text()
    name, _, content = text.partition(" = ")
    assert name == "globalThis.armPhotograph"
    return json.loads(content.rstrip(";\n"))


def test_the_page_holds_every_cell_and_step(photograph):
    n = len(photograph["area"])
    rows = -(-photograph["height"] // 32) * -(-photograph["width"] // 32)
    assert n == rows
    assert sum(photograph["area"]) == photograph["height"] * photograph["width"]
    assert [len(row) for row in photograph["squared"]] == [n] * 4
    assert {router["id"] for router in photograph["routers"]} == set(exhibits.TITLES)
    for router in photograph["routers"]:
        assert len(router["start"]) == n
        route = list(router["start"])
        for cell, branch in zip(router["cell"], router["branch"], strict=True):
            assert photograph["costs"][branch] > photograph["costs"][route[cell]]
            route[cell] = branch


def test_the_page_shows_the_pictures_that_its_numbers_are_of(photograph):
    """The pictures are compressed for the page; they stay close to what was measured."""
    from PIL import Image

    from lithe.arm import degrade, psnr

    [photo] = testsets.bundled((exhibits.PHOTO,)).images.values()
    large, _ = degrade(photo)
    for j, squared in enumerate(photograph["squared"]):
        path = ledger.book_root() / "_static" / f"arm-branch-{j}.webp"
        with Image.open(path) as image:
            shown = np.array(image.convert("RGB"))
        exact = 10 * np.log10(255**2 * photograph["pixels"] / sum(squared))
        assert shown.shape == large.shape
        assert psnr(shown, large, 4) == pytest.approx(exact, abs=0.4)
        assert path.stat().st_size < 100_000


def test_the_fragment_has_a_picture_and_a_table_without_scripts():
    text = (ledger.book_root() / "_static" / "arm-explorer.html").read_text()
    assert text.count("dark-light") == 5
    assert text.count("<tr>") == 1 + len(exhibits.TITLES)
    assert "http" not in text


def test_missing_weights_are_refused(tmp_path, capsys):
    with pytest.raises(FileNotFoundError):
        exhibits.shown(tmp_path)
    with pytest.raises(SystemExit):
        exhibits.main([str(tmp_path)])
    assert "no released weights" in capsys.readouterr().err
