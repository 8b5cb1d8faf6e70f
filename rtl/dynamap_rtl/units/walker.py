"""Affine address generator: nested loops, one address a cycle.

Level 0 is the innermost loop. Advancing goes on in the lowest level that is not at its last iteration and wraps the
levels below it, so one addition a step makes the address: the programmer gives, for every level, what is added when
that level goes on (:func:`deltas`). The phase, the address modulo the number of banks, is kept the same way, by an
addition and a conditional subtraction.

Contract of :func:`walker`:

1. ``start`` in cycle x loads ``base``, ``phase_base``, ``counts``, ``deltas`` and ``phase_deltas``; from cycle x + 1
   ``busy`` is high and ``address``, ``phase`` are those of the first iteration. The inputs are not looked at again.
2. ``advance`` in a cycle in which ``busy`` is high goes on to the next iteration, visible in the next cycle; after the
   last one ``busy`` falls and ``done`` is high for one cycle. Without ``busy`` it does nothing.
3. ``at_end`` has a bit a level: this level and all inner ones are at their last iteration. The highest bit says that
   the present iteration is the last of all.
4. ``start`` wins over ``advance`` and may come in the cycle of the last ``advance``: walks then follow one another
   without a gap (and ``done`` is high in the first cycle of the second).

``address``, ``phase``, ``busy`` and ``done`` are registers; ``at_end`` is one AND of registers. The longest path is
the choice among the deltas and one addition.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import pyrtl

from dynamap_rtl.hardware import HardwareError, Leaf, Port
from dynamap_rtl.rotation import phase_width

__all__ = ["Step", "WalkerParameters", "advance_phase", "deltas", "phase_width", "walk", "walker", "walker_logic"]


@dataclass(frozen=True, kw_only=True)
class WalkerParameters:
    """Sizes of a walker.

    Attributes:
        levels: nested loops.
        address_width: bits of the address, which counts modulo 2**address_width, and of the deltas (signed).
        count_width: bits of the counts, each from 1 to 2**count_width - 1.
        modulus: the phase is the address modulo this.

    Raises:
        HardwareError: when one of them is not positive.
    """

    levels: int
    address_width: int
    count_width: int
    modulus: int = 1

    def __post_init__(self) -> None:
        for name in ("levels", "address_width", "count_width", "modulus"):
            if getattr(self, name) < 1:
                raise HardwareError(f"a walker's {name} must be at least 1, not {getattr(self, name)}")

    @property
    def phase_width(self) -> int:
        """Bits of the phase."""
        return phase_width(self.modulus)


@dataclass(frozen=True)
class Step:
    """One iteration: its address, its phase and, for every level, whether it and all inner levels are at their end."""

    address: int
    phase: int
    at_end: tuple[bool, ...]


def deltas(counts: Sequence[int], strides: Sequence[int]) -> tuple[int, ...]:
    """What is added to the address when a level goes on and all inner levels return to their start.

    Args:
        counts: iterations of every level, the innermost first.
        strides: distance between two iterations of the same level; may be negative.

    >>> deltas((3, 2), (1, 10))  # 0 1 2 10 11 12
    (1, 8)
    """
    result = []
    inner = 0
    for count, stride in zip(counts, strides, strict=True):
        result.append(stride - inner)
        inner += (count - 1) * stride
    return tuple(result)


def walk(
    parameters: WalkerParameters, *, base: int, counts: Sequence[int], strides: Sequence[int], phase: int | None = None
) -> Iterator[Step]:
    """The iterations of a walk: the model of the circuit, by multiplication instead of by deltas.

    Args:
        parameters: of the walker.
        base: the first address.
        counts: iterations of every level, the innermost first.
        strides: of every level.
        phase: of the first address, when it is not ``base`` modulo the modulus.

    Raises:
        HardwareError: when a count is zero or there are not as many as levels.
    """
    if len(counts) != parameters.levels or len(strides) != parameters.levels or min(counts) < 1:
        raise HardwareError(f"a walk of {parameters.levels} levels needs as many counts from 1 and strides: {counts}")
    first = base if phase is None else phase
    for indices in product(*(range(count) for count in reversed(counts))):
        offset = sum(index * stride for index, stride in zip(reversed(indices), strides, strict=True))
        ended = [index == count - 1 for index, count in zip(reversed(indices), counts, strict=True)]
        yield Step(
            (base + offset) % 2**parameters.address_width,
            (first + offset) % parameters.modulus,
            tuple(all(ended[: level + 1]) for level in range(parameters.levels)),
        )


def advance_phase(phase: pyrtl.WireVector, delta: pyrtl.WireVector, modulus: int) -> pyrtl.WireVector:
    """(phase + delta) modulo ``modulus`` of two numbers below it: an addition and a conditional subtraction."""
    width = phase_width(modulus)
    total = phase + delta
    if modulus == 1 << width:
        return total[:width]
    # Both in parallel; the sign of the difference chooses.
    difference = total.zero_extended(width + 2) - pyrtl.Const(modulus, bitwidth=width + 2)
    return pyrtl.select(difference[width + 1], total[:width], difference[:width])


def walker(parameters: WalkerParameters) -> Leaf:
    """The circuit; see the module's contract."""
    levels, width = parameters.levels, parameters.address_width
    name = f"walker_{levels}_{width}_{parameters.count_width}_{parameters.modulus}"
    return Leaf(
        name,
        inputs={
            "start": 1,
            "advance": 1,
            "base": width,
            "phase_base": parameters.phase_width,
            "counts": Port(parameters.count_width, levels),
            "deltas": Port(width, levels),
            "phase_deltas": Port(parameters.phase_width, levels),
        },
        outputs={"address": width, "phase": parameters.phase_width, "at_end": levels, "busy": 1, "done": 1},
        logic=lambda inputs: walker_logic(parameters, inputs),
    )


