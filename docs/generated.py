"""What pages take from the code when the site is built: the command line's options, the units' contracts.

A page holds a line ``<!-- generated: command line -->`` or ``<!-- generated: unit contracts -->``; the site has in its
place what the parsers and the docstrings say now.
"""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from dynamap_opt.cli.main import command_line

__all__ = ["App", "setup"]

UNITS = Path(__file__).resolve().parent.parent / "rtl" / "dynamap_rtl" / "units"
LOWER = ("dynamap_models", "dynamap_rtl", "dynamap_solvers")


class App(Protocol):
    """What is used of ``sphinx.application.Sphinx``."""

    env: Any

    def connect(self, event: str, callback: Callable[..., Any]) -> int:
        """Have a function called."""


def _escaped(text: str) -> str:
    """Text from a parser as Markdown: no tags, no tables broken."""
    return re.sub(r"([<>|*_`])", r"\\\1", " ".join(text.split()))


def _call(action: argparse.Action) -> str:
    """An option or argument as one writes it."""
    text = action.metavar or (action.dest.upper() if action.option_strings else action.dest)
    if action.choices and not action.metavar:
        text = "|".join(map(str, action.choices))
    if not isinstance(text, str):
        text = " ".join(text)
    if action.nargs == "?":
        text = f"[{text}]"
    elif action.nargs in {"*", "+"}:
        text = f"{text} ..."
    if not action.option_strings:
        return text
    names = ", ".join(action.option_strings)
    return names if action.nargs == 0 else f"{names} {text}"


def _sections(parser: argparse.ArgumentParser, summary: str, depth: int) -> Iterator[str]:
    """A command as Markdown, then the commands below it."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]  # noqa: SLF001
    if depth > 1:
        usage = " ".join(parser.format_usage().split()).removeprefix("usage: ")
        yield f"{'#' * depth} {parser.prog}\n"
        yield _escaped(parser.description or summary) + "\n"
        yield f"```text\n{usage}\n```\n"
    for action in parser._actions:  # noqa: SLF001
        if action.help != argparse.SUPPRESS and action.dest != "help" and action not in below:
            text = (action.help or "") % {**vars(action), "prog": parser.prog}
            yield f"`{_call(action)}`\n: {_escaped(text)}\n"
    for commands in below:
        summaries = {action.dest: action.help or "" for action in commands._choices_actions}  # noqa: SLF001
        for name, command in commands.choices.items():
            yield from _sections(command, summaries.get(name, ""), depth + 1)


def command_line_reference() -> str:
    """Markdown of every command: what it does, its arguments and options."""
    return "\n".join(_sections(command_line(), "", 1))


def units() -> Iterator[tuple[str, str]]:
    """File name and docstring of every unit."""
    for path in sorted(UNITS.glob("[a-z]*.py")):
        yield path.name, ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def unit_contracts() -> str:
    """Markdown with the docstring of every unit under its file's name."""
    return "\n".join(f"## {name}\n\n````{{eval-rst}}\n{text}\n````\n" for name, text in units())


GENERATED = {"command line": command_line_reference, "unit contracts": unit_contracts}


def fill(app: App, page: str, source: list[str]) -> None:  # noqa: ARG001 - Sphinx's signature
    """Put what is generated in the place of its comment."""
    source[0] = re.sub(r"<!-- generated: ([\w ]+) -->", lambda match: GENERATED[match[1]](), source[0])


def skip(app: App, what: str, name: str, value: object, skipped: bool, options: object) -> bool | None:  # noqa: ARG001, FBT001 - Sphinx's signature
    """Leave out of dynamap_opt's page what it passes on from the other packages, which have pages of their own."""
    home = (getattr(value, "__module__", None) or "").partition(".")[0]
    return True if app.env.docname.endswith("/dynamap_opt") and home in LOWER else None


def setup(app: App) -> None:
    """Connect to Sphinx."""
    app.connect("source-read", fill)
    app.connect("autodoc-skip-member", skip)
