"""docs/reference/formats.md and docs/reference/problem.schema.json say what the code does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from dynamap_solvers import FORBIDDEN, SelectionProblem, solve
from dynamap_solvers.formats import FORMATS, SCHEMA, detect_format, native, read_problem, write_problem
from format_problems import problems

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "reference" / "formats.md").read_text("utf-8")
SCHEMA_FILE = json.loads((DOCS / "reference" / "problem.schema.json").read_text("utf-8"))
EXAMPLES = dict(re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
SHORTENED = {"json", "iopddl"}  # shown with line breaks of their own


@pytest.fixture
def example() -> SelectionProblem:
    return SelectionProblem(
        unary=[[3, 1], [0, 2]],
        edges=[(0, 1)],
        pair=[[[0, 4], [FORBIDDEN, 0]]],
        names=["a", "b"],
        choice_names=[["p", "q"], ["r", "s"]],
        name="two",
    )


def test_every_format_but_mps_is_shown_and_every_one_is_in_the_table():
    assert set(EXAMPLES) == set(FORMATS) - {"mps"}
    for name, entry in FORMATS.items():
        (row,) = [line for line in PAGE.splitlines() if line.startswith("| `") and f"`{name}`" in line.split("|")[1]]
        assert all(f"`{ending}`" in row for ending in entry.endings)
        assert row.endswith(" yes |") == entry.readable


@pytest.mark.parametrize("kind", EXAMPLES)
def test_an_example_is_what_the_problem_is_written_as(kind, example, tmp_path):
    write_problem(example, tmp_path / "file", format=kind)
    text = (tmp_path / "file").read_text()
    if kind in SHORTENED:
        assert json.loads(text) == json.loads(EXAMPLES[kind])
    else:
        assert text == EXAMPLES[kind]


@pytest.mark.parametrize("kind", [kind for kind in EXAMPLES if FORMATS[kind].readable])
def test_an_example_is_read_and_has_the_optimum_the_page_says(kind, example, tmp_path):
    (tmp_path / "file").write_text(EXAMPLES[kind])
    assert detect_format(tmp_path / "file") == kind
    problem = read_problem(tmp_path / "file")
    assert "Its optimum is 3." in PAGE
    assert solve(problem).objective_value() == pytest.approx(3, abs=2.0**-48)
    assert solve(example).objective_value() == 3


def test_the_schema_names_the_keys_the_reader_takes():
    assert SCHEMA_FILE["properties"]["schema"]["const"] == SCHEMA_FILE["$id"] == SCHEMA
    assert set(SCHEMA_FILE["properties"]) == native._KEYS
    assert set(SCHEMA_FILE["required"]) == set(native._REQUIRED)


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(problem=problems(usage=True, structure=True, batch=True))
def test_what_is_written_fits_the_schema(problem):
    with tempfile.TemporaryDirectory() as folder:
        write_problem(problem, Path(folder) / "file", format="json")
        assert fits(json.loads((Path(folder) / "file").read_text()), SCHEMA_FILE)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "dynamap/problem/2"},
        {"dtype": "int32"},
        {"colour": 1},
        {"unary": [[]]},
        {"unary": [["1"], [0, 2]]},
        {"unary_sets": [[[3, 1], [0, 2]]]},
        {"edges": [[0]]},
        {"edges": [[0, 1, 1]]},
        {"names": [1, 2]},
        {"ties": [[0]]},
        {"usage": {"limit": 1}},
        {"usage": {"limit": -1, "intervals": [[0, 1], [0, 1]], "used": [[0, 0], [0, 0]]}},
    ],
)
def test_what_does_not_fit_the_schema_is_refused_by_the_reader_too(change, tmp_path):
    document = json.loads(EXAMPLES["json"]) | change
    assert fits(json.loads(EXAMPLES["json"]), SCHEMA_FILE)
    assert not fits(document, SCHEMA_FILE)
    (tmp_path / "file").write_text(json.dumps(document))
    with pytest.raises(ValueError, match="file: "):
        read_problem(tmp_path / "file")


TYPES = {"object": dict, "array": list, "string": str, "null": type(None)}


def fits(value: Any, rule: dict[str, Any]) -> bool:
    """JSON schema, as far as our schema uses it; a keyword beyond that is an error."""
    return all(_keyword(value, key, wanted, rule) for key, wanted in rule.items())


def _keyword(value: Any, key: str, wanted: Any, rule: dict[str, Any]) -> bool:
    match key:
        case "$schema" | "$id" | "$defs" | "title" | "description":
            return True
        case "$ref":
            return fits(value, SCHEMA_FILE["$defs"][wanted.removeprefix("#/$defs/")])
        case "type":
            return any(_is(value, name) for name in ([wanted] if isinstance(wanted, str) else wanted))
        case "const":
            return value == wanted
        case "enum":
            return value in wanted
        case "oneOf":
            return sum(fits(value, one) for one in wanted) == 1
        case "allOf":
            return all(fits(value, one) for one in wanted)
        case "required":
            return set(wanted) <= set(value)
        case "properties":
            return all(fits(value[name], inner) for name, inner in wanted.items() if name in value)
        case "additionalProperties":
            assert wanted is False
            return set(value) <= set(rule["properties"])
        case "items":
            return not isinstance(value, list) or all(fits(item, wanted) for item in value)
        case "minItems":
            return not isinstance(value, list) or len(value) >= wanted
        case "maxItems":
            return not isinstance(value, list) or len(value) <= wanted
        case "minimum":
            return not isinstance(value, int) or value >= wanted
    raise AssertionError(key)


def _is(value: Any, name: str) -> bool:
    if name in ("number", "integer"):
        return isinstance(value, int if name == "integer" else int | float) and not isinstance(value, bool)
    return isinstance(value, TYPES[name])


def test_importing_the_formats_costs_numpy_only():
    code = (
        "import sys, dynamap_solvers.formats; "
        "heavy = {'msgspec', 'networkx', 'pulp', 'highspy', 'pytoulbar2'} & set(sys.modules); "
        "sys.exit(', '.join(sorted(heavy)) if heavy else 0)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stderr) == (0, "")
