"""The solver benchmark: seeded instances, every method and its peers in processes of their own, results that resume.

>>> from dynamap_solvers.bench import Settings, run_benchmark, suite
>>> report = run_benchmark(suite("smoke")[:1], ["auto"], settings=Settings(time_limit=10, repeat=1))
>>> [(row.method, row.status) for row in report.rows], report.disagreements
([('memory-pass', 'reference'), ('auto', 'optimal')], ())
"""

from __future__ import annotations

from dynamap_solvers.bench.contestants import Claim, Contestant, Settings
from dynamap_solvers.bench.peers import CONTESTANTS
from dynamap_solvers.bench.profile import draw_growth, draw_profile, performance_profile, picture_ready
from dynamap_solvers.bench.results import ResultFile, Row, disagreements
from dynamap_solvers.bench.runner import Report, run_benchmark
from dynamap_solvers.bench.suites import SUITES, Instance, from_folder, given, suite
from dynamap_solvers.bench.summary import MethodSummary, summarise

__all__ = [
    "CONTESTANTS",
    "SUITES",
    "Claim",
    "Contestant",
    "Instance",
    "MethodSummary",
    "Report",
    "ResultFile",
    "Row",
    "Settings",
    "disagreements",
    "draw_growth",
    "draw_profile",
    "from_folder",
    "given",
    "performance_profile",
    "picture_ready",
    "run_benchmark",
    "suite",
    "summarise",
]
