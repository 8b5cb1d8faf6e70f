"""Running programs on the compiled overlay: circuit, memory, cycles."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .circuit_parameters import CircuitParameters
from .hardware import HardwareError, Module
from .hardware.simulator import CompiledSimulation, Values
from .hardware.simulator.build import compiled
from .hardware.simulator.verilated import VerilatedSimulation
from .overlay_circuit import overlay_circuit
from .units.sequencer import FETCH_BYTES

__all__ = ["OverlaySimulation", "SimulatorName"]

#: What runs the circuit.
SimulatorName = Literal["dynamap", "verilator"]

_DEPTH = 4096  # as in memory_peer.c
_FAULTS = {
    1: "a burst of no bytes",
    2: "a burst that leaves memory",
    3: "more requests than memory takes",
    4: "a beat that was not asked for",
}


class _Reader(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("request_valid", "request_address", "request_bytes", "data_ready")),
        *((name, ctypes.c_int64) for name in ("request_ready", "data_valid", "data", "bytes", "latency")),
        *((name, ctypes.c_uint64 * _DEPTH) for name in ("address", "left", "due")),
        *((name, ctypes.c_int64) for name in ("first", "count", "beats")),
    )


class _Writer(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("request_valid", "request_address", "request_bytes", "valid", "data")),
        *((name, ctypes.c_int64) for name in ("request_ready", "ready", "written", "bytes", "latency")),
        *((name, ctypes.c_uint64 * _DEPTH) for name in ("address", "left")),
        *((name, ctypes.c_int64) for name in ("first", "count")),
        ("due", ctypes.c_uint64 * _DEPTH),
        *((name, ctypes.c_int64) for name in ("due_first", "due_count", "beats")),
    )


class _Memory(ctypes.Structure):
    _fields_ = (
        ("memory", ctypes.c_void_p),
        ("size", ctypes.c_uint64),
        ("cycle", ctypes.c_uint64),
        ("fault", ctypes.c_int64),
        ("fault_address", ctypes.c_uint64),
        ("readers", _Reader * 2),
        ("writer", _Writer),
    )


class OverlaySimulation:
    """An overlay and its memory, simulated cycle by cycle from the netlist.

    The memory answers a read ``dram_latency_cycles`` after its request, with a beat a cycle, and confirms a write so
    long after its last beat; the three ports do not disturb each other.

    Args:
        circuit: the overlay.
        memory_bytes: size of memory; bursts beyond it are refused.
        trace: wires to record, see ``CompiledSimulation``.
        simulator: ``dynamap``, the netlist compiled, or ``verilator``, the exported Verilog (for small arrays: building
            takes long; no traces).

    Attributes:
        memory: uint8, (memory_bytes,), to be filled before and read after ``run``.

    Raises:
        HardwareError: when there is no C compiler.
    """

    def __init__(
        self,
        circuit: CircuitParameters,
        *,
        memory_bytes: int,
        trace: Sequence[str] = (),
        simulator: SimulatorName = "dynamap",
    ) -> None:
        self.circuit, self.simulator = circuit, simulator
        self.top = _circuit(circuit)
        self.simulation: CompiledSimulation | VerilatedSimulation
        if simulator == "verilator":
            self.simulation = VerilatedSimulation(self.top)
        else:
            self.simulation = CompiledSimulation(self.top, trace=trace)
        library = compiled({"flat": files("dynamap_rtl").joinpath("memory_peer.c").read_text(encoding="utf-8")})
        self._peer = library.dm_memory
        self._attach(memory_bytes)

    def _attach(self, memory_bytes: int) -> None:
        """Put an empty memory beside the circuit, with no request under way."""
        circuit = self.circuit
        self.memory: NDArray[np.uint8] = np.zeros(memory_bytes, np.uint8)
        self._state = _Memory(memory=self.memory.ctypes.data, size=memory_bytes)
        outputs, inputs = _words(self.top, "outputs"), _words(self.top, "inputs")
        widths = (FETCH_BYTES, circuit.dram_bytes_per_cycle)
        for reader, port, width in zip(self._state.readers, ("program", "read"), widths, strict=True):
            for name in ("request_valid", "request_address", "request_bytes", "data_ready"):
                setattr(reader, name, outputs[f"{port}_{name}"])
            for name in ("request_ready", "data_valid", "data"):
                setattr(reader, name, inputs[f"{port}_{name}"])
            reader.bytes, reader.latency = width, circuit.dram_latency_cycles
        writer = self._state.writer
        for name in ("request_valid", "request_address", "request_bytes", "valid", "data"):
            setattr(writer, name, outputs[f"write_{name}"])
        for name in ("request_ready", "ready", "written"):
            setattr(writer, name, inputs[f"write_{name}"])
        writer.bytes, writer.latency = circuit.dram_bytes_per_cycle, circuit.dram_latency_cycles

    def reset(self, *, memory_bytes: int | None = None) -> None:
        """The overlay as after configuration, beside a new memory of zeros, which cost nothing until written.

        Args:
            memory_bytes: its size; as before if None.
        """
        self.simulation.reset()
        self._attach(len(self.memory) if memory_bytes is None else memory_bytes)

    @property
    def beats(self) -> dict[str, int]:
        """Beats moved so far, by port."""
        program, read = self._state.readers
        return {"program": program.beats, "read": read.beats, "write": self._state.writer.beats}

    def run(self, program_address: int, *, limit: int = 10_000_000) -> int:
        """Run the program at an address of memory.

        Returns:
            Cycles from ``start`` to ``finished``.

        Raises:
            HardwareError: when it does not finish within ``limit`` cycles, or uses memory as it must not.
        """
        start = {"start": 1, "program_address": program_address}
        idle = {"program_request_ready": 1, "read_request_ready": 1, "write_request_ready": 1, "write_ready": 1}
        context = ctypes.addressof(self._state)
        self.simulation.run_until("finished", limit=1, inputs={**idle, **start}, peer=self._peer, context=context)
        cycles = self.simulation.run_until(
            "finished", limit=limit, inputs={"start": 0}, peer=self._peer, context=context
        )
        if self._state.fault:
            raise HardwareError(
                f"the program asks memory for {_FAULTS[self._state.fault]}, at byte {self._state.fault_address}"
            )
        if cycles is None:
            raise HardwareError(f"the program did not finish within {limit} cycles; it waits for what never comes")
        return cycles + 1

    def trace(self, name: str) -> Values:
        """What was recorded of a wire."""
        if not isinstance(self.simulation, CompiledSimulation):
            raise HardwareError(f"{name!r} was not traced: only the simulator 'dynamap' records wires")
        return self.simulation.trace(name)


@cache
def _circuit(circuit: CircuitParameters) -> Module:
    return overlay_circuit(circuit)


def _words(top: Module, side: str) -> dict[str, int]:
    """Where each port begins, in 64-bit words."""
    places, position = {}, 0
    for name, port in getattr(top, side).items():
        places[name] = position
        position += -(-port.bits // 64)
    return places
