"""Run a page of the documentation as a reader would: every block of code from top to bottom, in a new folder.

What a fenced block is, its language and the line above it say:

    ```sh                      commands, one a line: ``dynamap ...`` or ``python FILE``
    ```python                  code; all blocks of a page share one namespace
    ```text                    right behind one of these: what it prints; a line `` ...`` stands for lines left out
    <!-- file: board.toml -->  the block below is put into that file
    <!-- not run: reason -->   the block below is shown only
    <!-- checked: ... -->      the block below is the output of that command, see ``record.py``

A command that ends with ``# exit code N`` must end so; what it shows is its message. Code on a page that begins with
``<!-- code on this page is checked by tests/... -->`` is that test's.

``python docs/session.py PAGE`` runs a page and prints what its blocks print, as JSON.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = (
    ROOT / "README.md",
    *sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts),
)
SEEN = ("docs", "models")  # what a page finds in its folder, as at the top of a clone
CUT = " ..."  # a line of shown output that stands for lines left out

_FENCE = re.compile(
    r"^(?:<!-- (?P<mark>[^\n]+?) -->\n)?(?P<ticks>`{3,})(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=ticks)$\n?",
    re.DOTALL | re.MULTILINE,
)
_TESTED = re.compile(r"^<!-- code on this page is checked by (tests/[\w/]+\.py) -->$", re.MULTILINE)
_EXIT = re.compile(r"\s+# exit code (\d+)$")


@dataclass(frozen=True)
class Fence:
    """A fenced block.

    Attributes:
        kind: ``run``, ``output`` (of the run block before it), ``file``, ``shown`` (not run, with a reason),
            ``recorded`` (by record.py), ``tested`` (by a test of its own), ``directive`` (Sphinx's), or ``unknown``.
        language: as written.
        mark: the comment above, or empty.
        text: the block's lines.
        place: where the text begins and ends on the page.
    """

    kind: str
    language: str
    mark: str
    text: str
    place: tuple[int, int]


def fences(page: Path) -> Iterator[Fence]:
    """The fenced blocks of a page, in order."""
    source = page.read_text(encoding="utf-8")
    tested, end, before = bool(_TESTED.search(source)), -1, ""
    for match in _FENCE.finditer(source):
        language, mark = match["language"].strip(), match["mark"] or ""
        word = mark.partition(":")[0].partition(" ")[0] if ":" in mark else ""
        follows = before == "run" and not source[end : match.start()].strip()
        if language.startswith("{"):
            kind = "directive"
        elif word in {"checked", "recorded"}:
            kind = "recorded"
        elif mark.startswith("not run: "):
            kind = "shown"
        elif mark.startswith("file: "):
            kind = "file"
        elif tested:
            kind = "tested"
        elif language in {"sh", "python"}:
            kind = "run"
        else:
            kind = "output" if language == "text" and follows else "unknown"
        yield Fence(kind, language, mark, match["text"], match.span("text"))
        end, before = match.end(), kind


def tests_of(page: Path) -> list[str]:
    """The tests that a page names as its code's judges."""
    return _TESTED.findall(page.read_text(encoding="utf-8"))


def is_session(page: Path) -> bool:
    """Whether the page has code to be run from top to bottom."""
    return any(fence.kind == "run" for fence in fences(page))


def trimmed(text: str) -> str:
    """Output as pages show it: no blanks at line ends, no empty lines around."""
    lines = [line.rstrip() for line in text.splitlines()]
    while lines and not lines[0]:
        lines.pop(0)
    while lines and not lines[-1]:
        lines.pop()
    return "".join(f"{line}\n" for line in lines)


def cut_like(shown: str, printed: str) -> str:
    """What was printed, cut where the shown text is cut: as many lines before and behind the cut."""
    lines, old = printed.splitlines(), shown.splitlines()
    if CUT not in old:
        return printed
    head = old.index(CUT)
    tail = len(old) - head - 1
    if len(lines) <= head + tail:
        return printed
    return "".join(f"{line}\n" for line in [*lines[:head], CUT, *lines[len(lines) - tail :]])


def _command(line: str) -> str:
    """What one command prints; its message where it is to fail.

    Raises:
        RuntimeError: when it ends with another exit code than the page says.
    """
    wanted = _EXIT.search(line)
    name, *arguments = shlex.split(line, comments=True)
    if name == "dynamap":
        arguments = ["-m", "dynamap_opt", *arguments]
    elif name != "python":
        raise RuntimeError(f"{line!r}: pages run dynamap and python, not {name!r}")
    finished = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if finished.returncode != int(wanted[1] if wanted else 0):
        raise RuntimeError(f"{line!r} ended with {finished.returncode}: {finished.stderr.strip()}")
    return finished.stderr if wanted else finished.stdout


def _run_here(page: Path) -> list[str]:
    """Run a page in the current folder; what each of its run blocks prints."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    source = page.read_text(encoding="utf-8")
    outputs = []
    for fence in fences(page):
        if fence.kind == "file":
            Path(fence.mark.removeprefix("file: ")).write_text(fence.text, encoding="utf-8")
        if fence.kind != "run":
            continue
        if fence.language == "sh":
            lines = fence.text.replace("\\\n", " ").splitlines()
            outputs.append("".join(_command(line) for line in lines if line.strip() and not line.startswith("#")))
            continue
        written = io.StringIO()
        with contextlib.redirect_stdout(written):
            lines_before = source[: fence.place[0]].count("\n")  # so that errors name the line of the page
            exec(compile("\n" * lines_before + fence.text, str(page), "exec"), namespace)  # noqa: S102  # our own page
        outputs.append(written.getvalue())
    return outputs


def run(page: Path) -> list[tuple[Fence, str]]:
    """Run a page in a new process and folder: what each ``output`` block should show, beside that block.

    Raises:
        RuntimeError: when code fails, or prints something that the page does not show.
    """
    with tempfile.TemporaryDirectory() as folder:
        for name in SEEN:
            Path(folder, name).symlink_to(ROOT / name)
        # Absolute, because the page runs elsewhere.
        path = os.pathsep.join(str(Path(part).resolve()) for part in sys.path if part)
        finished = subprocess.run(
            [sys.executable, "-W", "error", str(Path(__file__).resolve()), str(page)],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
        )
    if finished.returncode:
        raise RuntimeError(f"{page.name}: {finished.stderr.strip()}")
    printed = iter(json.loads(finished.stdout))
    shown, last = [], ""
    for fence in fences(page):
        if fence.kind == "run":
            if last:
                raise RuntimeError(f"{page.name} does not show what its code prints: {last}")
            last = trimmed(next(printed))
        elif fence.kind == "output":
            shown.append((fence, cut_like(fence.text, last)))
            last = ""
    if last:
        raise RuntimeError(f"{page.name} does not show what its code prints: {last}")
    return shown


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_run_here(Path(sys.argv[1]))))
