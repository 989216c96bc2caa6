"""A SLURM cluster of one node on loopback, in a folder of its own: munged, slurmctld, slurmd."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "sinfo")
CONF = """
ClusterName=lithe
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/controller
SlurmdSpoolDir={folder}/node
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
MinJobAge=600
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=1000 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Why there can be no cluster here; empty if there can."""
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    lacking = [name for name in PROGRAMS if shutil.which(name) is None]
    if lacking:
        return f"no {', '.join(lacking)}: apt install munge slurmctld slurmd slurm-client"
    return "" if os.geteuid() == 0 else "slurmd starts jobs as root only"


@contextlib.contextmanager
def cluster(folder: Path, seconds: float = 120.0) -> Iterator[dict[str, str]]:
    """Start the daemons; yields the environment in which ``sbatch`` finds them.

    Raises:
        RuntimeError: the node did not come up in time.
    """
    for name in ("controller", "node"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    ports = _free(2)
    host = socket.gethostname().partition(".")[0]
    conf = folder / "slurm.conf"
    told = {"folder": folder, "host": host, "cpus": os.cpu_count()}
    conf.write_text(CONF.format(controller=ports[0], node=ports[1], **told))
    srun = folder / "srun"  # the plugin's jobs drop SLURM_CONF before they call srun
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={conf} exec {shutil.which("srun")} "$@"\n')
    srun.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"SLURM_CONF": str(conf), "PATH": path}
    munge = [f"--{n}-file={folder}/munge.{n}" for n in ("key", "pid", "log", "seed")]
    daemons = []
    try:
        for line in (
            ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *munge],
            ["slurmctld", "-D", "-c", "-f", str(conf)],
            ["slurmd", "-D", "-f", str(conf)],
        ):
            with (folder / f"{line[0]}.said").open("wb") as said:
                daemons.append(subprocess.Popen(line, env=environment, stdout=said, stderr=said))
            time.sleep(0.5)
        _wait(environment, folder, seconds)
        yield environment
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in reversed(daemons):
            try:
                daemon.wait(timeout=30)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def _wait(environment: dict[str, str], folder: Path, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        told = subprocess.run(
            ["sinfo", "--noheader", "--format=%T"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if told.stdout.strip() == "idle":
            return
        time.sleep(0.5)
    logs = {path.name: path.read_text(errors="replace")[-800:] for path in folder.glob("*.log")}
    raise RuntimeError(f"the node is {told.stdout.strip()!r} {told.stderr.strip()!r}: {logs}")


def _free(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
