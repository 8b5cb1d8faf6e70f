"""What pages show is what the commands print."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SPEC = importlib.util.spec_from_file_location("record", ROOT / "docs" / "record.py")
assert SPEC is not None
assert SPEC.loader is not None
record = importlib.util.module_from_spec(SPEC)
sys.modules["record"] = record
SPEC.loader.exec_module(record)

CHECKED = [block for page in record.PAGES for block in record.blocks(page) if block.kind == "checked"]


def test_pages_show_checked_output() -> None:
    assert any(block.page.name == "README.md" for block in CHECKED)


@pytest.mark.parametrize("block", CHECKED, ids=lambda block: f"{block.page.name}: {block.command}")
def test_a_page_shows_what_the_command_prints(block: object) -> None:
    assert record.output(block) == block.text  # type: ignore[attr-defined]  # loaded from a file


@pytest.mark.parametrize("page", record.PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
