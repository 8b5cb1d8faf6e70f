"""Reading boards: presets shipped with the package, users' TOML files, and what is said when one is wrong."""

from __future__ import annotations

import difflib
import os
import re
import stat
import textwrap
import tomllib
from collections.abc import Iterable
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from dynamap_opt.board._lines import key_lines
from dynamap_opt.board.board import RULES, Board, first_fault, show
from dynamap_opt.errors import BoardError

__all__ = ["board_names", "load_board", "parse_board"]

# A board file is some kilobytes, comments included; the limit keeps a file given by mistake from being chewed on.
_MAX_BYTES = 64 * 1024
# tomllib takes time and memory quadratic in the parts of a dotted key, and Python refuses integers of many digits; no
# honest line comes near either.
_MAX_LINE = 500


def board_names() -> tuple[str, ...]:
    """Return the names of the presets, sorted.

    >>> board_names()[:2]
    ('alveo-u200', 'alveo-u250')
    """
    entries = (entry.name for entry in _presets().iterdir())
    return tuple(sorted(entry.removesuffix(".toml") for entry in entries if entry.endswith(".toml")))


def load_board(name_or_path: str | os.PathLike[str]) -> Board:
    """Return a preset by its name, or the board a TOML file describes.

    A text is a preset's name (upper case and underscores are forgiven) before it is a path; otherwise it is a path if
    it ends in ``.toml``, contains a path separator or is the name of a file. A ``PathLike`` is always a path.

    Raises:
        BoardError: If there is no such preset or file, it cannot be read, or it does not describe a board.

    >>> load_board("alveo-u200").dsp
    6840
    """
    if not isinstance(name_or_path, str | os.PathLike):
        raise BoardError(f"a board is given by a preset's name or the path of a TOML file, not {show(name_or_path)}")
    text = os.fsdecode(name_or_path)
    if isinstance(name_or_path, str):
        name = text.strip().lower().replace("_", "-")
        names = board_names()
        if name in names:
            return parse_board(_presets().joinpath(f"{name}.toml").read_text("utf-8"), origin=f"{name}.toml")
        separators = [separator for separator in (os.sep, os.altsep) if separator]
        looks_like_path = text.endswith(".toml") or any(separator in text for separator in separators)
        if not looks_like_path and not os.path.isfile(text):  # noqa: PTH113 - Path.is_file raises on odd names in 3.11
            raise BoardError(
                f"there is no board {show(text)}{_did_you_mean(name, names)}; the boards are {', '.join(names)}, "
                "or give the path of a .toml file"
            )
    return parse_board(_read_text(text), origin=text)


def parse_board(text: str, *, origin: str) -> Board:
    """Return the board a TOML text describes.

    Args:
        text: The text of a board file: one ``key = value`` line for every field of :class:`Board`.
        origin: What error messages call the text, usually its path.

    Raises:
        BoardError: If the text is not TOML, a key is missing or unknown, or a value is of the wrong type or out of its
            range. The message is one sentence and begins with ``origin:line:``.
    """
    origin = _printable(origin)
    if len(text) > _MAX_BYTES:
        raise BoardError(f"{origin}:1: a board file holds at most {_MAX_BYTES} bytes, which this one exceeds")
    for number, content in enumerate(text.split("\n"), start=1):
        if len(content) > _MAX_LINE:
            raise BoardError(f"{origin}:{number}: a line holds at most {_MAX_LINE} characters, not {len(content)}")
    values = _parse_toml(text, origin)
    lines = key_lines(text)
    if not values:
        raise BoardError(f"{origin}:1: the board file has no keys; it needs {', '.join(RULES)}")
    for key, value in values.items():
        if key not in RULES:
            raise BoardError(f"{origin}:{lines.get(key, 1)}: {_unknown_key(key, value)}")
    for key, rule in RULES.items():
        if key not in values:
            line = _line_count(text)  # the end of the file is where the key would be added
            raise BoardError(
                f"{origin}:{line}: key '{key}' ({rule.meaning}) is missing; add a line such as {key} = {rule.example}"
            )
    fault = first_fault(values)
    if fault is not None:
        raise BoardError(f"{origin}:{lines.get(fault[0], 1)}: {fault[1]}")
    return Board(**values)


def _presets() -> Traversable:
    """Return the directory of the presets; it may be inside a zip file, so it need not be a Path."""
    return resources.files("dynamap_opt.board").joinpath("presets")


def _parse_toml(text: str, origin: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        where = re.search(r" \(at line (\d+), column (\d+)\)$", message)
        if where:
            line, place = int(where[1]), f"column {where[2]}"
            message = message[: where.start()]
        else:
            line, place = _line_count(text), "the end of the file"
            message = message.removesuffix(" (at end of document)")
        reason = textwrap.shorten(_printable(message), 80, placeholder=" ...")
        raise BoardError(f"{origin}:{line}: not valid TOML at {place}: {reason}") from error
    except RecursionError as error:
        raise BoardError(f"{origin}:1: the values are nested too deeply; a board file nests none") from error


def _line_count(text: str) -> int:
    return max(1, text.count("\n") + (not text.endswith("\n")))


def _read_text(path: str) -> str:
    shown = _printable(path)
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - the path stays the text the user gave, not Path's rewriting of it
        # Opening a pipe could wait for ever, so what the path names is settled first.
        if stat.S_ISREG(mode):
            with open(path, "rb") as file:  # noqa: PTH123 - as above
                data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError as error:
        stem = Path(path).name.removesuffix(".toml").lower()
        raise BoardError(f"there is no board file {shown}{_did_you_mean(stem, board_names())}") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BoardError(f"board file {shown} cannot be read: {reason}") from error
    if stat.S_ISDIR(mode):
        raise BoardError(f"{shown} is a directory; give the path of the board's .toml file")
    if not stat.S_ISREG(mode):
        raise BoardError(f"{shown} is not a regular file, and a board is read from one")
    if len(data) > _MAX_BYTES:
        raise BoardError(f"{shown}:1: a board file holds at most {_MAX_BYTES} bytes, which this one exceeds")
    try:
        return data.decode("utf-8-sig")  # some editors begin a file with a byte-order mark
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BoardError(
            f"{shown}:{line}: a board file is UTF-8 text, but byte 0x{data[error.start]:02x} at offset {error.start} "
            "is not part of any"
        ) from error


def _unknown_key(key: str, value: object) -> str:
    hint = _did_you_mean(key.lower().replace("-", "_"), RULES)
    if isinstance(value, dict) and not hint:
        return f"{show(key)} is a table, but a board file has none; put every key at the top level"
    return f"unknown key {show(key)}{hint}; the keys are {', '.join(RULES)}"


def _did_you_mean(word: str, choices: Iterable[str]) -> str:
    close = difflib.get_close_matches(word[:64], list(choices), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _printable(text: str) -> str:
    """Return the text with unprintable characters escaped, so that a message is always one line that can be shown."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
