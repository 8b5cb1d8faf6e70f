"""The page on hardness: its examples run and print what it shows."""

from __future__ import annotations

import doctest
from pathlib import Path

import dynamap_solvers.hardness

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "hardness.md"


def test_the_examples_of_the_page_run():
    results = doctest.testfile(str(PAGE), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert results.attempted > 25
    assert results.failed == 0


def test_the_page_names_every_reduction():
    text = PAGE.read_text(encoding="utf-8")
    functions = [name for name in dynamap_solvers.hardness.__all__ if name.islower()]
    assert len(functions) == 7
    assert [name for name in functions if f"`{name}`" not in text] == []
