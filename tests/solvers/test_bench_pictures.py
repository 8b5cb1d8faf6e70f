"""Performance profiles and their pictures."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dynamap_solvers import ProblemError, SolverError
from dynamap_solvers.bench import Row, draw_growth, draw_profile, performance_profile, picture_ready, summarise


def row(instance, method, seconds, *, variables=10, family="f", proved=True):
    return Row(
        instance=instance,
        family=family,
        variables=variables,
        method=method,
        status="optimal" if proved else "feasible",
        stop_reason="proved" if proved else "time-limit",
        build_seconds=seconds / 4,
        solve_seconds=seconds * 3 / 4,
    )


ROWS = (
    row("i", "a", 1.0),
    row("i", "b", 4.0),
    row("j", "a", 6.0, variables=100),
    row("j", "b", 3.0, variables=100),
    row("k", "a", 60.0, variables=1000, proved=False),
    row("k", "b", 8.0, variables=1000),
    row("l", "a", 60.0, variables=2000, proved=False),
    row("l", "b", 60.0, variables=2000, proved=False),
)


def test_the_profile_is_that_of_dolan_and_more():
    """By hand: ratios of a are 1 and 2, of b 4, 1 and 1; instance l is solved by nobody and does not count."""
    profile = performance_profile(ROWS)
    assert profile["a"] == ((1.0, 1 / 3), (2.0, 2 / 3))
    assert profile["b"] == ((1.0, 1 / 3), (1.0, 2 / 3), (4.0, 1.0))


def test_the_summary_counts_what_the_profile_draws():
    a, b = summarise(ROWS)
    assert (a.instances, a.proved, a.fastest) == (4, 2, 1)
    assert (b.instances, b.proved, b.fastest) == (4, 3, 1)
    assert a.mean_ratio == pytest.approx(2**0.5)
    assert b.worst_ratio == pytest.approx(4.0)
    assert a.build_seconds == pytest.approx(3.5 / 4)


@pytest.mark.parametrize("draw", [draw_profile, draw_growth])
@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
def test_pictures_are_drawn(tmp_path, draw, ending):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"picture.{ending}"
    draw(ROWS, path, title="A title & more")
    start = path.read_bytes()[:300]
    assert {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}[ending] in start
    assert sorted(tmp_path.iterdir()) == [path]


def test_pictures_name_every_method_and_family(tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        draw_growth(ROWS, tmp_path / "g.svg")
        draw_profile(ROWS, tmp_path / "p.svg")
    growth, profile = (tmp_path / "g.svg").read_text(), (tmp_path / "p.svg").read_text()
    for word in (">a<", ">b<", ">f<", "ended without proof", "variables"):
        assert word in growth
    for word in (">a<", ">b<", "Performance profile, 3 instances", "instances proved"):
        assert word in profile


def test_nothing_to_draw_is_a_sentence(tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(SolverError, match="No method proved anything"):
        draw_profile([row("l", "a", 9.0, proved=False)], tmp_path / "p.svg")
    with pytest.raises(SolverError, match="no growth to draw"):
        draw_growth([], tmp_path / "p.svg")


@pytest.mark.parametrize("name", ["picture", "picture.docx", "none/picture.svg"])
def test_pictures_that_could_not_be_written_are_refused_beforehand(tmp_path, name):
    pytest.importorskip("matplotlib")
    with pytest.raises(ProblemError, match="cannot be written"):
        picture_ready(tmp_path / name)


def test_without_matplotlib_there_is_one_sentence():
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from dynamap_solvers.bench import picture_ready\n"
        "from dynamap_solvers import SolverError\n"
        "try: picture_ready('p.svg')\n"
        "except SolverError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == (
        "Pictures need matplotlib, which is not installed: install dynamap-opt[bench], or leave out the picture.\n"
    )
