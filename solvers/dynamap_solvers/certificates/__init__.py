"""Proofs that can be checked, and the verifier: plain Python that shares no code with what solves.

=========================  =========================================================  =====================
certificate                proves                                                     made by
=========================  =========================================================  =====================
ReductionCertificate       the optimum, or that nothing is allowed                    series-parallel, auto
EliminationCertificate     the optimum, or that nothing is allowed                    elimination orders
DualCertificate            a lower bound; takes a resource limit                      reparametrisations
CutCertificate             the optimum, or that nothing is allowed                    min-cut
=========================  =========================================================  =====================

A certificate speaks of the problem without fixed choices and ties: :mod:`dynamap_solvers.certificates._exact` says how
the variables, edges and choices that remain are numbered.
"""

from __future__ import annotations

from dynamap_solvers.certificates._exact import read_exact, strike_out
from dynamap_solvers.certificates.check import Certificate, check, check_certificate
from dynamap_solvers.certificates.cut import CutCertificate, check_cut
from dynamap_solvers.certificates.dual import DualCertificate, check_dual, proved_by_dual
from dynamap_solvers.certificates.elimination import EliminationCertificate, check_elimination
from dynamap_solvers.certificates.reduction import ReductionCertificate, check_reduction

__all__ = [
    "Certificate",
    "CutCertificate",
    "DualCertificate",
    "EliminationCertificate",
    "ReductionCertificate",
    "check",
    "check_certificate",
    "check_cut",
    "check_dual",
    "check_elimination",
    "check_reduction",
    "proved_by_dual",
    "read_exact",
    "strike_out",
]
