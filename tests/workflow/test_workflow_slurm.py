"""The same sweep through sbatch, on a real slurmctld and slurmd of one node."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

PROFILE = Path(__file__).resolve().parents[2] / "workflow" / "profiles" / "slurm"


@pytest.fixture
def slurm(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    from slurm_cluster import cluster, missing

    if why := missing():
        pytest.skip(why)
    pytest.importorskip(
        "snakemake_executor_plugin_slurm",
        reason="no SLURM plugin: pip install snakemake-executor-plugin-slurm",
    )
    folder = Path(tempfile.mkdtemp(prefix="lithe-slurm-"))  # a socket's path has to be short
    try:
        with cluster(folder) as environment:
            yield environment
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_a_sweep_runs_as_jobs_of_a_cluster(place, slurm):
    place.more = {"SLURM_CONF": slurm["SLURM_CONF"], "PATH": slurm["PATH"]}
    place.sweep(seeds=(0,), names=("first", "second", "third"), broken=("third",))
    soon = ["--slurm-init-seconds-before-status-checks", "1"]
    soon += ["--slurm-status-command", "squeue"]  # no accounting, so no sacct
    soon += ["--seconds-between-status-checks", "1", "--latency-wait", "20"]
    status, told = place.run("--on", str(PROFILE), "--", *soon)
    assert set(place.records()) == {"toy/first/small/0", "toy/second/small/0"}, told
    assert status == 1
    assert "2 done, 1 failed" in told
    assert "third cannot be measured" in told
    accounted = subprocess.run(
        ["scontrol", "show", "jobs", "--oneliner"],
        env=slurm,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert accounted.count("JobState=COMPLETED") == 2
    assert accounted.count("JobState=FAILED") == 1
