"""How fast simulators run the systolic array, or the whole overlay while it computes layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .circuits import circuit_for
from .errors import DynamapError

if TYPE_CHECKING:
    from dynamap_rtl.circuit_parameters import CircuitParameters
    from dynamap_rtl.program.sample import Sample

__all__ = ["SimulatorRate", "measure_simulators"]


@dataclass(frozen=True)
class SimulatorRate:
    """One simulator on one array.

    Attributes:
        simulator: its name.
        array: as ``16x16``.
        build_seconds: until it is ready; None when that was not reached.
        cycles_per_second: by processor time; None when nothing was measured.
        reason: why nothing was measured.
    """

    simulator: str
    array: str
    build_seconds: float | None
    cycles_per_second: float | None
    reason: str


def measure_simulators(
    arrays: Sequence[tuple[int, int]],
    *,
    names: Sequence[str] = (),
    whole: bool = False,
    winograd: Sequence[int] = (),
    seconds: float = 1.0,
    patience: float = 60.0,
) -> tuple[SimulatorRate, ...]:
    """Measure every simulator on growing arrays; see ``api.simulators``."""
    # PyRTL loads only where hardware is wanted.
    from dynamap_rtl.hardware import HardwareError  # noqa: PLC0415
    from dynamap_rtl.hardware.simulator import compare_simulators  # noqa: PLC0415
    from dynamap_rtl.hardware.verilog import verilog_text  # noqa: PLC0415
    from dynamap_rtl.overlay_circuit import overlay_circuit  # noqa: PLC0415
    from dynamap_rtl.recording import record_layers  # noqa: PLC0415
    from dynamap_rtl.units.array import ArrayParameters, systolic_array  # noqa: PLC0415

    if winograd and not whole:
        raise DynamapError("Winograd tiles are of the whole overlay, its array has none; add --whole")
    circuits = [circuit_for(shape, winograd=winograd) for shape in arrays]  # says what is wrong with a shape
    tops, stimuli = {}, {}
    try:
        for circuit in circuits:
            rows, columns = circuit.rows, circuit.columns
            if whole:
                top = overlay_circuit(circuit)
                stimuli[top.name] = record_layers(circuit, _measured_layers(circuit))
            else:
                top = systolic_array(ArrayParameters(rows=rows, columns=columns))
            tops[top.name] = (f"{rows}x{columns}", top)
        rates = compare_simulators(
            [top for _, top in tops.values()],
            simulators=names,
            verilog=verilog_text,
            stimuli=stimuli,
            seconds=seconds,
            patience=patience,
        )
    except HardwareError as error:
        raise DynamapError(str(error)) from error
    return tuple(
        SimulatorRate(rate.simulator, tops[rate.top][0], rate.build_seconds, rate.cycles_per_second, rate.reason)
        for rate in rates
    )


def _measured_layers(circuit: CircuitParameters) -> list[Sample]:
    """Layers that use every unit that convolutions have: by im2col, and by each Winograd tile."""
    from dynamap_rtl import Dataflow  # noqa: PLC0415
    from dynamap_rtl.program.sample import sample_convolution  # noqa: PLC0415

    ways = [(None, Dataflow.IS), *((tile, Dataflow.NS) for tile in circuit.winograd)]
    return [
        sample_convolution(circuit, dataflow, side=14, channels=16, outputs=2 * circuit.columns, tile=tile)
        for tile, dataflow in ways
    ]
