"""The overlay of an array or a plan as a folder of Verilog."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import DynamapError
from .plan import Plan

if TYPE_CHECKING:
    from dynamap_rtl.circuit_parameters import CircuitParameters

__all__ = ["GeneratedDesign", "generate_design", "overlay_parameters"]

# Short arrays and narrow ports need few bits; Winograd's sums need this many.
_WINOGRAD_SUM_BITS = 48
_WIDEST_PORT = 64


@dataclass(frozen=True)
class GeneratedDesign:
    """What was written.

    Attributes:
        folder: where.
        files: paths relative to the folder.
        parameters: of the overlay.
        resources: estimate: ``dsp`` slices, ``lut``, ``ff``, ``bram`` (halves of 36 kbit blocks).
    """

    folder: str
    files: tuple[str, ...]
    parameters: dict[str, int | tuple[int, ...]]
    resources: dict[str, int]


def generate_design(
    folder: Path,
    *,
    array: tuple[int, int] | None = None,
    plan: Plan | None = None,
    bytes_per_cycle: int | None = None,
    winograd: Sequence[int] | None = None,
) -> GeneratedDesign:
    """Write the overlay as hierarchical Verilog, with a test bench that replays a small layer.

    Args:
        folder: new, empty, or written by an earlier call.
        array: (P1, P2); the plan's if None.
        plan: gives the array, the width of the memory port and the Winograd tiles it uses, where these are not given.
        bytes_per_cycle: of the memory ports; 16 without a plan. At most 64 of a plan's, what a port of a board has.
        winograd: tiles m of F(m, 3); none without a plan.

    Raises:
        DynamapError: when there is neither array nor plan, or the folder holds something else.
        OverlayError: when there is no such overlay.
        OSError: from the file system.
    """
    # PyRTL loads only where hardware is wanted.
    from dynamap_rtl.design_folder import SUMMARY, write_design  # noqa: PLC0415
    from dynamap_rtl.hardware import HardwareError  # noqa: PLC0415
    from dynamap_rtl.overlay_circuit import overlay_circuit  # noqa: PLC0415
    from dynamap_rtl.program.sample import sample_convolution  # noqa: PLC0415
    from dynamap_rtl.recording import record_run  # noqa: PLC0415
    from dynamap_rtl.resources import estimate  # noqa: PLC0415

    if plan is not None:
        array = array or plan.array
        port = int(plan.overlay["dram_bytes_per_cycle"])
        bytes_per_cycle = bytes_per_cycle or min(_WIDEST_PORT, port)
        winograd = _tiles(plan) if winograd is None else winograd
    if array is None:
        raise DynamapError("generate needs an array, as --array 16x16, or a plan that has one, as --plan FILE")
    circuit = overlay_parameters(array, bytes_per_cycle or 16, winograd or ())
    top = overlay_circuit(circuit)
    parameters = asdict(circuit)
    summary = {
        name: " ".join(map(str, value)) if isinstance(value, tuple) else value for name, value in parameters.items()
    }
    sample = sample_convolution(circuit, outputs=min(2 * circuit.columns, 32))
    try:
        recording = record_run(circuit, sample.memory, sample.program_address)
        write_design(top, folder, parameters=summary, stimulus=recording.inputs)
    except HardwareError as error:
        raise DynamapError(str(error)) from error
    files = tuple(sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()))
    assert SUMMARY in files
    return GeneratedDesign(str(folder), files, parameters, asdict(estimate(top)))


def _tiles(plan: Plan) -> tuple[int, ...]:
    """The Winograd tiles a plan uses: m of ``winograd-fm-...``."""
    names = {layer.algorithm for layer in plan.layers if layer.algorithm.startswith("winograd-f")}
    return tuple(sorted({int(name.removeprefix("winograd-f").partition("-")[0]) for name in names}))


def overlay_parameters(array: tuple[int, int], bytes_per_cycle: int, winograd: Sequence[int]) -> CircuitParameters:
    """An overlay with sums as wide as its Winograd tiles need."""
    from dynamap_rtl.circuit_parameters import CircuitParameters  # noqa: PLC0415

    tiles = tuple(sorted(set(winograd)))
    return CircuitParameters(
        rows=array[0],
        columns=array[1],
        dram_bytes_per_cycle=bytes_per_cycle,
        winograd=tiles,
        sum_width=_WINOGRAD_SUM_BITS if tiles else 32,
    )
