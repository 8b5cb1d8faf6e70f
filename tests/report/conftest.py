"""What the tests of reports share: plans, their pages, and one browser."""

from __future__ import annotations

from dataclasses import replace

import pytest

import dynamap_opt
from headless_browser import chromium, launched


@pytest.fixture(scope="session")
def board():
    """With room for a hundred arrays."""
    return replace(dynamap_opt.load_board("ecp5-85k"), array_dsp=32, name="small")


@pytest.fixture(scope="session")
def plan(board):
    """Over all arrays."""
    return dynamap_opt.map("squeezenet-1.1", board)


@pytest.fixture(scope="session")
def other_plan(board):
    """For the same network, without Winograd and on an array that was asked for."""
    return dynamap_opt.map("squeezenet-1.1", board, algorithms=["im2col"], array=(4, 8))


@pytest.fixture(scope="session")
def report(plan, other_plan):
    """Of the plan, against the other."""
    return dynamap_opt.report(plan, against=other_plan)


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """One for all tests."""
    if chromium() is None:
        pytest.skip("no Chromium: none on the path, none named by DYNAMAP_CHROMIUM, none from npm (make test)")
    with launched(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture
def opened(browser, report, tmp_path):
    """Open the report, 1280 pixels wide if not told otherwise; errors and requests fail the test at its end."""
    path = tmp_path / "report.html"
    report.save(path)
    wrong = []
    contexts = []

    def local(url):
        return url == path.as_uri() or url.startswith(("data:", "blob:"))

    def call(**options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text) if message.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.append(request.url) if not local(request.url) else None)

        page.goto(path.as_uri())
        return page

    yield call
    for context in contexts:
        context.close()
    assert wrong == []
