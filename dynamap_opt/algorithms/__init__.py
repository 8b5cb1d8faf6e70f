"""The convolution algorithms, in a plain and strict registry.

To add one: write a class with the members of :class:`~dynamap_opt.algorithms.base.Algorithm` in a file of its own and
list an instance in ``ALGORITHMS``; every test that goes over the registry then tests it. To try one, hand an instance
to :func:`dynamap_opt.map`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from dynamap_opt.errors import DynamapError

from .base import Algorithm
from .depthwise import Depthwise
from .im2col import Im2col
from .kn2row import Kn2row
from .winograd import Winograd

__all__ = ["ALGORITHMS", "Algorithm", "AlgorithmError", "select_algorithms"]

#: Every algorithm by name. Transformed weights: F(2,3) scaled by 2 per axis needs at most 12 bits, F(4,3) scaled by 24
#: per axis 13 bits in one dimension and 18 in two.
ALGORITHMS: Mapping[str, Algorithm] = MappingProxyType(
    {
        algorithm.name: algorithm
        for algorithm in (
            Im2col(),
            Kn2row(),
            Winograd(tile=2, dimensions=2, weight_bytes=2),
            Winograd(tile=4, dimensions=2, weight_bytes=3),
            Winograd(tile=2, dimensions=1, weight_bytes=2),
            Winograd(tile=4, dimensions=1, weight_bytes=2),
            Depthwise(),
        )
    }
)


class AlgorithmError(DynamapError):
    """A name that is neither an algorithm nor a family of them."""


def select_algorithms(chosen: Iterable[str | Algorithm] | None = None) -> tuple[Algorithm, ...]:
    """The algorithms of the given names or families, in registry order, then the given ones; all of ours for None.

    Args:
        chosen: names and families of ours, and algorithms of one's own, which need no registration.

    Raises:
        AlgorithmError: for an unknown name, listing the right ones, for an algorithm of one's own whose name is not
            lower case or belongs to another, and for an empty selection.

    >>> [algorithm.name for algorithm in select_algorithms(["kn2row", "im2col"])]
    ['im2col', 'kn2row']
    """
    if chosen is None:
        return tuple(ALGORITHMS.values())
    given = list(chosen)
    wanted = [entry for entry in given if isinstance(entry, str)]
    known = {*ALGORITHMS, *(algorithm.family for algorithm in ALGORITHMS.values())}
    for name in wanted:
        if name not in known:
            raise AlgorithmError(f"unknown algorithm {name!r}; give names or families among {', '.join(sorted(known))}")
    if not given:
        raise AlgorithmError("no algorithm is left to choose from; name at least one")
    ours = tuple(a for a in ALGORITHMS.values() if a in given or a.name in wanted or a.family in wanted)
    return (*ours, *_own([entry for entry in given if not isinstance(entry, str) and entry not in ours]))


def _own(algorithms: Iterable[Algorithm]) -> tuple[Algorithm, ...]:
    """Algorithms of one's own, their names looked at."""
    named: dict[str, Algorithm] = {}
    for algorithm in algorithms:
        name = algorithm.name
        if not name or name != name.lower() or "," in name:
            raise AlgorithmError(f"the name of an algorithm is lower case, without a comma, not {name!r}; change it")
        if name in ALGORITHMS or named.setdefault(name, algorithm) != algorithm:
            raise AlgorithmError(f"there is an algorithm {name!r} already; give yours a name of its own")
    return tuple(named.values())
