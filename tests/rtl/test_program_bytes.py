"""Records, instructions and tokens: what can be written down, and what is refused."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamap_rtl.isa import CHANNELS, FIELDS, HEADER, INSTRUCTION_BYTES, Unit
from dynamap_rtl.program.assembler import Instruction, ProgramError, assemble, disassemble
from dynamap_rtl.program.tokens import check_tokens
from dynamap_rtl.record import Field, Record, RecordError

CHANNEL_LOAD = dict.fromkeys(CHANNELS.fields, 0)


def step(unit: Unit, wait: set[int] = frozenset(), signal: set[int] = frozenset(), release: set[int] = frozenset()):
    return Instruction(unit=unit, wait=frozenset(wait), signal=frozenset(signal), release=frozenset(release))


@given(st.randoms(use_true_random=False), st.sampled_from(sorted(FIELDS)))
def test_an_instruction_is_read_as_it_was_written(dice: random.Random, unit: Unit) -> None:
    fields = {}
    for name, kind in FIELDS[unit].fields.items():
        low = -(1 << kind.width - 1) if kind.signed else 0
        numbers = tuple(dice.randint(low, (1 << kind.width - kind.signed) - 1) for _ in range(kind.lanes))
        fields[name] = numbers[0] if kind.lanes == 1 else numbers
    masks = [frozenset(number for number in range(16) if dice.random() < 0.3) for _ in range(3)]
    instruction = Instruction(unit=unit, fields=fields, wait=masks[0], signal=masks[1], release=masks[2])
    program = assemble([instruction])
    assert len(program) == 2 * INSTRUCTION_BYTES
    assert list(disassemble(program)) == [instruction]
    assert unit.name.lower() in str(instruction)


def test_every_unit_fits_an_instruction_and_no_two_have_one_number() -> None:
    assert all(record.width + HEADER.width <= 8 * INSTRUCTION_BYTES for record in FIELDS.values())
    assert set(FIELDS) == set(Unit) - {Unit.END}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({**CHANNEL_LOAD, "channels": 1 << 13}, r"channels: channels must be from 0 to 8191, not 8192"),
        ({**CHANNEL_LOAD, "word": -1}, r"word must be from 0 to 1048575, not -1"),
        ({**CHANNEL_LOAD, "other": 1}, r"fields \['other'\] are missing or unknown"),
        ({}, "are missing or unknown"),
    ],
)
def test_fields_out_of_range_are_named(fields: dict[str, int], sentence: str) -> None:
    with pytest.raises(ProgramError, match=r"instruction 0 \(load_channels\): .*" + sentence):
        assemble([Instruction(unit=Unit.LOAD_CHANNELS, fields=fields)])


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda code: code[:INSTRUCTION_BYTES], "has no END"),
        (lambda code: code[:0], "has no END"),
        (lambda code: bytes([code[0] | 15]) + code[1:], "is for unit 15"),
        (lambda code: code[:127] + b"\x80" + code[128:], "bits that must be zero are not"),
        (lambda code: code[:6] + bytes([code[6] | 0xF0]) + code[7:], "bits that must be zero are not"),
    ],
)
def test_spoiled_programs_are_refused(spoil, sentence: str) -> None:
    code = assemble([Instruction(unit=Unit.LOAD_CHANNELS, fields=CHANNEL_LOAD)])
    with pytest.raises(ProgramError, match=sentence):
        list(disassemble(spoil(code)))


def test_lanes_of_a_field_are_counted() -> None:
    record = Record("r", pair=Field(4, 2))
    with pytest.raises(RecordError, match="pair has 2 lanes, not 3"):
        record.pack(pair=(1, 2, 3))


# ---- tokens ----


def test_a_chain_of_tokens_runs() -> None:
    check_tokens([step(Unit.LOAD_LEFT, signal={0}), step(Unit.COMPUTE, {0}, {4}), step(Unit.FINISH, {4})])


def test_a_program_that_would_stop_is_refused_where_it_stops() -> None:
    with pytest.raises(ProgramError, match=r"instruction 1 \(compute\) waits for semaphore 2 and nothing"):
        check_tokens([step(Unit.LOAD_LEFT, signal={0}), step(Unit.COMPUTE, {0, 2}, {4}), step(Unit.FINISH, {4})])


def test_two_units_waiting_for_each_other_are_refused() -> None:
    with pytest.raises(ProgramError, match=r"instruction 0 \(compute\) waits for semaphore 5"):
        check_tokens([step(Unit.COMPUTE, {5}, {4}), step(Unit.FINISH, {4}, {5})])


def test_an_instruction_behind_a_full_queue_cannot_help() -> None:
    # The load that would let compute go on is never fetched: eight compute instructions wait before it.
    program = [step(Unit.COMPUTE, {0}) for _ in range(9)] + [step(Unit.LOAD_LEFT, signal={0}) for _ in range(9)]
    with pytest.raises(ProgramError, match=r"instruction 0 \(compute\) waits for semaphore 0"):
        check_tokens(program)
    check_tokens(program, queue_depth=16)


def test_tokens_left_behind_are_refused() -> None:
    with pytest.raises(ProgramError, match=r"semaphores \[3\] have tokens left"):
        check_tokens([step(Unit.COMPUTE, release={3})])


def test_a_semaphore_serves_one_unit() -> None:
    with pytest.raises(ProgramError, match="waits for semaphore 0, which compute takes from"):
        check_tokens([step(Unit.COMPUTE, {0}), step(Unit.FINISH, {0})])


def test_only_compute_releases() -> None:
    with pytest.raises(ProgramError, match=r"instruction 0 \(store\): only compute can release"):
        check_tokens([step(Unit.STORE, release={0})])


def test_a_semaphore_that_would_overflow_is_named() -> None:
    with pytest.raises(ProgramError, match="gives a token to a semaphore that has 63 already"):
        check_tokens([step(Unit.LOAD_LEFT, signal={0}) for _ in range(64)])
