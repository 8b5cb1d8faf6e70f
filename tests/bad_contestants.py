# ruff: noqa: ARG001 - every one is called alike
"""Contestants that misbehave, for tests of the benchmark: importable by name, as its processes need them."""

from __future__ import annotations

import os
import time
from pathlib import Path

from dynamap_solvers import StopReason
from dynamap_solvers.bench import CONTESTANTS, Claim, Contestant


def keep(problem, settings):
    return problem


def first_choices(problem, settings):
    """Claims that taking every first choice is optimal."""
    assignment = (0,) * problem.num_variables
    return Claim(assignment=assignment, bound=None, stopped=StopReason.PROVED)


def denies(problem, settings):
    return Claim(assignment=None, bound=None, stopped=StopReason.PROVED, infeasible=True)


def too_high_a_bound(problem, settings):
    return Claim(assignment=None, bound=10**15, stopped=StopReason.TIME_LIMIT)


def forbidden(problem, settings):
    return Claim(assignment=(10,) * problem.num_variables, bound=None, stopped=StopReason.PROVED)


def crashes(problem, settings):
    if problem.num_variables > 2:  # the warm-up is let through
        os.abort()


def raises(problem, settings):
    if problem.num_variables > 2:
        raise RuntimeError("a defect\nin two lines")


def hangs(problem, settings):
    if problem.num_variables > 2:
        if "BENCH_TEST_PID" in os.environ:
            Path(os.environ["BENCH_TEST_PID"]).write_text(str(os.getpid()))
        time.sleep(600)


def hoards(problem, settings):
    if problem.num_variables > 2:
        held = []
        for _ in range(100):
            held.append(b"x" * 50_000_000)  # written to, hence resident
            time.sleep(0.05)


def chatters(problem, settings):
    print("words on standard output")  # noqa: T201 - what solvers do
    os.write(1, b"and from native code\n")
    return first_choices(problem, settings)


def late(problem, settings):
    time.sleep(settings.time_limit + 1.5 if problem.num_variables > 2 else 0)
    return first_choices(problem, settings)


BAD = {
    function.__name__: Contestant(name=function.__name__, summary="misbehaves", build=keep, solve=function)
    for function in (
        first_choices,
        denies,
        too_high_a_bound,
        forbidden,
        crashes,
        raises,
        hangs,
        hoards,
        chatters,
        late,
    )
}

REGISTRY = CONTESTANTS | BAD
