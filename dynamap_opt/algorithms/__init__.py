"""The convolution algorithms, in a plain and strict registry.

To add one: write a class with the members of :class:`~dynamap_opt.algorithms.base.Algorithm` in a file of its own and
list an instance in ``ALGORITHMS``; every test that goes over the registry then tests it.
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


def select_algorithms(names: Iterable[str] | None = None) -> tuple[Algorithm, ...]:
    """The algorithms of the given names or families, in registry order; all for None.

    Raises:
        AlgorithmError: for an unknown name, listing the right ones, and for an empty selection.

    >>> [algorithm.name for algorithm in select_algorithms(["kn2row", "im2col"])]
    ['im2col', 'kn2row']
    """
    if names is None:
        return tuple(ALGORITHMS.values())
    wanted = list(names)
    known = {*ALGORITHMS, *(algorithm.family for algorithm in ALGORITHMS.values())}
    for name in wanted:
        if name not in known:
            raise AlgorithmError(f"unknown algorithm {name!r}; give names or families among {', '.join(sorted(known))}")
    if not wanted:
        raise AlgorithmError("no algorithm is left to choose from; name at least one")
    return tuple(a for a in ALGORITHMS.values() if a.name in wanted or a.family in wanted)
