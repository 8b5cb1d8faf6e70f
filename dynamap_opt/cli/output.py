"""How commands speak: tables on standard output, JSON where asked, progress and errors on standard error."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from dynamap_opt.plan import write_text

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Output", "Progress", "column_blocks", "counted", "integer", "percent", "seconds", "table"]

# Where output goes to a file or a pipe, tables are as wide as they need to be.
_UNBOUNDED = 240


class Output:
    """Where a command's words go: people read standard output, unless ``--json -`` claims it."""

    def __init__(self, json_target: str | None) -> None:
        self._json_target = json_target
        self._console: Console | None = None

    @property
    def speaks(self) -> bool:
        """Whether people are read to at all."""
        return self._json_target != "-"

    @property
    def console(self) -> Console:
        """Made when needed: importing rich takes a while."""
        if self._console is None:
            from rich.console import Console  # noqa: PLC0415 - see above

            width = None if sys.stdout.isatty() else _UNBOUNDED
            self._console = Console(width=width, highlight=False, soft_wrap=not sys.stdout.isatty())
        return self._console

    def print(self, *parts: Any) -> None:
        """Print text or a table for people."""
        if self.speaks:
            # Written by us: rich ends the process itself when the reader of its output has gone.
            with self.console.capture() as capture:
                self.console.print(*parts, markup=False)
            sys.stdout.write(capture.get())

    def json(self, kind: str, facts: Mapping[str, Any]) -> None:
        """Write the facts as versioned JSON where ``--json`` asks for them."""
        if self._json_target is None:
            return
        document = {"schema": f"dynamap/{kind}/1", **{key: value for key, value in facts.items() if key != "schema"}}
        text = json.dumps(document, indent=1) + "\n"
        if self._json_target == "-":
            sys.stdout.write(text)
        else:
            write_text(self._json_target, text)


class Progress:
    """A callback that reports on standard error once the work has taken two seconds, and clears its line when left.

    As a context it says by then that the work goes on, though nothing of it may be finished yet.
    """

    _PATIENCE_S = 2.0

    def __init__(self, what: str) -> None:
        self._what = what
        self._start = time.monotonic()
        self._last = self._start
        self._shown = False
        self._first = threading.Timer(self._PATIENCE_S, self._say, ["at work"])
        self._first.daemon = True

    def __call__(self, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` are finished."""
        now = time.monotonic()
        elapsed = now - self._start
        if elapsed < self._PATIENCE_S or now - self._last < (0.1 if sys.stderr.isatty() else self._PATIENCE_S):
            return
        self._first.cancel()
        self._last = now
        left = elapsed * (total - done) / max(1, done)
        self._say(f"{done:,} of {total:,}, about {left:.0f} s left")

    def _say(self, text: str) -> None:
        terminal = sys.stderr.isatty()
        sys.stderr.write(f"\r{self._what}: {text}\x1b[K" if terminal else f"{self._what}: {text}\n")
        sys.stderr.flush()
        self._shown = terminal

    def __enter__(self) -> Self:
        self._first.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Clear the line."""
        self._first.cancel()
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def table(
    columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]], *, title: str | None = None, footer: bool = False
) -> Any:
    """A rich table; ``columns`` are (heading, ``left`` or ``right``); with ``footer`` the last row is set apart."""
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415 - importing rich takes a while
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    built = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for heading, side in columns:
        built.add_column(heading, justify="right" if side == "right" else "left", no_wrap=True)
    listed = list(rows)
    for index, row in enumerate(listed):
        if footer and index == len(listed) - 1:
            built.add_section()
        built.add_row(*(Text(cell) for cell in row))
    return built


def column_blocks(rows: Sequence[Sequence[str]], width: int) -> list[list[int]]:
    """Columns in as many tables as a terminal of ``width`` asks for; the first column stands in each of them.

    ``rows`` are the cells, headings among them.
    """
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    blocks: list[list[int]] = [[0]]
    for k in range(1, len(widths)):
        if len(blocks[-1]) > 1 and sum(widths[c] + 3 for c in (*blocks[-1], k)) > width:
            blocks.append([0])
        blocks[-1].append(k)
    return blocks


def integer(value: int) -> str:
    """With thousands separated."""
    return f"{value:,}"


def counted(count: int, thing: str) -> str:
    """``1 edge``, ``2 edges``."""
    return f"{integer(count)} {thing}{'s' * (count != 1)}"


def percent(value: float) -> str:
    """With one decimal."""
    return f"{100 * value:.1f} %"


def seconds(value: float) -> str:
    """In the unit that reads best.

    >>> seconds(0.00134), seconds(2.5)
    ('1.340 ms', '2.50 s')
    """
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.3f} ms"
