"""Peers: what a user would pick instead, each called as directly and built as fast as its Python interface allows.

Nothing here is needed to use the package; a peer that is not installed is left out.
"""

from __future__ import annotations

from functools import partial

from dynamap_solvers.bench.contestants import MEMORY_PASS, Contestant, ours
from dynamap_solvers.bench.peers import cbc, cp_sat, highs, scip, toulbar2

__all__ = ["CONTESTANTS", "contestants"]

_TOULBAR2 = {
    "peer-toulbar2": ({}, "toulbar2 with its default options"),
    "peer-toulbar2-eliminate": (
        {"elimDegree_preprocessing": 8},
        "toulbar2 eliminating variables of degree up to 8 first",
    ),
    "peer-toulbar2-vac": ({"vac": 1}, "toulbar2 with virtual arc consistency before the search"),
}

_PEERS = (
    *(
        Contestant(
            name=name,
            summary=summary,
            build=partial(toulbar2.build, options),
            solve=toulbar2.solve,
            requires=("pytoulbar2",),
            distribution="pytoulbar2",
            takes_usage=False,
        )
        for name, (options, summary) in _TOULBAR2.items()
    ),
    Contestant(
        name="peer-highs",
        summary="HiGHS on the local-polytope integer program, passed to it as one sparse matrix",
        build=highs.build,
        solve=highs.solve,
        requires=("highspy",),
        distribution="highspy",
    ),
    Contestant(
        name="peer-scip",
        summary="SCIP on the same program, read from an MPS file",
        build=scip.build,
        solve=scip.solve,
        requires=("pyscipopt", "highspy"),
        distribution="pyscipopt",
    ),
    Contestant(
        name="peer-cbc",
        summary="the CBC that PuLP bundles on the same program, read from an MPS file",
        build=cbc.build,
        solve=cbc.solve,
        requires=("pulp", "highspy"),
        distribution="pulp",
    ),
    Contestant(
        name="peer-cp-sat",
        summary="OR-tools CP-SAT on the same program with Boolean variables",
        build=cp_sat.build,
        solve=cp_sat.solve,
        requires=("ortools",),
        distribution="ortools",
    ),
)


def contestants() -> dict[str, Contestant]:
    """Every contestant by name: our methods, the peers, the reference; installed or not."""
    return ours() | {peer.name: peer for peer in _PEERS} | {MEMORY_PASS.name: MEMORY_PASS}


CONTESTANTS = contestants()
"""All of them, as a registry that :func:`dynamap_solvers.bench.run_benchmark` takes."""
