"""Why selection is hard, executable: reductions from known problems, both ways, and the case that is easy.

Each function takes a networkx graph and returns a frozen object with the selection problem and the two translations.
``docs/explanation/hardness.md`` has the statements and proofs.
"""

from __future__ import annotations

from dynamap_solvers.hardness._graph import Indexed
from dynamap_solvers.hardness.colouring import ColouringReduction, colouring
from dynamap_solvers.hardness.independent_set import IndependentSetReduction, independent_set
from dynamap_solvers.hardness.max_cut import MaxCutReduction, max_cut
from dynamap_solvers.hardness.minimum_cut import (
    SOURCE,
    TARGET,
    CutProblem,
    TwoChoices,
    as_minimum_cut,
    cut_problem,
)
from dynamap_solvers.hardness.multiway_cut import Form, MultiwayCutReduction, multiway_cut
from dynamap_solvers.hardness.three_algorithms import GADGET_COST, ThreeAlgorithms, three_algorithms

__all__ = [  # noqa: RUF022  # grouped
    # hard
    "ColouringReduction",
    "Form",
    "IndependentSetReduction",
    "Indexed",
    "MaxCutReduction",
    "MultiwayCutReduction",
    "colouring",
    "independent_set",
    "max_cut",
    "multiway_cut",
    "GADGET_COST",
    "ThreeAlgorithms",
    "three_algorithms",
    # easy
    "SOURCE",
    "TARGET",
    "CutProblem",
    "TwoChoices",
    "as_minimum_cut",
    "cut_problem",
]
