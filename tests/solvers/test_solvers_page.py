"""docs/reference/solvers.md: its examples run and print what it shows, and its tables say what the code says."""

from __future__ import annotations

import doctest
import inspect
import re
from pathlib import Path

import pytest

import dynamap_solvers
from dynamap_solvers import FLOAT_GAP, FORBIDDEN, METHODS, Status, StopReason, solve
from dynamap_solvers.formats import FORMATS
from dynamap_solvers.methods import auto
from dynamap_solvers.methods.tree_decomposition import MAX_BYTES
from dynamap_solvers.problem import FINITE_LIMIT

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "reference" / "solvers.md").read_text(encoding="utf-8")
YES = {True: "yes", False: "no"}


def section(title: str) -> str:
    """The part of the page under a heading."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_examples_of_the_page_run():
    results = doctest.testfile(str(DOCS / "reference" / "solvers.md"), module_relative=False)
    assert results.attempted > 30
    assert results.failed == 0


def test_no_code_on_the_page_escapes_the_doctest():
    assert "```" not in PAGE


def test_the_table_of_methods_is_the_registry():
    rows = [line for line in section("The methods").splitlines() if line.startswith("| `")]
    assert rows == [
        f"| `{m.name}` | {m.summary} | {YES[m.any_graph]} | {YES[m.any_costs]} | {YES[m.takes_usage]} | "
        f"{YES[m.heeds_time_limit]} | {', '.join([*m.requires, *(['the kernel'] if m.needs_kernel else [])])} |"
        for m in METHODS.values()
    ]


def test_the_steps_of_auto_are_methods_and_its_numbers_are_the_code_s():
    steps = re.findall(r"^\d\. `([a-z-]+)`", section("The methods"), re.MULTILINE)
    assert len(steps) >= 3
    assert set(steps) <= set(METHODS)
    page = " ".join(PAGE.split())
    thin, wide, at_once, small = (
        f"{number:.0e}".replace("e+0", "e").replace("e+", "e")
        for number in (auto._ELIMINATE_THIN, auto._ELIMINATE_WIDE, auto._ELIMINATE_AT_ONCE, auto._SMALL)
    )
    assert f"at most {MAX_BYTES >> 30} GiB and {thin} cells, {wide} on wide graphs" in page
    assert f"until they have been gone over {auto._FIRST_LOOK} times" in page
    assert f"on graphs of width above {auto._THIN} the search goes on to {auto._LONGER_LOOK} times" in page
    assert f"all tables together have at most {small} cells" in page
    assert f"on these, above {at_once} cells, `branch-and-bound` first gets about as long" in page


def test_every_option_is_listed_with_its_default():
    rows = re.findall(r"^\| `(\w+)=([^`]*)` \|", section("Solving it"), re.MULTILINE)
    parameters = list(inspect.signature(solve).parameters.values())
    named = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "methods"]
    assert rows == [(p.name, repr(p.default).replace("'", '"')) for p in named]


@pytest.mark.parametrize("word", [*Status, *StopReason])
def test_every_status_and_stop_reason_is_named(word):
    assert f"`{word}`" in section("Solving it")


def test_every_certificate_is_listed():
    kinds = {name for name in dynamap_solvers.__all__ if name.endswith("Certificate") and name != "Certificate"}
    assert set(re.findall(r"^\| `(\w+Certificate)` \|", section("Certificates"), re.MULTILINE)) == kinds


def test_the_numbers_of_the_page_are_the_code_s():
    assert (FORBIDDEN, FINITE_LIMIT, FLOAT_GAP) == (2**61, 2**60, 1e-9)
    assert all(text in PAGE for text in ("`FORBIDDEN` is 2^61", "less than 2^60", "`FLOAT_GAP` = 1e-9"))
    assert sum(entry.readable for entry in FORMATS.values()) == 7
    assert "in any of seven [formats]" in PAGE
