"""Latency tables: the published ones to the digit, round trips, what they lack."""

import json
from dataclasses import replace

import numpy as np
import pytest

from lithe.pssnet import (
    PAPER_BUDGETS,
    Block,
    LatencyTable,
    MissingEntryError,
    mobilenet_v1_space,
    mobilenet_v2_space,
)

NETS = {
    "mbv1": ("mobilenet_v1", mobilenet_v1_space(), 20_480),
    "mbv2": ("mobilenet_v2", mobilenet_v2_space(), 37_390),
}


@pytest.fixture(scope="module")
def tables(golden):
    return {net: LatencyTable.load(golden / f"pss_lut_{net}.npz") for net in NETS}


def small():
    stem, block = Block("Conv2d", 8, 3, 4, None, 3, 2, 1), Block("MBV1Block", 4, 4, 8, stride=1)
    times = {"cpu": {stem: 10.5, block: 3.25}, "gpu": {stem: 1.0, block: 2.0}}
    return LatencyTable(times, "gpu", {"gpu": {stem: (0.5, 1.5)}}, {"threads": 1})


@pytest.mark.parametrize("net", NETS)
def test_published_tables_give_the_golden_latencies_and_bins(golden, tables, net):
    name, space, entries = NETS[net]
    table = tables[net]
    assert len(table) == entries
    assert table.devices == ("cpu", "gpu")
    rows = json.loads((golden / f"pss_subnets_{net}.json").read_text())["subnets"]
    for row in rows:
        subnet = space.subnet(row["resolution"], row["ratios"])
        cpu, gpu = table.latency_us(space, subnet), table.latency_us(space, subnet, "gpu")
        assert (cpu, gpu) == (row["lut_cpu_us"], row["lut_gpu_us"])
        assert table.on("gpu").latency_us(space, subnet) == gpu
        bins = (space.macs(subnet), "macs", row["flops_bin10"] * 10**6)
        assert PAPER_BUDGETS[name, "macs"].target(bins[0]) == bins[2]
        assert PAPER_BUDGETS[name, "cpu"].target(cpu) == row["cpu_bin1000"]
        assert PAPER_BUDGETS[name, "gpu"].target(gpu) == row["gpu_bin10"]


def test_the_layer_detail_of_the_max_net_equals_golden(golden, tables):
    _, space, _ = NETS["mbv1"]
    row = json.loads((golden / "pss_subnets_mbv1.json").read_text())["subnets"][0]
    blocks = space.blocks(space.largest())
    known = [(b["block"], b["in_size"], b["cin"], b["cout"]) for b in row["lut_blocks"]]
    assert [(b.kind, b.in_size, b.cin, b.cout) for b in blocks] == known
    assert [tables["mbv1"].block_us(b) for b in blocks] == [b["cpu_us"] for b in row["lut_blocks"]]


@pytest.mark.parametrize("net", NETS)
def test_published_tables_hold_every_block_of_the_space(tables, net):
    _, space, _ = NETS[net]
    blocks = {
        slot.block(*(space.choices[j][end] for j in slot.depends))
        for r in space.resolutions
        for slot in space.layout(r)
        for end in (0, -1)
    }
    assert tables[net].missing(blocks) == []


def test_json_round_trip(tmp_path):
    table = small()
    back = LatencyTable.load(table.save(tmp_path / "t.json"))
    assert back == table
    assert (back.device, back.about) == ("gpu", {"threads": 1})
    assert LatencyTable.load(tmp_path / "t.json", "cpu").device == "cpu"
    assert back != table.on("cpu")


def test_macs_take_no_part_in_a_blocks_name():
    block = Block("Linear", 1, 8, 10)
    assert block == replace(block, macs=80, params=90)


def test_a_lacking_entry_is_named():
    space = mobilenet_v1_space()
    with pytest.raises(MissingEntryError, match=r"gpu table has no entry for Conv2d\(in_size=224"):
        small().latency_us(space, space.largest())


def test_unknown_devices_are_refused():
    with pytest.raises(ValueError, match=r"no device 'tpu' in this table; it has cpu, gpu"):
        small().on("tpu")


@pytest.mark.parametrize("us", [0.0, -1.0, float("nan"), float("inf"), "3"])
def test_times_that_are_none_are_refused(us):
    with pytest.raises(ValueError, match="a time is positive and finite"):
        LatencyTable({"cpu": {Block("Linear", 1, 8, 10): us}})


def test_a_table_needs_a_device():
    with pytest.raises(ValueError, match="at least one device"):
        LatencyTable({})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "is not JSON"),
        ("[]", "no latency table"),
        ('{"format": "lithe-latency-table", "version": 99}', "another version"),
    ],
)
def test_files_that_are_no_tables_are_refused(tmp_path, text, message):
    path = tmp_path / "t.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        LatencyTable.load(path)


def test_truncated_entries_are_refused(tmp_path):
    path = small().save(tmp_path / "t.json")
    document = json.loads(path.read_text())
    document["entries"]["cpu"][0].pop()
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match="should be 8 fields and a time"):
        LatencyTable.load(path)


def test_pickles_and_foreign_archives_are_refused(tmp_path):
    path = tmp_path / "t.npz"
    np.savez(path, block=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match=r"t\.npz"):
        LatencyTable.load(path)
    np.savez(path, block=np.zeros(3))
    with pytest.raises(ValueError, match="lacks the columns in_size"):
        LatencyTable.load(path)
    path.write_bytes(b"not a zip")
    with pytest.raises(ValueError, match="no readable"):
        LatencyTable.load(path)


def test_a_missing_file_says_so(tmp_path):
    for name in ("t.npz", "t.json"):
        with pytest.raises(FileNotFoundError):
            LatencyTable.load(tmp_path / name)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.pop("entries"), "is damaged: KeyError"),
        (lambda d: d.update(entries=[1]), "is damaged: AttributeError"),
        (lambda d: d["entries"]["cpu"].append(d["entries"]["cpu"][0]), "lists a block twice"),
    ],
)
def test_a_damaged_table_is_refused_in_one_sentence(tmp_path, change, says):
    document = json.loads(small().save(tmp_path / "t.json").read_text())
    change(document)
    (tmp_path / "t.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match=says):
        LatencyTable.load(tmp_path / "t.json")
