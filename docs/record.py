"""Run the commands that pages show and put their output under them.

A page marks a command, ``dynamap`` or ``python docs/examples/...``, in a comment right above a fenced block::

    <!-- checked: dynamap models -->          output that never changes; a test compares it
    <!-- recorded 2026-11-22: dynamap ... --> output with times in it; true for that day's machine
    <!-- checked 8+6: dynamap map ... -->     only the first 8 and the last 6 lines are shown

Pages whose code runs from top to bottom, each block with its output under it, are ``session.py``'s.

``python docs/record.py`` runs all pages and all checked commands again and rewrites what they show; ``--recorded`` the
others too, which takes many minutes; ``--recorded simulation.md`` only that page's, and with more words only commands
in which one of them stands: ``--recorded simulation.md digits``.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import session
from session import CUT, PAGES, ROOT, trimmed

_BLOCK = re.compile(
    r"<!-- (?P<kind>checked|recorded)(?: (?P<date>\d{4}-\d\d-\d\d))?(?: (?P<head>\d+)\+(?P<tail>\d+))?: "
    r"(?P<command>[^\n]+?) -->\n```text\n(?P<text>.*?)```\n",
    re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One command with the output its page shows."""

    page: Path
    kind: str
    command: str
    head: int
    tail: int
    text: str


def blocks(page: Path) -> Iterator[Block]:
    """The marked blocks of a page."""
    for match in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        head, tail = int(match["head"] or 0), int(match["tail"] or 0)
        yield Block(page, match["kind"], match["command"], head, tail, match["text"])


def output(block: Block) -> str:
    """What the command prints now, cut as the block asks.

    Raises:
        RuntimeError: when the command fails.
    """
    name, *arguments = shlex.split(block.command)
    if name == "dynamap":
        arguments = ["-m", "dynamap_opt", *arguments]
    elif name != "python" or not arguments or not arguments[0].startswith("docs/examples/"):
        raise RuntimeError(
            f"{block.page.name}: only dynamap commands and programs in docs/examples can be recorded, "
            f"not {block.command!r}"
        )
    finished = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=ROOT)
    if finished.returncode:
        raise RuntimeError(f"{block.command}: {finished.stderr.strip()}")
    lines = trimmed(finished.stdout).splitlines()
    if block.head and len(lines) > block.head + block.tail:
        lines = [*lines[: block.head], CUT, *lines[len(lines) - block.tail :]]
    return "".join(f"{line}\n" for line in lines)


def main() -> int:
    """Rewrite the blocks of every page."""
    everything, words = "--recorded" in sys.argv[1:], [word for word in sys.argv[1:] if not word.startswith("--")]
    only, wanted = (
        {word for word in words if word.endswith(".md")},
        [word for word in words if not word.endswith(".md")],
    )
    today = datetime.now(tz=UTC).date().isoformat()
    for page in (page for page in PAGES if not only or page.name in only):
        text = page.read_text(encoding="utf-8")
        for match in list(_BLOCK.finditer(text)):
            if match["kind"] == "recorded" and not everything:
                continue
            if wanted and not any(word in match["command"] for word in wanted):
                continue
            head, tail = int(match["head"] or 0), int(match["tail"] or 0)
            block = Block(page, match["kind"], match["command"], head, tail, match["text"])
            print(f"{page.name}: {block.command}", flush=True)
            cut = f" {head}+{tail}" if head else ""
            date = f" {today}" if block.kind == "recorded" else ""
            fresh = f"<!-- {block.kind}{date}{cut}: {block.command} -->\n```text\n{output(block)}```\n"
            text = text.replace(match[0], fresh)
            page.write_text(text, encoding="utf-8")  # at once: the next may take long
        if session.is_session(page) and not wanted:
            print(f"{page.name}: from top to bottom", flush=True)
            for fence, fresh in reversed(session.run(page)):
                first, end = fence.place
                text = text[:first] + fresh + text[end:]
            page.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
