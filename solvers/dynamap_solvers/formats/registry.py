"""The formats by name: what reads and writes each, by which ending it is written, and how a text is recognised."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dynamap_solvers.errors import ProblemError
from dynamap_solvers.formats import _json, cfn, iopddl, lp, mps, native, scholz, uai, wcsp
from dynamap_solvers.formats._files import load, located
from dynamap_solvers.formats._words import as_integer
from dynamap_solvers.problem import SelectionProblem

__all__ = ["FORMATS", "Format", "detect_format", "format_names", "read_problem", "write_problem"]

_HEAD = 4096
_BOUND = re.compile(rb"[<>][+-]?[0-9.]")
_MINUS = re.compile(rb"\s-")
_MODEL = re.compile(rb"(?i)\s*(\\|\*|name\b|rows\b|minimi[sz]e\b|maximi[sz]e\b|min\b|max\b)")


@dataclass(frozen=True)
class Format:
    """A file format.

    Attributes:
        name: what :func:`write_problem` calls it.
        summary: one line about it.
        endings: the endings, in lower case, that choose it for writing; ``.gz`` may follow.
        write: writes a problem; returns what to add to a total of the file to get the problem's objective, or None
            for 0.
        readable: whether :func:`read_problem` reads it.
    """

    name: str
    summary: str
    endings: tuple[str, ...]
    write: Callable[[SelectionProblem, str | os.PathLike[str]], int | None]
    readable: bool = True


FORMATS: dict[str, Format] = {
    entry.name: entry
    for entry in (
        Format("json", "our own, everything, exactly", (".json",), native.write_json),
        Format(
            "iopddl", "IOPDDL contest JSON: costs and a usage limit", (".iopddl", ".iopddl.json"), iopddl.write_iopddl
        ),
        Format("uai", "potentials exp(-cost), floats", (".uai",), uai.write_uai),
        Format("lg", "logarithms of potentials, exact", (".lg",), uai.write_lg),
        Format("wcsp", "toulbar2, integers of 0 or more", (".wcsp",), wcsp.write_wcsp),
        Format("cfn", "toulbar2, decimals and names", (".cfn",), cfn.write_cfn),
        Format("scholz", "PBQP matrices of Scholz & Eckstein", (".in", ".pbqp"), scholz.write_scholz),
        Format("lp", "integer program, CPLEX LP", (".lp",), lp.write_lp, readable=False),
        Format("mps", "integer program, free MPS", (".mps",), mps.write_mps, readable=False),
    )
}
"""Every format by its name."""


def format_names() -> tuple[str, ...]:
    """The names of all formats."""
    return tuple(FORMATS)


def read_problem(path: str | os.PathLike[str]) -> SelectionProblem:
    """Read a problem in any format we read, told by content, gzipped or not; the file's name does not matter.

    Raises:
        ProblemError: in one sentence that names the file and the place in it, see the reader of each format; or that
            the content is of no format we read.
        OSError: if the file cannot be opened.
    """
    with located(path):
        data = load(path)
        if data.lstrip()[:1] in (b"{", b"["):
            return _read_braces(data)
        return _TEXTS[_detect_text(data)](data)


def detect_format(path: str | os.PathLike[str]) -> str:
    """The name of the format of a file, by its content; a file that is broken further on may still be named.

    Raises:
        ProblemError: if the content is of no format we read.
        OSError: if the file cannot be opened.
    """
    with located(path):
        data = load(path)
        if data.lstrip()[:1] not in (b"{", b"["):
            return _detect_text(data)
        document = _try_json(data)
        return _of_document(document) or _of_braces(data)


def write_problem(
    problem: SelectionProblem,
    path: str | os.PathLike[str],
    *,
    format: str | None = None,  # noqa: A002  # the word a user expects
) -> int:
    """Write a problem, in the format named or, without one, by the ending of the path; ``.gz`` at the end packs.

    Args:
        problem: the problem.
        path: where to; the file appears whole or not at all.
        format: a key of :data:`FORMATS`; ``.json`` alone means our own.

    Returns:
        What to add to a total of the file to get the objective of the problem. It is 0 but for WCSP files of problems
        with negative costs, which that format cannot hold.

    Raises:
        ProblemError: if the format is unknown, or cannot hold the problem; one sentence says what.
        OSError: if the file cannot be written.
    """
    name = _by_ending(path) if format is None else format
    if name not in FORMATS:
        raise ProblemError(f"There is no format {name!r}; there are {', '.join(FORMATS)}.")
    return FORMATS[name].write(problem, path) or 0


def _by_ending(path: str | os.PathLike[str]) -> str:
    text = os.fspath(path).lower().removesuffix(".gz")
    fitting = [(len(end), entry.name) for entry in FORMATS.values() for end in entry.endings if text.endswith(end)]
    if not fitting:
        endings = ", ".join(end for entry in FORMATS.values() for end in entry.endings)
        raise ProblemError(f"The ending of {os.fspath(path)!r} names no format; give one of {endings}, or format=.")
    return max(fitting)[1]


_TEXTS: dict[str, Callable[[bytes], SelectionProblem]] = {
    "uai": uai.parse_uai,
    "lg": uai.parse_uai,
    "wcsp": wcsp.parse_wcsp,
    "cfn": cfn.parse_cfn,
    "scholz": scholz.parse_scholz,
}

_DOCUMENTS: dict[str, Callable[[Any], SelectionProblem]] = {
    "json": native.parse_document,
    "iopddl": iopddl.parse_document,
}


def _read_braces(data: bytes) -> SelectionProblem:
    document = _try_json(data)
    name = _of_document(document) or _of_braces(data)
    if name == "cfn":
        return cfn.parse_cfn(data)
    return _DOCUMENTS[name](_json.decode(data) if document is None else document)


def _try_json(data: bytes) -> Any:
    """The document, or None where it is not JSON."""
    try:
        return _json.decode(data)
    except ProblemError:
        return None


def _of_document(document: Any) -> str | None:
    """The format by the keys of a JSON document."""
    if not isinstance(document, dict):
        return None
    if "schema" in document:
        return "json"
    problem = document.get("problem")
    if isinstance(problem, dict):
        return "cfn" if "mustbe" in problem else "iopddl"
    return None


def _of_braces(data: bytes) -> str:
    """The format by the head of a text in braces that is not JSON, or not one of our documents."""
    head = data[:_HEAD]
    if b'"schema"' in head and b"dynamap/" in head:
        return "json"
    if _BOUND.search(head):
        return "cfn"
    if b'"problem"' in head:
        return "iopddl"
    raise ProblemError(_unknown())


def _detect_text(data: bytes) -> str:
    """The format of a text that does not begin with a bracket."""
    if data.lstrip()[:1] == b"#" and _BOUND.search(data):
        return "cfn"
    words = data[:_HEAD].split(maxsplit=5)
    if words[:1] in ([b"MARKOV"], [b"BAYES"]):
        return "lg" if _MINUS.search(data) else "uai"
    numeric = [as_integer(word) is not None for word in words[:5]]
    if len(numeric) >= 2 and numeric[0]:
        if len(numeric) == 5 and all(numeric) and _like_wcsp(data):
            return "wcsp"
        if numeric[1]:
            return "scholz"
    if len(numeric) == 5 and all(numeric[1:]):
        return "wcsp"
    if _MODEL.match(data):
        raise ProblemError("it looks like an LP or MPS file; those are written, not read.")
    raise ProblemError(_unknown())


def _like_wcsp(data: bytes) -> bool:
    """Whether a text that begins with numbers is a WCSP file whose name is a number, and not a Scholz file."""
    words = data.split()
    count, most = as_integer(words[1]) or 0, as_integer(words[2])
    sizes = [as_integer(word) for word in words[5 : 5 + max(count, 0)]]
    fits = bool(sizes) and None not in sizes and max(size or 0 for size in sizes) == most
    return fits and not scholz.fits_scholz(words)


def _unknown() -> str:
    names = ", ".join(name for name, entry in FORMATS.items() if entry.readable)
    return f"its content is of no format that can be read ({names})."
