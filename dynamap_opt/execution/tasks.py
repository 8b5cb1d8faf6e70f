"""Independent tasks on this machine's processes, or on any executor: each result comes once, whatever dies meanwhile.

Where processes are ours and one dies (killed, out of memory), what it had not finished is given to new ones. A Dask
scheduler does the same with the tasks of a worker that is gone.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Generic, TypeVar

from dynamap_opt.errors import DynamapError

from .dask import DASK_PREFIX, dask_executor

__all__ = ["ExecutorLike", "run_tasks"]

Task = TypeVar("Task")
Result = TypeVar("Result")

#: What runs tasks: None for processes of ours, an address as ``dask://host:port``, or an executor of the caller's.
ExecutorLike = str | Executor | None

# Pools that may break before it is the tasks' fault.
_ATTEMPTS = 3
# Tasks given to an executor of unknown width at a time.
_AHEAD = 16


def run_tasks(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    jobs: int = 1,
    executor: ExecutorLike = None,
) -> Iterator[tuple[int, Result]]:
    """Call ``function`` with every task.

    Args:
        function: of a module, so that other processes find it.
        tasks: taken as they are needed, no more than twice as many at a time as can run.
        jobs: processes on this machine, where ``executor`` is None; 1 for this one.
        executor: ``dask://host:port``, or an executor.

    Yields:
        The number of a task and its result, in the order in which they are ready; every task once.

    Raises:
        DynamapError: when there is no such executor, or processes die again and again.
    """
    numbered = enumerate(tasks)
    if executor is None and jobs == 1:
        for number, task in numbered:
            yield number, function(task)
    elif executor is None:
        yield from _on_processes(function, numbered, jobs)
    elif isinstance(executor, str):
        if not executor.startswith(DASK_PREFIX):
            raise DynamapError(f"executor {executor!r} is not known; give {DASK_PREFIX}host:port or leave it out")
        with dask_executor(executor) as (found, width):
            yield from _Window(function, numbered, found, max(_AHEAD, 2 * width)).results()
    else:
        yield from _Window(function, numbered, executor, _AHEAD).results()


@dataclass
class _Window(Generic[Task, Result]):
    """Tasks under way on an executor, at most ``ahead`` at a time."""

    function: Callable[[Task], Result]
    tasks: Iterator[tuple[int, Task]]
    executor: Executor
    ahead: int

    def __post_init__(self) -> None:
        self.pending: dict[Future[Result], tuple[int, Task]] = {}

    def results(self) -> Iterator[tuple[int, Result]]:
        """All results; ``pending`` holds what was given and not answered, if this ends by an exception."""
        try:
            self._fill()
            while self.pending:
                done, _ = wait(self.pending, return_when=FIRST_COMPLETED)
                for future in done:
                    result = future.result()
                    number, _ = self.pending.pop(future)
                    yield number, result
                self._fill()
        finally:
            for future in self.pending:
                future.cancel()

    def _fill(self) -> None:
        while len(self.pending) < self.ahead:
            found = next(self.tasks, None)
            if found is None:
                return
            try:
                with _interrupts_later():
                    future = self.executor.submit(self.function, found[1])
            except BrokenProcessPool:
                self.tasks = _chain([found], self.tasks)
                raise
            self.pending[future] = found


@contextlib.contextmanager
def _interrupts_later() -> Iterator[None]:
    """Hold an interrupt back: giving a task may start a process, which must not be left without what it waits for."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[bool] = []
    before = signal.signal(signal.SIGINT, lambda *_: came.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt


def _chain(first: Iterable[tuple[int, Task]], rest: Iterator[tuple[int, Task]]) -> Iterator[tuple[int, Task]]:
    yield from first
    yield from rest


def _on_processes(
    function: Callable[[Task], Result], numbered: Iterator[tuple[int, Task]], jobs: int
) -> Iterator[tuple[int, Result]]:
    finished = -1  # results when the pool broke last
    count = attempts = 0
    while True:
        with _pool(jobs) as pool:
            window = _Window(function, numbered, pool, 2 * jobs)
            try:
                for result in window.results():
                    count += 1
                    yield result
            except BrokenProcessPool as error:
                attempts = 1 if count > finished else attempts + 1
                finished = count
                if attempts == _ATTEMPTS:
                    raise DynamapError(
                        f"the processes that run tasks ended {attempts} times in a row without a result (killed, or "
                        "out of memory); run fewer at once with --jobs"
                    ) from error
                numbered = _chain(sorted(window.pending.values(), key=lambda item: item[0]), window.tasks)
            else:
                return


@contextlib.contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """A pool whose processes end with this one, at once where it ends by an exception."""
    before = set(multiprocessing.active_children())
    # New interpreters: a fork would take over threads' locks in any state.
    pool = ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_begin)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        raise
    pool.shutdown()


def _begin() -> None:
    """Leave interrupts to the process that gave the tasks, and end when it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:

        def watch(sentinel: int) -> None:
            multiprocessing.connection.wait([sentinel])
            os._exit(1)

        threading.Thread(target=watch, args=(parent.sentinel,), daemon=True).start()
