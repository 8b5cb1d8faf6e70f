"""The overlay of an array or a plan as a folder of Verilog."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from .circuits import circuit_for
from .errors import DynamapError
from .plan import Plan

__all__ = ["GeneratedDesign", "generate_design"]


@dataclass(frozen=True)
class GeneratedDesign:
    """What was written.

    Attributes:
        folder: where.
        files: paths relative to the folder.
        parameters: of the overlay.
        resources: estimate: ``dsp`` slices, ``lut``, ``ff``, ``bram`` (halves of 36 kbit blocks).
        axi_top: the top level with AXI interfaces; None without one.
        axi_resources: what that needs beyond ``resources``; None without one.
    """

    folder: str
    files: tuple[str, ...]
    parameters: dict[str, int | tuple[int, ...]]
    resources: dict[str, int]
    axi_top: str | None
    axi_resources: dict[str, int] | None


def generate_design(
    folder: Path,
    *,
    array: tuple[int, int] | None = None,
    plan: Plan | None = None,
    bytes_per_cycle: int | None = None,
    winograd: Sequence[int] | None = None,
    axi: bool = True,
) -> GeneratedDesign:
    """Write the overlay as hierarchical Verilog, with a test bench that replays a small layer.

    Args:
        folder: new, empty, or written by an earlier call.
        array: (P1, P2); the plan's if None.
        plan: gives the array, the width of the memory port and the Winograd tiles it uses, where these are not given.
        bytes_per_cycle: of the memory ports; the plan's, or 16, if None.
        winograd: tiles m of F(m, 3); none without a plan.
        axi: also a top level with AXI interfaces, described for Vivado.

    Raises:
        DynamapError: when there is neither array nor plan, or the folder holds something else.
        OverlayError: when there is no such overlay, or none on AXI, whose ports have at most 128 bytes.
        OSError: from the file system.
    """
    # PyRTL loads only where hardware is wanted.
    from dynamap_rtl.axi.overlay import AxiOverlay  # noqa: PLC0415
    from dynamap_rtl.axi.shell import axi_shell  # noqa: PLC0415
    from dynamap_rtl.design_folder import SUMMARY, write_design  # noqa: PLC0415
    from dynamap_rtl.hardware import HardwareError  # noqa: PLC0415
    from dynamap_rtl.overlay_circuit import overlay_circuit  # noqa: PLC0415
    from dynamap_rtl.program.sample import sample_convolution  # noqa: PLC0415
    from dynamap_rtl.recording import record_run  # noqa: PLC0415
    from dynamap_rtl.resources import estimate  # noqa: PLC0415

    if array is None:
        if plan is None:
            raise DynamapError("generate needs an array, as --array 16x16, or a plan that has one, as --plan FILE")
        array = plan.array
    circuit = circuit_for(array, plan=plan, bytes_per_cycle=bytes_per_cycle, winograd=winograd)
    shell = axi_shell(AxiOverlay(circuit=circuit)) if axi else None
    top = overlay_circuit(circuit)
    parameters = asdict(circuit)
    summary = {
        name: " ".join(map(str, value)) if isinstance(value, tuple) else value for name, value in parameters.items()
    }
    sample = sample_convolution(circuit, outputs=min(2 * circuit.columns, 32))
    try:
        recording = record_run(circuit, sample.memory, sample.program_address)
        write_design(top, folder, parameters=summary, stimulus=recording.inputs, shell=shell)
    except HardwareError as error:
        raise DynamapError(str(error)) from error
    files = tuple(sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()))
    assert SUMMARY in files
    resources = asdict(estimate(top))
    if shell is None:
        return GeneratedDesign(str(folder), files, parameters, resources, None, None)
    whole = asdict(estimate(shell.module))
    beyond = {name: whole[name] - resources[name] for name in resources}
    return GeneratedDesign(str(folder), files, parameters, resources, shell.top, beyond)
