"""The layer sequencer: fetches instructions, gives them to the units, and orders the units by tokens.

The program lies in memory behind a read port of 16 bytes a cycle. An instruction goes into the queue of its unit; the
unit's *issuer* starts it when it is the oldest, the unit can take it and every semaphore it waits for has a token.
The fetch runs ahead until a queue is full, so that the order of instructions of different units matters only when a
unit is more than ``queue_depth`` instructions behind.

Contract:

- ``start`` with ``program_address`` begins a program (nothing may be running); ``finished`` is high from the cycle in
  which its END instruction is met, all units are idle and no instruction is waiting, until the next ``start``.
- Unit u: ``u_fields`` with ``u_start`` for one cycle when ``u_ready``. ``u_done`` pulses when it is done, in the
  order of starts; ``compute_released`` when the operands of the oldest compute instruction not yet released are read.
- A token given in cycle x can be taken in cycle x + 1.
- Fetching takes 8 beats an instruction; requests for ``requests_ahead`` instructions are under way, also for what lies
  behind END, which is read and not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_

import pyrtl

from dynamap_rtl.hardware import Design, Leaf, Port, Signal
from dynamap_rtl.isa import BYTE_ADDRESS_BITS, HEADER, INSTRUCTION_BYTES, SEMAPHORES, Unit
from dynamap_rtl.pipeline import FETCH_BYTES, INSTRUCTION_QUEUE, PENDING_QUEUE, REQUESTS_AHEAD

from .queue import queue

__all__ = ["FETCH_BYTES", "TOKEN_BITS", "SequencerParameters", "sequencer"]

#: Bits of a semaphore.
TOKEN_BITS = 6

_BEATS = INSTRUCTION_BYTES // FETCH_BYTES
_UNITS = tuple(unit.name.lower() for unit in Unit if unit is not Unit.END)
_FIELDS = 8 * INSTRUCTION_BYTES - HEADER.width


@dataclass(frozen=True, kw_only=True)
class SequencerParameters:
    """Sizes of the sequencer.

    Attributes:
        queue_depth: instructions a unit's queue holds; a power of two.
        pending_depth: instructions of one unit that may be started and not done; a power of two.
        requests_ahead: instructions asked for and not yet taken; a power of two.
    """

    queue_depth: int = INSTRUCTION_QUEUE
    pending_depth: int = PENDING_QUEUE
    requests_ahead: int = REQUESTS_AHEAD

    @property
    def name(self) -> str:
        """Unique for the parameters."""
        return f"{self.queue_depth}_{self.pending_depth}_{self.requests_ahead}"


def sequencer(parameters: SequencerParameters) -> Design:
    """The circuit; see the module for its contract."""
    design = Design(
        f"sequencer_{parameters.name}",
        inputs={
            "start": 1,
            "program_address": BYTE_ADDRESS_BITS,
            "request_ready": 1,
            "data_valid": 1,
            "data": 8 * FETCH_BYTES,
            "compute_released": 1,
            **{f"{unit}_{signal}": 1 for unit in _UNITS for signal in ("ready", "done")},
        },
        outputs={
            "request_valid": 1,
            "request_address": BYTE_ADDRESS_BITS,
            "request_bytes": 16,
            "data_ready": 1,
            "finished": 1,
            **{f"{unit}_start": 1 for unit in _UNITS},
            **{f"{unit}_fields": _FIELDS for unit in _UNITS},
        },
    )
    fetch = design.add(
        "fetch",
        _fetch(parameters),
        **{name: design[name] for name in ("start", "program_address", "request_ready", "data_valid", "data")},
    )
    semaphores = design.add("semaphores", _semaphores())
    idle: dict[str, Signal] = {}
    for unit in _UNITS:
        waiting = design.add(
            f"{unit}_queue",
            queue(width=8 * INSTRUCTION_BYTES, depth=parameters.queue_depth),
            push=fetch[f"{unit}_push"],
            data=fetch["instruction"],
        )
        fetch.connect(**{f"{unit}_room": waiting["ready"]})
        issue = design.add(
            f"{unit}_issue",
            _issuer(),
            valid=waiting["valid"],
            head=waiting["head"],
            ready=design[f"{unit}_ready"],
            tokens=semaphores["tokens"],
        )
        waiting.connect(pop=issue["start"])
        events = {"signal": design[f"{unit}_done"]}
        if unit == "compute":
            events["release"] = design["compute_released"]
        for kind, event in events.items():
            pending = design.add(
                f"{unit}_{kind}",
                queue(width=SEMAPHORES, depth=parameters.pending_depth),
                push=issue["start"],
                data=issue[kind],
                pop=event,
            )
            gate = design.add(f"{unit}_{kind}_gate", _gate(), event=event, mask=pending["head"])
            semaphores.connect(**{f"{unit}_{kind}": gate["given"]})
            if kind == "signal":
                idle[unit] = pending["valid"]
                issue.connect(room=pending["ready"])
        semaphores.connect(**{f"{unit}_take": issue["take"]})
    rest = design.add(
        "rest",
        _finished(),
        ended=fetch["ended"],
        **{f"{unit}_waiting": design.instances[f"{unit}_queue"]["valid"] for unit in _UNITS},
        **{f"{unit}_pending": wire for unit, wire in idle.items()},
    )
    return design.finish(
        **{name: fetch[name] for name in ("request_valid", "request_address", "request_bytes", "data_ready")},
        finished=rest["finished"],
        **{f"{unit}_start": design.instances[f"{unit}_issue"]["start"] for unit in _UNITS},
        **{f"{unit}_fields": design.instances[f"{unit}_issue"]["fields"] for unit in _UNITS},
    )


def _fetch(parameters: SequencerParameters) -> Leaf:
    """Asks for instruction after instruction, puts eight beats together, and passes the result to a unit."""
    ahead = parameters.requests_ahead.bit_length()

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        running = pyrtl.Register(1, "running")  # requests are made
        draining = pyrtl.Register(1, "draining")  # END was met; what was asked for beyond it still arrives
        address = pyrtl.Register(BYTE_ADDRESS_BITS, "address")
        waited = pyrtl.Register(ahead, "waited")  # instructions asked for and not yet complete
        beat = pyrtl.Register((_BEATS - 1).bit_length(), "beat")
        full = pyrtl.Register(1, "full")
        words = [pyrtl.Register(8 * FETCH_BYTES, f"word_{index}") for index in range(_BEATS)]
        instruction = pyrtl.concat_list(words)
        unit = HEADER.slices(instruction)["unit"]

        met_end = full & (unit == Unit.END) & ~draining
        pushes = {name: full & ~draining & (unit == Unit[name.upper()]) for name in _UNITS}
        taken = draining | met_end | reduce(or_, (pushes[name] & inputs[f"{name}_room"] for name in _UNITS))
        data_ready = ~full | taken
        arrived = inputs["data_valid"] & data_ready
        last = arrived & (beat == _BEATS - 1)
        for index, word in enumerate(words):
            # A shift register: the first beat ends in the lowest word.
            word.next <<= pyrtl.select(arrived, words[index + 1] if index + 1 < _BEATS else inputs["data"], word)
        beat.next <<= pyrtl.select(arrived, (beat + 1)[: len(beat)], beat)
        full.next <<= last | (full & ~taken)

        request = running & (waited != parameters.requests_ahead)
        asked = request & inputs["request_ready"]
        waited.next <<= (waited + asked - last)[:ahead]
        address.next <<= pyrtl.select(
            inputs["start"],
            inputs["program_address"],
            pyrtl.select(asked, (address + INSTRUCTION_BYTES)[:BYTE_ADDRESS_BITS], address),
        )
        running.next <<= inputs["start"] | (running & ~met_end)
        draining.next <<= ~inputs["start"] & (draining | met_end)
        return {
            "request_valid": request,
            "request_address": address,
            "request_bytes": pyrtl.Const(INSTRUCTION_BYTES, bitwidth=16),
            "data_ready": data_ready,
            "instruction": instruction,
            "ended": draining & (waited == 0) & ~full,
            **{f"{name}_push": pushes[name] & inputs[f"{name}_room"] for name in _UNITS},
        }

    return Leaf(
        f"fetch_{parameters.requests_ahead}",
        inputs={
            "start": 1,
            "program_address": BYTE_ADDRESS_BITS,
            "request_ready": 1,
            "data_valid": 1,
            "data": 8 * FETCH_BYTES,
            **{f"{name}_room": 1 for name in _UNITS},
        },
        outputs={
            "request_valid": 1,
            "request_address": BYTE_ADDRESS_BITS,
            "request_bytes": 16,
            "data_ready": 1,
            "instruction": 8 * INSTRUCTION_BYTES,
            "ended": 1,
            **{f"{name}_push": 1 for name in _UNITS},
        },
        logic=logic,
    )


def _issuer() -> Leaf:
    """Starts the oldest instruction when unit and tokens allow."""

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        header = HEADER.slices(inputs["head"][: HEADER.width])
        missing = header["wait"] & ~inputs["tokens"]
        start = inputs["valid"] & inputs["ready"] & inputs["room"] & (missing == 0)
        return {
            "start": start,
            "take": header["wait"] & start.sign_extended(SEMAPHORES),
            "signal": header["signal"],
            "release": header["release"],
            "fields": inputs["head"][HEADER.width :],
        }

    return Leaf(
        "issuer",
        inputs={"valid": 1, "head": 8 * INSTRUCTION_BYTES, "ready": 1, "room": 1, "tokens": SEMAPHORES},
        outputs={"start": 1, "take": SEMAPHORES, "signal": SEMAPHORES, "release": SEMAPHORES, "fields": _FIELDS},
        logic=logic,
    )


def _gate() -> Leaf:
    return Leaf(
        "token_gate",
        inputs={"event": 1, "mask": SEMAPHORES},
        outputs={"given": SEMAPHORES},
        logic=lambda inputs: {"given": inputs["mask"] & inputs["event"].sign_extended(SEMAPHORES)},
    )


def _semaphores() -> Leaf:
    """Counters; in one cycle every unit may take from and give to each."""
    takes = [f"{unit}_take" for unit in _UNITS]
    gives = [f"{unit}_signal" for unit in _UNITS] + ["compute_release"]

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        tokens = []
        for index in range(SEMAPHORES):
            count = pyrtl.Register(TOKEN_BITS, f"count_{index}")
            given = reduce(lambda total, name: total + inputs[name][index], gives, pyrtl.Const(0, bitwidth=1))
            taken = reduce(lambda total, name: total + inputs[name][index], takes, pyrtl.Const(0, bitwidth=1))
            count.next <<= (count + given - taken)[:TOKEN_BITS]
            tokens.append(count != 0)
        return {"tokens": pyrtl.concat_list(tokens)}

    return Leaf(
        "semaphores",
        inputs={name: Port(SEMAPHORES) for name in (*takes, *gives)},
        outputs={"tokens": SEMAPHORES},
        logic=logic,
    )


def _finished() -> Leaf:
    names = [f"{unit}_{state}" for unit in _UNITS for state in ("waiting", "pending")]
    return Leaf(
        "all_finished",
        inputs={"ended": 1, **dict.fromkeys(names, 1)},
        outputs={"finished": 1},
        logic=lambda inputs: {"finished": inputs["ended"] & ~reduce(or_, (inputs[name] for name in names))},
    )
