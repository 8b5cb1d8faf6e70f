"""Backends in a process of their own: told a document, followed while they work, ended from outside if need be.

A process of its own is what a backend needs whose options are global (toulbar2), whose libraries do not go together
with another's (OR-tools and highspy each bring a HiGHS, and whichever comes second fails to load), or whose time limits
do not hold (CBC).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from dynamap_solvers.errors import SolverError
from dynamap_solvers.methods._backend import Clock, Watch
from dynamap_solvers.methods._integers import IntegerCosts
from dynamap_solvers.options import Options
from dynamap_solvers.result import StopReason

__all__ = ["GRACE_SECONDS", "Follower", "ask", "wait_for"]

GRACE_SECONDS = 1.0
"""How long a process may overrun its time limit before it is ended: it may still be writing down what it found."""

_POLL_SECONDS = 0.1


class Follower(Watch):
    """A watch that reads what the process has said before it looks; subclasses know its language.

    Attributes:
        picked: the last incumbent, in reduced choices.
        lower: the last bound, of the integers.
    """

    def __init__(self, options: Options, method: str, costs: IntegerCosts) -> None:
        super().__init__(options, method)
        self.costs = costs
        self.picked: tuple[int, ...] | None = None
        self.lower: int | None = None
        self.said: Path | None = None
        self._at = 0
        self._rest = b""

    def check(self) -> bool:
        """Read on, then as any watch."""
        self.read()
        return super().check()

    def read(self) -> None:
        """Take in the whole lines that are new."""
        if self.said is None:
            return
        with self.said.open("rb") as file:
            file.seek(self._at)
            new = file.read()
        self._at += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        for line in lines:
            self.take(line.decode(errors="replace"))

    def take(self, line: str) -> None:
        """Understand one line."""
        raise NotImplementedError

    def best(self, picked: tuple[int, ...], value: int) -> None:
        """Note an incumbent and what it costs in integers."""
        self.picked = picked
        self.objective = self.costs.bound(value)

    def proved(self, value: int) -> None:
        """Note a bound of the integers."""
        self.lower = value
        self.bound = self.costs.bound(value)


def ask(
    script: str, document: dict[str, Any], options: Options, follower: Follower, clock: Clock, *, grace: float
) -> dict[str, Any] | None:
    """Run a script of this folder on a document: its answer, or None where it was ended (see ``follower.stop``).

    The script gets two paths: the document, and where to write the answer, in which ``build`` and ``search`` are the
    seconds these took; the rest of its time (starting Python, importing) is booked as ``start``.

    Raises:
        SolverError: if the process fails.
    """
    name = script.removeprefix("_").removesuffix("_child.py")
    with tempfile.TemporaryDirectory(prefix=f"dynamap-{name}-") as folder:
        asked, said, done, complaint = (Path(folder, file) for file in ("asked", "said", "done", "complaint"))
        document["path"] = sys.path
        document["time_limit"] = options.remaining()
        asked.write_text(json.dumps(document))
        clock.lap("build")
        # -P keeps this folder, whose files are named after other packages, off the path.
        command = [sys.executable, "-P", str(Path(__file__).with_name(script)), str(asked), str(done)]
        with said.open("wb") as output, complaint.open("wb") as errors:
            process = subprocess.Popen(  # noqa: S603  # our own script, no shell
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, cwd=folder
            )
            follower.said = said
            wait_for(process, follower, options.remaining(), grace=grace)
        follower.read()
        follower.said = None
        clock.lap("search")
        if not done.exists():
            if follower.stop is None:
                last = complaint.read_text(errors="replace").strip().splitlines()[-1:]
                raise SolverError(f"{name} ended with code {process.returncode}: {''.join(last) or 'no message'}")
            return None
        answer: dict[str, Any] = json.loads(done.read_text())
    clock.move("search", "start", clock.seconds["search"] - answer["build"] - answer["search"])
    clock.move("search", "build", answer["build"])
    return answer


def wait_for(
    process: subprocess.Popen[Any], watch: Watch, limit: float | None, *, grace: float = GRACE_SECONDS
) -> bool:
    """Wait until a process ends by itself; end it ``grace`` seconds after the limit, or when the watch says stop.

    Returns:
        Whether it ended by itself. It has ended in any case, also where an exception leaves this function.
    """
    started = time.perf_counter()
    wait = _POLL_SECONDS / 20  # most solves are short
    try:
        while True:
            try:
                process.wait(wait)
            except subprocess.TimeoutExpired:
                wait = min(2 * wait, _POLL_SECONDS)
            else:
                return True
            if watch.check() and watch.stop is not StopReason.TIME_LIMIT:
                return False
            if limit is not None and time.perf_counter() - started > limit + grace:
                watch.stop = watch.stop or StopReason.TIME_LIMIT
                return False
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
