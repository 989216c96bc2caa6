"""Two launchers of one process each meet at one address, as two machines would."""

from __future__ import annotations

import json
import socket

import pytest
import torch
from rooms_together import ROOMS
from safetensors.torch import load_file
from starting import HERE, alone, finished, torchrun

CLOSE = 1e-6


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of the same runs in one process, and on two hosts."""
    one, two = (tmp_path_factory.mktemp(name) for name in ("alone", "hosts"))
    meeting = ("--nnodes", "2", "--rdzv-backend", "c10d", "--rdzv-id", "lithe", "--rdzv-endpoint")
    place = (*meeting, f"127.0.0.1:{free_port()}", "--local-addr")
    script = HERE / "rooms_together.py"
    hosts = [
        torchrun(script, two, "arm", nodes=(*place, address), each=1)
        for address in ("127.0.0.1", "127.0.0.2")
    ]
    finished(*hosts, alone(script, one, "arm"))
    return one, two


def test_two_hosts_have_the_gradients_of_one_process(runs):
    one, two = (load_file(folder / "arm-0.safetensors") for folder in runs)
    beside = load_file(runs[1] / "arm-1.safetensors")
    assert len(one) > 3
    for step, single in one.items():
        torch.testing.assert_close(two[step], single, atol=CLOSE, rtol=0)
        assert torch.equal(two[step], beside[step])


def test_one_host_of_two_writes(runs):
    written = [json.loads((runs[1] / f"arm-{rank}.json").read_text()) for rank in (0, 1)]
    assert sorted(map(len, written)) == [0, len(ROOMS["arm"].settings["exhibits"]) + 1]
