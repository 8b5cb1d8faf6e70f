"""A real Dask cluster on localhost: a scheduler and workers, each a process of its own that a test may kill."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PATIENCE_S = 30


@dataclass
class Cluster:
    """A running cluster; ``address`` as ``--executor`` takes it."""

    address: str
    workers: list[subprocess.Popen[bytes]]


@contextlib.contextmanager
def cluster(folder: Path, workers: int) -> Iterator[Cluster]:
    """Start it, and end all of its processes."""
    record = folder / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dask = [sys.executable, "-m", "dask"]
    common = ["--scheduler-file", str(record), "--no-dashboard"]
    with contextlib.ExitStack() as stack:

        def start(*arguments: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen([*dask, *arguments, *common], cwd=folder, **quiet)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        start("scheduler", "--port", "0", "--host", "127.0.0.1")
        end = time.monotonic() + _PATIENCE_S
        while not record.exists():
            assert time.monotonic() < end, "the scheduler does not start"
            time.sleep(0.05)
        alone = ["--nthreads", "1", "--no-nanny", "--local-directory", str(folder)]
        processes = [start("worker", *alone) for _ in range(workers)]
        address = json.loads(record.read_text())["address"]
        yield Cluster(address.replace("tcp://", "dask://"), processes)
