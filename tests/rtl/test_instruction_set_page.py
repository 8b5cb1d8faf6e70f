"""The page on the instruction set lists the fields that there are, with their bits."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dynamap_rtl import isa
from dynamap_rtl.program.schedule import Token
from dynamap_rtl.record import Record

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "instruction-set.md").read_text(encoding="utf-8")
BODY = isa.HEADER.width
TABLES = {
    "Header": (isa.HEADER, 0),
    "Load": (isa.LOAD, BODY),
    "Channels": (isa.CHANNELS, BODY),
    "An entry": (isa.CHANNEL, 0),
    "Compute": (isa.COMPUTE, BODY),
    "Finish": (isa.FINISH, BODY),
    "Store": (isa.STORE, BODY),
}
SECTIONS = dict(re.findall(r"^##+ (.+?)\n(.*?)(?=^##|\Z)", PAGE, re.DOTALL | re.MULTILINE))
ROW = re.compile(r"^\| ([\d-]+) \| `(\w+)` \| (?:(\d+) x )?(\d+)(, signed)? \| [^|]* \| [^|]+ \|$", re.MULTILINE)


def listed(section: str) -> list[tuple[str, str, int, int, bool]]:
    return [
        (bits, name, int(lanes or 1), int(width), bool(signed))
        for bits, name, lanes, width, signed in ROW.findall(SECTIONS[section])
    ]


def defined(record: Record, first: int) -> list[tuple[str, str, int, int, bool]]:
    rows = []
    for name, field in record.fields.items():
        bits = f"{first}-{first + field.bits - 1}" if field.bits > 1 else str(first)
        rows.append((bits, name, field.lanes, field.width, field.signed))
        first += field.bits
    return rows


@pytest.mark.parametrize("section", TABLES)
def test_a_table_lists_the_fields_of_its_record(section: str) -> None:
    assert listed(section) == defined(*TABLES[section])


def test_every_unit_has_its_number_and_its_table() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| (?:none|\[\w+\]\(#(\w+)\)) \|$", SECTIONS["Header"], re.MULTILINE)
    assert {name: int(number) for number, name, _ in rows} == {unit.name: unit.value for unit in isa.Unit}
    for _, name, section in rows:
        if section:
            assert TABLES[section.capitalize()][0] is isa.FIELDS[isa.Unit[name]]


def test_the_semaphores_are_those_of_the_schedule() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| [^|]+ \| [^|]+ \|$", SECTIONS["Tokens"], re.MULTILINE)
    assert {name: int(number) for number, name in rows} == {token.name: token.value for token in Token}


def test_the_sizes_in_the_text_are_those_of_the_set() -> None:
    assert isa.INSTRUCTION_BYTES == 128
    assert "instructions of 128 bytes" in PAGE
    assert f"the {isa.FETCH_AHEAD_BYTES:,} bytes (eight instructions) behind END" in PAGE
    assert f"Bits {BODY} to {8 * isa.INSTRUCTION_BYTES - 1:,} are fields of the unit" in PAGE
    assert isa.SEMAPHORES == 16
    assert "Sixteen semaphores" in PAGE
    assert isa.LEVELS == 5
    assert "five nested loops" in PAGE
