"""Texts of white-space separated words, as UAI, WCSP and Scholz files are: counted, exact, and never trusted.

Every count is compared with the words that are left before anything of that size is made.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.errors import ProblemError
from dynamap_solvers.formats._tables import short
from dynamap_solvers.problem import FINITE_LIMIT, FORBIDDEN

__all__ = ["Words", "as_integer", "as_integers", "escape", "numbers", "unescape"]

_INFINITE = {b"inf", b"+inf", b"infinity", b"+infinity"}
_OUTSIDE = set('/#[]{}:,"\\%')
_HEX = re.compile(rb"[0-9A-Fa-f]{2}")


class Words:
    """The words of a text and a place among them."""

    def __init__(self, data: bytes) -> None:
        self.words = data.split()
        self.at = 0

    @property
    def left(self) -> int:
        """How many words have not been taken."""
        return len(self.words) - self.at

    def take(self, count: int, what: str) -> list[bytes]:
        """The next words; ``what`` completes the sentence where there are too few."""
        if count > self.left:
            raise ProblemError(f"{what} needs {count} words but the text ends after {self.left} more.")
        self.at += count
        return self.words[self.at - count : self.at]

    def integer(self, what: str, *, low: int = 0, high: int = 2**63 - 1) -> int:
        """The next word as an integer between two limits."""
        if not self.left:
            raise ProblemError(f"the text ends where {what} should be.")
        (word,) = self.take(1, what)
        value = as_integer(word)
        if value is None:
            raise ProblemError(f"{what} is {short(word)}; give an integer.")
        if not low <= value <= high:
            raise ProblemError(f"{what} is {short(str(value))}; it must lie between {low} and {high}.")
        return value

    def end(self) -> None:
        """Refuse words that are left."""
        if self.left:
            raise ProblemError(
                f"{self.left} words are left after the end, from {short(self.words[self.at])}: a count is too small."
            )


def as_integer(word: bytes) -> int | None:
    """The integer a word spells, of at most 64 bits and a sign, or None."""
    if len(word) > 20 or not (word[1:] if word[:1] in b"+-" else word).isdigit():
        return None
    return int(word)


def as_integers(words: Sequence[bytes]) -> list[int] | None:
    """The integers that words spell, however long, or None where one spells none."""
    if b" ".join(words).translate(None, b"0123456789+- "):
        return None
    try:
        return list(map(int, words))
    except ValueError:  # a sign alone or within, or thousands of digits
        return None


def numbers(words: Sequence[bytes], where: Callable[[int], str]) -> NDArray[Any]:
    """Words as costs: int64 where every one is an integer or ``inf``, else float64; forbidden as FORBIDDEN or inf.

    Args:
        words: the words.
        where: says what the k-th word is a cost of, for messages.

    Raises:
        ProblemError: for a word that is no number, NaN, negative infinity, a number beyond float64, or an integer of
            ``2**60`` or more among integers.
    """
    exact = as_integers(words)
    if exact is not None:
        try:
            array = np.array(exact, np.int64)
            large = np.flatnonzero((array >= FINITE_LIMIT) | (array <= -FINITE_LIMIT))
        except OverflowError:
            large = np.array([k for k, value in enumerate(exact) if abs(value) >= FINITE_LIMIT])
        if large.size:
            raise ProblemError(f"a cost of {where(int(large[0]))} is 2**60 or more in size; scale it down.")
        return array
    text = b" ".join(words)
    infinite = np.fromiter((word.lower() in _INFINITE for word in words), np.bool_, len(words))
    if infinite.any():
        rest = [b"0" if out else word for word, out in zip(words, infinite.tolist(), strict=True)]
        finite = numbers(rest, where)
        finite[infinite] = FORBIDDEN if finite.dtype == np.int64 else math.inf
        return finite
    if text.translate(None, b"0123456789+-.eE "):
        _refuse_first(words, where)
    try:
        floats = np.array(list(map(float, words)), np.float64)
    except ValueError:
        _refuse_first(words, where)
        raise
    if not np.isfinite(floats).all():
        k = int(np.flatnonzero(~np.isfinite(floats))[0])
        raise ProblemError(f"a cost of {where(k)} is {short(words[k])}, which is beyond float64; scale it down.")
    return floats


def _refuse_first(words: Sequence[bytes], where: Callable[[int], str]) -> None:
    for k, word in enumerate(words):
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if b"_" in word or not math.isfinite(value):
            raise ProblemError(f"a cost of {where(k)} is {short(word)}; give a number, or inf to forbid.")


def escape(name: str) -> str:
    """A name as one word that no reader splits: what does not fit is written ``%XX``, an empty name ``%``.

    A word starts with no digit, sign or dot, and holds no white space, control character, quote or bracket.
    """
    if not name:
        return "%"
    parts = []
    for k, char in enumerate(name):
        bad = char in _OUTSIDE or char <= " " or char == "\x7f" or "\ud800" <= char <= "\udfff"
        if bad or (k == 0 and char in "0123456789+-.<>"):
            parts.append("".join(f"%{byte:02X}" for byte in char.encode("utf-8", "surrogatepass")))
        else:
            parts.append(char)
    return "".join(parts)


def unescape(word: bytes) -> str:
    """The name that :func:`escape` made a word of; words from elsewhere come back as they are, as far as UTF-8 goes."""
    if word == b"%":
        return ""
    head, *rest = word.split(b"%")
    parts = [head]
    for part in rest:
        coded = _HEX.match(part)
        parts.append(bytes([int(part[:2], 16)]) + part[2:] if coded else b"%" + part)
    data = b"".join(parts)
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return word.decode("utf-8", "replace")
