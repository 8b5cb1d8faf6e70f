"""What pages take from elsewhere when the site is built: the command line's options, the units' contracts.

A page holds a line ``<!-- generated: command line -->`` or another of ``GENERATED``; the site has in its place what the
parsers and the docstrings say now. References in docstrings must name something that exists: what has no page of its
own becomes plain code, the rest is an error.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import re
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from pygments.lexers.special import TextLexer

from dynamap_opt.cli.main import command_line

__all__ = ["App", "setup"]

ROOT = Path(__file__).resolve().parent.parent
UNITS = ROOT / "rtl" / "dynamap_rtl" / "units"
LOWER = ("dynamap_models", "dynamap_rtl", "dynamap_solvers")


class App(Protocol):
    """What is used of ``sphinx.application.Sphinx``."""

    env: Any

    def connect(self, event: str, callback: Callable[..., Any], priority: int = 500) -> int:
        """Have a function called."""

    def add_lexer(self, alias: str, lexer: type[Any]) -> None:
        """How a language is coloured."""


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
        usage = "\n".join(textwrap.wrap(usage, 110, subsequent_indent="    ", break_on_hyphens=False))
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
    return "\n".join(
        f"## {name}\n\n````{{eval-rst}}\n.. py:currentmodule:: dynamap_rtl.units.{Path(name).stem}\n\n{text}\n````\n"
        for name, text in units()
    )


def documentation() -> str:
    """What GitHub shows of the folder."""
    return (ROOT / "docs" / "README.md").read_text(encoding="utf-8")


def contributing() -> str:
    """CONTRIBUTING.md, its links as seen from here."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return text.replace("](docs/README.md", "](index.md").replace("](docs/", "](")


GENERATED = {
    "command line": command_line_reference,
    "unit contracts": unit_contracts,
    "documentation": documentation,
    "contributing": contributing,
}


def fill(app: App, page: str, source: list[str]) -> None:  # noqa: ARG001 - Sphinx's signature
    """Put what is generated in the place of its comment; links out of the folder lead to its page here."""
    text = re.sub(r"<!-- generated: ([\w ]+) -->", lambda match: GENERATED[match[1]](), source[0])
    source[0] = re.sub(r"\]\(((?:\.\./)*)\.\./CONTRIBUTING\.md", r"](\1contributing.md", text)


def skip(app: App, what: str, name: str, value: object, skipped: bool, options: object) -> bool | None:  # noqa: ARG001, FBT001 - Sphinx's signature
    """Leave out of dynamap_opt's page what it passes on from the other packages, which have pages of their own."""
    home = (getattr(value, "__module__", None) or "").partition(".")[0]
    return True if app.env.docname.endswith("/dynamap_opt") and home in LOWER else None


def exists(path: str) -> bool:
    """Whether a dotted path names a module, or something in one."""
    module, _, rest = path.partition(".")
    value: Any = None
    while True:
        try:
            value = importlib.import_module(module)
        except ImportError:
            break
        name, _, rest = rest.partition(".")
        if not name:
            return True
        module = f"{module}.{name}"
    names = [name, *filter(None, rest.split("."))] if value is not None else []
    for name in names:
        if not hasattr(value, name) and name not in getattr(value, "__annotations__", {}):
            return False
        value = getattr(value, name, None)
    return bool(names)


@cache
def defined() -> frozenset[str]:
    """Every name that a module of ours defines: docstrings name neighbours by their short names."""
    found: set[str] = set()
    for package in (
        ROOT / "dynamap_opt",
        *(ROOT / place / f"dynamap_{place}" for place in ("models", "rtl", "solvers")),
    ):
        for path in package.rglob("*.py"):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef | ast.FunctionDef):
                    found.add(node.name)
                elif isinstance(node, ast.Assign | ast.AnnAssign):
                    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                    found.update(target.id for target in targets if isinstance(target, ast.Name))
    return frozenset(found)


def resolve(app: App, env: object, node: Any, shown: object) -> object | None:  # noqa: ARG001 - Sphinx's signature
    """A reference to something of Python without a page here: as it is if it exists, None (an error) if not."""
    if node.get("refdomain") != "py":
        return None
    around = [node.get("py:module"), node.get("py:class")]
    prefixes = ["", *(f"{name}." for name in around if name), ".".join(filter(None, around)) + "."]
    target = node["reftarget"].lstrip(".")
    return shown if target in defined() or any(exists(prefix + target) for prefix in prefixes) else None


_BEFORE: dict[str, list[str]] = {}
_SECTIONS = {"Args:", "Attributes:", "Raises:", "Returns:", "Example:"}


def keep(app: App, what: str, name: str, value: object, options: object, lines: list[str]) -> None:  # noqa: ARG001 - Sphinx's signature
    """Remember the docstring of a value or a property, in which napoleon takes what is before a colon for a type."""
    if what in {"attribute", "data", "property"} and not _SECTIONS & {line.strip() for line in lines}:
        _BEFORE[name] = [*lines]


def restore(app: App, what: str, name: str, value: object, options: object, lines: list[str]) -> None:  # noqa: ARG001 - Sphinx's signature
    """Put it back as it was."""
    if name in _BEFORE:
        lines[:] = _BEFORE.pop(name)


def setup(app: App) -> None:
    """Connect to Sphinx."""
    app.connect("source-read", fill)
    app.connect("autodoc-skip-member", skip)
    app.connect("missing-reference", resolve)
    app.connect("autodoc-process-docstring", keep, priority=400)
    app.connect("autodoc-process-docstring", restore, priority=600)
    for name in ("iopddl", "uai", "lg", "wcsp", "cfn", "scholz", "lp"):  # problem files, shown as they are
        app.add_lexer(name, TextLexer)
