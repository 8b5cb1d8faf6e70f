"""Checked reading of JSON documents: strict JSON, exact integers, and lists of numbers turned into arrays.

Numbers are checked by the set of their types and by array operations; only where something is wrong are they looked at
one by one, to name the first that is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from dynamap_solvers.errors import ProblemError

__all__ = ["INT64_MAX", "decode", "flatten", "integers", "key", "lengths", "list_of", "pairs", "shortened"]

INT64_MAX = 2**63 - 1


def decode(data: bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ProblemError: if it is not UTF-8, not JSON, nested too deeply, or holds NaN or infinity.
    """
    import msgspec  # noqa: PLC0415  # importing this package shall cost numpy only

    try:
        return msgspec.json.decode(data)
    except RecursionError as error:
        raise ProblemError("the JSON is nested too deeply.") from error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass  # the standard library says better what is wrong, and takes escapes that the fast decoder does not
    try:
        return json.loads(data, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ProblemError("the JSON is nested too deeply.") from error
    except ValueError as error:  # not UTF-8, not JSON, integers of thousands of digits
        raise error if isinstance(error, ProblemError) else ProblemError(f"not valid JSON: {error}.") from error


def _refuse_constant(constant: str) -> NoReturn:
    raise ProblemError(f"{constant} is not a number; this format has its own way to forbid a cell.")


def key(mapping: Any, name: str, where: str) -> Any:
    """``mapping[name]``, or a sentence about ``where``."""
    if not isinstance(mapping, dict):
        raise ProblemError(f"{where} must be a JSON object, not {type(mapping).__name__}.")
    if name not in mapping:
        raise ProblemError(f'{where} has no "{name}".')
    return mapping[name]


def list_of(value: Any, where: str) -> list[Any]:
    """The value itself where it is a list."""
    if not isinstance(value, list):
        raise ProblemError(f"{where} must be a list, not {type(value).__name__}.")
    return value


def lengths(lists: list[Any], where: Callable[[int], str]) -> NDArray[np.int64]:
    """The lengths of the lists in a list; ``where(k)`` names the k-th."""
    if set(map(type, lists)) - {list}:
        for k, value in enumerate(lists):
            list_of(value, where(k))
    return np.fromiter(map(len, lists), np.int64, len(lists))


def flatten(lists: Sequence[Sequence[Any]]) -> list[Any]:
    """The entries of all lists in one."""
    return list(chain.from_iterable(lists))


def integers(values: list[Any], where: Callable[[int], str]) -> NDArray[np.int64]:
    """The values as int64; ``where(k)`` names what the k-th belongs to.

    Raises:
        ProblemError: naming the first value that is not an integer of 64 bits.
    """
    if not set(map(type, values)) - {int}:
        try:
            return np.array(values, np.int64)
        except OverflowError:
            pass
    for k, value in enumerate(values):
        if type(value) is not int or abs(value) > INT64_MAX:
            raise ProblemError(f"the {where(k)} contain {shortened(value)}, which is not a 64-bit integer.")
    return np.array(values, np.int64)


def pairs(lists: list[Any], label: Callable[[int], str], counted: Callable[[int, int], str]) -> NDArray[np.int64]:
    """A list of pairs of integers as an array ``(m, 2)``; ``counted(k, length)`` says that the k-th is no pair."""
    sizes = lengths(lists, lambda k: f"the {label(k)}")
    wrong = np.flatnonzero(sizes != 2)
    if wrong.size:
        k = int(wrong[0])
        raise ProblemError(counted(k, int(sizes[k])))
    return integers(flatten(lists), lambda k: label(k // 2)).reshape(-1, 2)


def shortened(value: Any) -> str:
    """A value for a message, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