def walker_logic(
    parameters: WalkerParameters, inputs: Mapping[str, pyrtl.WireVector], prefix: str = ""
) -> dict[str, pyrtl.WireVector]:
    """The circuit inside another leaf: inputs and outputs as of :func:`walker`, registers named with ``prefix``."""
    start, advance = inputs["start"], inputs["advance"]
    address = pyrtl.Register(parameters.address_width, prefix + "address")
    phase = pyrtl.Register(parameters.phase_width, prefix + "phase")
    busy = pyrtl.Register(1, prefix + "busy")
    done = pyrtl.Register(1, prefix + "done")
    go = advance & busy

    counts = _lanes(inputs["counts"], parameters.count_width)
    held_deltas = _held(start, _lanes(inputs["deltas"], parameters.address_width), prefix + "delta")
    held_phases = _held(start, _lanes(inputs["phase_deltas"], parameters.phase_width), prefix + "phase_delta")
    inner: pyrtl.WireVector = pyrtl.Const(1, bitwidth=1)  # all levels below are at their end
    at_end = []
    for level, count in enumerate(counts):
        held = _held(start, [count], f"{prefix}count_{level}")[0]
        # Counts down to one. Whether it is there is a register, so that no comparison stands before the address.
        rest = pyrtl.Register(parameters.count_width, f"{prefix}rest_{level}")
        last = pyrtl.Register(1, f"{prefix}last_{level}")
        single = pyrtl.Register(1, f"{prefix}single_{level}")
        single.next <<= pyrtl.select(start, count == 1, single)
        lower = (rest - 1)[: parameters.count_width]
        moved = go & inner
        rest.next <<= pyrtl.select(start, count, pyrtl.select(moved, pyrtl.select(last, held, lower), rest))
        last.next <<= pyrtl.select(
            start,
            count == 1,
            pyrtl.select(moved, pyrtl.select(last, single, rest == 2), last),
        )
        inner = inner & last
        at_end.append(inner)

    # The lowest level not at its end goes on.
    delta, phase_delta = held_deltas[-1], held_phases[-1]
    for level in reversed(range(parameters.levels - 1)):
        delta = pyrtl.select(at_end[level], delta, held_deltas[level])
        phase_delta = pyrtl.select(at_end[level], phase_delta, held_phases[level])
    stepped = (address + delta)[: parameters.address_width]
    address.next <<= pyrtl.select(start, inputs["base"], pyrtl.select(go, stepped, address))
    turned = advance_phase(phase, phase_delta, parameters.modulus)
    phase.next <<= pyrtl.select(start, inputs["phase_base"], pyrtl.select(go, turned, phase))
    ended = go & at_end[-1]
    busy.next <<= start | (busy & ~ended)
    done.next <<= ended
    return {
        "address": address,
        "phase": phase,
        "at_end": pyrtl.concat_list(at_end),
        "busy": busy,
        "done": done,
    }


def _lanes(wire: pyrtl.WireVector, width: int) -> list[pyrtl.WireVector]:
    return [wire[first : first + width] for first in range(0, len(wire), width)]


def _held(load: pyrtl.WireVector, values: Sequence[pyrtl.WireVector], name: str) -> list[pyrtl.Register]:
    """A register for every value, taken when ``load`` is high."""
    registers = []
    for index, value in enumerate(values):
        register = pyrtl.Register(len(value), f"{name}_{index}")
        register.next <<= pyrtl.select(load, value, register)
        registers.append(register)
    return registers
