"""A Dask cluster as an executor; the package ``distributed`` is an extra and loads only when asked for."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from concurrent.futures import Executor

from dynamap_opt.errors import DynamapError

__all__ = ["DASK_PREFIX", "dask_executor"]

DASK_PREFIX = "dask://"
_PATIENCE_S = 10


@contextlib.contextmanager
def dask_executor(address: str) -> Iterator[tuple[Executor, int]]:
    """An executor on the cluster of a scheduler, and how many tasks it can run at once now (workers may come and go).

    Args:
        address: as ``dask://host:port``.

    Raises:
        DynamapError: when Dask is not installed, no scheduler answers, or workers die under a task again and again.
    """
    place = address.removeprefix(DASK_PREFIX)
    host, _, port = place.rpartition(":")
    if not host or not port.isdecimal():
        raise DynamapError(f"executor {address!r} names no scheduler; write it as {DASK_PREFIX}host:port")
    try:
        from distributed import Client, KilledWorker  # noqa: PLC0415 - an extra
    except ImportError:
        raise DynamapError(
            f"executor {address!r} needs Dask; install it with pip install 'dynamap-opt[dask]' or use --jobs"
        ) from None
    try:
        client = Client(f"tcp://{place}", timeout=_PATIENCE_S)
    except (OSError, TimeoutError) as error:
        raise DynamapError(
            f"no Dask scheduler answers at {place}: {str(error).splitlines()[0]}; start one with 'dask scheduler'"
        ) from None
    with client, warnings.catch_warnings():
        # Weights are sent with the task: what is scattered to a worker beforehand is lost with that worker.
        warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
        try:
            yield client.get_executor(pure=False), sum(client.nthreads().values())
        except KilledWorker as error:
            raise DynamapError(
                f"Dask gave up: workers died under a task again and again ({error.task}); look at their logs"
            ) from error
