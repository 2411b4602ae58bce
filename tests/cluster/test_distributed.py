"""Two processes against one: memory, ghost batch norm, work done once.

Run as a program it is one of the two.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from passerby.cluster import ClusterMemory
from passerby.errors import InputError
from passerby.models.ghost_norm import ghost_batch_norm
from passerby.train.batch_norm import global_statistics
from passerby.train.distributed import gather, once, process_group, share


def batch() -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(9)
    centroids = F.normalize(torch.randn(7, 12, generator=random), dim=1)
    features = torch.randn(32, 12, generator=random)
    return centroids, features, torch.randint(7, (32,), generator=random)


def work() -> dict[str, Any]:
    """What must be the same however many processes share it."""
    centroids, features, labels = batch()
    done: dict[str, Any] = {}
    for hard in (False, True):
        memory = ClusterMemory(12, hard=hard)
        memory.begin(centroids)
        memory.update(gather(share(features)), gather(share(labels)))
        done[f"memory {hard}"] = memory.centroids
    for running in ("all", "first"):
        layer = nn.BatchNorm1d(12)
        ghost_batch_norm(layer, 4, running=running)
        with global_statistics(layer, enabled=True):
            output = layer(share(features))
        done |= {f"{running} {name}": value for name, value in layer.state_dict().items()}
        done[f"{running} output"] = gather(output.detach())
    return done


def refuse() -> None:
    raise InputError("the first process found bad input")


def one_of_two(folder: Path) -> None:
    with process_group("cpu"):
        rank = distributed.get_rank()
        torch.save(work(), folder / f"{rank}.pt")
        assert once(lambda: np.array([rank, 5])).tolist() == [0, 5]
        with pytest.raises(InputError, match="the first process"):
            once(refuse)
        layer = nn.BatchNorm1d(12)
        ghost_batch_norm(layer, 5)
        with pytest.raises(InputError, match="share of 16 pictures"):
            layer(share(batch()[1]))


def test_two_processes_do_as_one(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    place = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    running = [
        subprocess.Popen([sys.executable, __file__, tmp_path], env=place | {"RANK": str(rank)})
        for rank in (0, 1)
    ]
    assert [process.wait(timeout=200) for process in running] == [0, 0]
    alone = work()
    for rank in (0, 1):
        got = torch.load(tmp_path / f"{rank}.pt")
        for name, value in alone.items():
            assert torch.allclose(got[name], value, atol=1e-6), (rank, name)
        assert torch.equal(got["memory False"], alone["memory False"])


def test_alone_work_is_just_done() -> None:
    assert once(lambda: 5) == 5
    with pytest.raises(InputError):
        once(refuse)


if __name__ == "__main__":
    one_of_two(Path(sys.argv[1]))
