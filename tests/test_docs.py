"""What pages show is what the commands print; the site builds without a warning; every picture is made by a command."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pictures
import pytest
import record
import session

import dynamap_solvers
from dynamap_opt.cli.main import command_line

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
CHECKED = [block for page in session.PAGES for block in record.blocks(page) if block.kind == "checked"]
SESSIONS = [page for page in session.PAGES if session.is_session(page)]
LINK = re.compile(r"\]\(([^)#\s]+)")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


# ---- what pages show


def test_pages_show_checked_output() -> None:
    assert any(block.page.name == "README.md" for block in CHECKED)


@pytest.mark.parametrize("block", CHECKED, ids=lambda block: f"{block.page.name}: {block.command}")
def test_a_page_shows_what_the_command_prints(block: record.Block) -> None:
    assert record.output(block) == block.text


def test_every_tutorial_runs() -> None:
    assert {DOCS / "start.md", *(DOCS / "tutorials").glob("*.md")} <= set(SESSIONS)


@pytest.mark.parametrize("page", SESSIONS, ids=name)
def test_a_page_that_is_followed_from_top_to_bottom_prints_what_it_shows(page: Path) -> None:
    for fence, printed in session.run(page):
        assert printed == fence.text


@pytest.mark.parametrize("page", session.PAGES, ids=name)
def test_every_block_of_code_is_run_or_says_why_not(page: Path) -> None:
    tests = session.tests_of(page)
    assert [test for test in tests if page.stem not in (ROOT / test).read_text(encoding="utf-8")] == []
    for fence in session.fences(page):
        assert fence.kind != "unknown", f"{fence.language} block: {fence.text[:80]!r}"
        if fence.kind == "directive":
            assert fence.language in {"{eval-rst}", "{toctree}"}


@pytest.mark.parametrize("page", [*session.PAGES, ROOT / "CONTRIBUTING.md"], ids=name)
def test_a_command_that_is_only_mentioned_has_the_options_there_are(page: Path) -> None:
    for line in re.findall(r"^    (dynamap .+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
        command = re.split(r"\s{3,}", line)[0]  # what stands further to the right explains it
        command_line().parse_args(shlex.split(command)[1:])


def test_a_block_that_prints_something_else_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(6 * 7)\n```\n\n```text\n43\n```\n", encoding="utf-8")
    ((fence, printed),) = session.run(page)
    assert (fence.text, printed) == ("43\n", "42\n")
    page.write_text("```python\nprint(6 * 7)\n```\n", encoding="utf-8")
    with pytest.raises(RuntimeError, match="does not show what its code prints: 42"):
        session.run(page)
    page.write_text("```sh\ndynamap boards --jsn\n```\n", encoding="utf-8")
    with pytest.raises(RuntimeError, match="ended with 2"):
        session.run(page)
    page.write_text("```mermaid\ngraph\n```\n", encoding="utf-8")
    assert [fence.kind for fence in session.fences(page)] == ["unknown"]


# ---- links


@pytest.mark.parametrize("page", [*session.PAGES, ROOT / "CONTRIBUTING.md"], ids=name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_index_on_github_leads_to_every_page() -> None:
    index = DOCS / "README.md"
    linked = {(index.parent / target).resolve() for target in LINK.findall(index.read_text(encoding="utf-8"))}
    pages = {page for page in session.PAGES if page.is_relative_to(DOCS)}
    assert pages - linked == {index, DOCS / "index.md", DOCS / "contributing.md"}


# ---- pictures


def shown() -> set[str]:
    text = "".join(page.read_text(encoding="utf-8") for page in session.PAGES)
    return set(re.findall(r"\((?:\.\./)?images/([\w-]+)\.svg\)", text))


def test_every_picture_is_made_by_a_command_and_shown() -> None:
    texts = [page.read_text(encoding="utf-8") for page in session.PAGES]
    plotted = {found for text in texts for found in re.findall(r"--plot docs/images/([\w-]+)\.svg", text)}
    plotted |= {
        name
        for text in texts
        for names in re.findall(r"<!-- drawn by [^:]+: (.*) -->", text)
        for name in names.split(", ")
    }
    files = {path.stem for path in (DOCS / "images").glob("*.svg")}
    assert files == shown() == set(pictures.PICTURES) | plotted


@pytest.mark.parametrize("picture", ["overlay-at-work", "reductions"])
def test_a_picture_of_the_tutorials_can_still_be_drawn(picture: str) -> None:
    assert pictures.PICTURES[picture]().axes


# ---- the site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as ``make docs`` does."""
    folder = tmp_path_factory.mktemp("site")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (line,) = re.findall(r"\$\(BIN\)/python (-m sphinx .+?) docs docs/_build/html$", makefile, re.MULTILINE)
    command = [sys.executable, *line.split(), "--doctree-dir", str(folder / "trees"), str(DOCS), str(folder / "html")]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (finished.returncode, finished.stderr) == (0, "")
    return folder / "html"


def test_the_site_builds_without_a_warning_and_has_every_page(site: Path) -> None:
    left_out = {DOCS / "README.md"}
    pages = [page for page in session.PAGES if page.is_relative_to(DOCS) and page not in left_out]
    missing = [page for page in pages if not (site / page.relative_to(DOCS)).with_suffix(".html").exists()]
    assert missing == []


def test_the_references_are_those_of_the_code(site: Path) -> None:
    commands = (site / "reference" / "cli.html").read_text(encoding="utf-8")
    (choices,) = (action.choices for action in command_line()._actions if isinstance(action.choices, dict))
    assert [command for command in choices if f'id="dynamap-{command}"' not in commands] == []
    library = (site / "reference" / "api" / "dynamap_solvers.html").read_text(encoding="utf-8")
    documented = [public for public in dynamap_solvers.__all__ if callable(getattr(dynamap_solvers, public))]
    assert [public for public in documented if f'id="dynamap_solvers.{public}"' not in library] == []
    units = (site / "reference" / "units.html").read_text(encoding="utf-8")
    files = [path.name for path in (ROOT / "rtl" / "dynamap_rtl" / "units").glob("[a-z]*.py")]
    assert len(files) > 30
    assert [file for file in files if file not in units] == []


def test_the_site_needs_no_network(site: Path) -> None:
    loaded = r'<(?:script|img|link)[^>]+(?:src|href)="(https?:[^"]+)"'
    assert {
        url for page in site.rglob("*.html") for url in re.findall(loaded, page.read_text(encoding="utf-8"))
    } == set()
