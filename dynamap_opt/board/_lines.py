"""On which line of a TOML text a top-level key stands: what ``tomllib`` knows while parsing and does not tell."""

from __future__ import annotations

import re
import tomllib

__all__ = ["key_lines"]

# TOML's tokens as far as finding the end of a statement needs them. The long strings come before the short ones,
# whose quotes they start with; a long string may end in up to two quotes of its own before the closing three.
_TOKEN = re.compile(
    r'(?P<string>"""(?:\\.|[^\\])*?"""(?:"{0,2})'
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*')"
    r"|(?P<comment>#[^\n]*)"
    r"|(?P<newline>\n)"
    r"|(?P<bare>[A-Za-z0-9_-]+)"
    r"|(?P<blank>[ \t\r]+)"
    r"|(?P<mark>.)",
    re.DOTALL,
)


def key_lines(text: str) -> dict[str, int]:
    """Return the line, counted from 1, on which each top-level key of a valid TOML text first stands.

    For ``a.b = 1`` and for ``[a.b]`` that is the line of ``a``; the keys inside tables are not listed.

    Args:
        text: A text ``tomllib`` accepts; for any other the answer means nothing (but there is one). Linear time.

    >>> key_lines('# a comment' + chr(10) + 'dsp = [' + chr(10) + ']' + chr(10) + '"lut" = 2')
    {'dsp': 2, 'lut': 4}
    """
    lines: dict[str, int] = {}
    line, depth = 1, 0
    fresh = True  # nothing but blanks so far in this statement
    header = False  # this statement began with a bracket: it names a table
    in_table = False  # some earlier header makes every plain key one of a table
    named = False  # this statement's first key has been read
    for match in _TOKEN.finditer(text):
        kind, piece = match.lastgroup, match.group()
        if kind == "newline" and depth == 0:
            fresh, header, named = True, False, False
        elif kind in {"string", "bare"} and not named and (header or not in_table):
            lines.setdefault(_key(piece), line)
            named, fresh = True, False
        elif kind == "mark":
            if piece == "[" and fresh:
                header = in_table = True
            depth += (piece in "[{") - (piece in "]}")
            fresh = False
        elif kind in {"string", "bare"}:
            fresh = False
        line += piece.count("\n")
    return lines


def _key(piece: str) -> str:
    """Return the key a piece of text spells: quoted keys may hold escapes, which ``tomllib`` itself had better read."""
    try:
        return next(iter(tomllib.loads(f"{piece} = 0")))
    except tomllib.TOMLDecodeError:  # a multi-line string, which no valid text has for a key
        return piece
