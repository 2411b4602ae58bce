"""Several processes keep one memory and one labelling. Run as a program it is one of them."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, distributed
from torch.nn import functional as F

from passerby.cluster import ClusterMemory
from passerby.cluster.distributed import gather, once, processes
from passerby.errors import InputError


def batch() -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(9)
    centroids = F.normalize(torch.randn(7, 12, generator=random), dim=1)
    return centroids, torch.randn(32, 12, generator=random), torch.randint(7, (32,))


def memory_after(features: Tensor, labels: Tensor, *, hard: bool) -> Tensor:
    memory = ClusterMemory(12, hard=hard)
    memory.begin(batch()[0])
    memory.update(features, labels)
    return memory.centroids


def refuse() -> None:
    raise InputError("the first process found bad input")


def one_of_two(rank: int, port: str, folder: Path) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    distributed.init_process_group("gloo", rank=rank, world_size=2)
    assert processes() == 2
    torch.manual_seed(1)
    _, features, labels = batch()
    own = slice(16 * rank, 16 * rank + 16)
    both = [memory_after(features[own], labels[own], hard=hard) for hard in (False, True)]
    torch.save(both, folder / f"{rank}.pt")
    assert gather(torch.tensor([rank])).tolist() == [0, 1]
    assert once(lambda: np.array([rank, 5])).tolist() == [0, 5]
    with pytest.raises(InputError, match="the first process"):
        once(refuse)
    distributed.destroy_process_group()


def test_two_processes_keep_one_memory(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    running = [
        subprocess.Popen([sys.executable, __file__, str(rank), port, tmp_path]) for rank in (0, 1)
    ]
    assert [process.wait(timeout=200) for process in running] == [0, 0]
    torch.manual_seed(1)
    _, features, labels = batch()
    for rank in (0, 1):
        for hard, got in enumerate(torch.load(tmp_path / f"{rank}.pt")):
            assert torch.equal(got, memory_after(features, labels, hard=bool(hard)))


def test_alone_nothing_is_exchanged() -> None:
    rows = torch.ones(2, requires_grad=True)
    assert processes() == 1
    assert torch.equal(gather(rows), rows)
    assert not gather(rows).requires_grad
    assert once(lambda: 5) == 5
    with pytest.raises(InputError):
        once(refuse)


if __name__ == "__main__":
    one_of_two(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
