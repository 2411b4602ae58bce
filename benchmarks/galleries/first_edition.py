"""The embedded gallery of another commit, in a process of its own, to be measured beside ours.

``python -m`` this module is the process: PYTHONPATH names the other commit's ``src`` first. It
answers one pickled request after another; times are taken inside it.
"""

import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.galleries.data import Source, Wanted

ROOT = Path(__file__).parents[2]


class FirstEditionStore:
    """A gallery of the first edition; ``spent`` holds the seconds of the last search."""

    name = "first edition"

    def __init__(self, checkout: Path, folder: Path, threads: int) -> None:
        """Start the process.

        Args:
            checkout: a checkout of a commit with the first edition, such as 0b83943.
            folder: of the gallery.
            threads: of a search.
        """
        path = os.pathsep.join([str(checkout / "src"), str(ROOT)])
        command = [sys.executable, "-P", "-m", "benchmarks.galleries.first_edition"]
        self._process = subprocess.Popen(
            [*command, str(folder), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        self.adding = self.spent = 0.0
        assert Path(self._ask("where")).is_relative_to(checkout)

    def _ask(self, *request: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        pickle.dump(request, self._process.stdin)
        self._process.stdin.flush()
        return pickle.load(self._process.stdout)

    def add_table(self, path: Path) -> None:
        """Add a Parquet table."""
        self.adding += self._ask("add", path)

    def build(self, source: Source) -> None:
        """Nothing: it is filled by :meth:`add_table`."""

    def search(self, query: NDArray[np.float32], k: int, wanted: Wanted) -> NDArray[np.int64]:
        """Rows of the k nearest."""
        scope = {name: getattr(wanted.scope, name) for name in ("units", "start", "end")}
        self.spent, rows = self._ask("search", query, k, scope)
        return np.array(rows, np.int64)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def main(folder: Path, threads: int) -> None:
    """Answer requests until there are no more."""
    import torch

    import passerby
    from passerby.city import Scope, open_gallery
    from passerby.city.gallery.bulk import read_sightings

    torch.set_num_threads(threads)
    gallery = open_gallery(folder)
    while True:
        try:
            what, *rest = pickle.load(sys.stdin.buffer)
        except EOFError:
            break
        begin = time.perf_counter()
        answer: Any = None
        if what == "where":
            answer = passerby.__file__
        elif what == "add":
            for part in read_sightings(rest[0]):
                gallery.add(part)
            answer = time.perf_counter() - begin
        else:
            query, k, scope = rest
            hits = gallery.search(query, k, Scope(**scope))[0]
            answer = (time.perf_counter() - begin, [int(name[1:]) for name in hits.ids])
        pickle.dump(answer, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    gallery.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
