"""A design on disk: Verilog, file lists, a summary and a test bench, written as a whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .hardware.module import Design, Grid, HardwareError, Module
from .hardware.verilog import verilog_of
from .hardware.verilog_grid import row_of
from .hardware.verilog_testbench import bench_files, random_stimulus

__all__ = ["SUMMARY", "Scalar", "Shell", "write_design"]

#: The summary: parameters, ports, modules, and a checksum of every file that was written.
SUMMARY = "design.json"
_FORMAT = "dynamap-design"
_VERSION = 1
_CYCLES = 200  # of a stimulus that nobody gave

# What can be a parameter in the summary.
Scalar = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class Shell:
    """A top level around a design, whose Verilog has names and attributes that the hierarchy does not know.

    Attributes:
        key: its entry in the summary.
        top: name of its module.
        module: what it holds, the design in it somewhere.
        verilog: all its files, ``<module>.v`` -> text, what a module is made of before it, its own last.
        files: what else is written, by path.
        summary: what its entry says beyond ``top``.
    """

    key: str
    top: str
    module: Module
    verilog: Mapping[str, str]
    files: Mapping[str, str]
    summary: Mapping[str, Scalar]


def write_design(
    top: Module,
    folder: Path,
    *,
    parameters: Mapping[str, Scalar],
    stimulus: Mapping[str, Sequence[int]] | None = None,
    shell: Shell | None = None,
) -> None:
    """Write a design into a folder.

    The folder then holds ``rtl/<module>.v``, one for every module; ``files.f``, their list, what a module is made of
    before it; ``simulation/``, a test bench with its data and the list ``simulation.f`` (paths relative to
    ``simulation/``, where it is to be run); and ``design.json``. With a shell its modules are in ``rtl/`` and in
    ``files.f`` as well, its top level last; the test bench is the design's. The same arguments give the same bytes.

    The folder appears complete or stays as it was. One that exists must be empty or hold an earlier design, untouched:
    nothing that anybody else made or changed is overwritten.

    Args:
        top: the design.
        folder: where; missing parents are made.
        parameters: what the design was made from, for the summary.
        stimulus: values of every input for the test bench; random ones if None, for designs that take anything.
        shell: a top level around the design, or none.

    Raises:
        HardwareError: when the folder holds something else, or the design cannot be written or simulated.
        OSError: from the file system.
    """
    _check_own(folder)
    files = _contents(top, parameters, stimulus, shell)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside the folder, so that both renames stay in one file system.
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as name:
        new, old = Path(name, "new"), Path(name, "old")
        for path, text in files.items():
            (new / path).parent.mkdir(parents=True, exist_ok=True)
            (new / path).write_text(text, encoding="utf-8", newline="\n")
        if folder.exists():
            _check_own(folder)  # once more, since simulating took time
            os.replace(folder, old)  # noqa: PTH105 - a move, and back if the next one fails
        try:
            os.replace(new, folder)  # noqa: PTH105
        except OSError:
            if old.exists():
                os.replace(old, folder)  # noqa: PTH105
            raise


def _contents(
    top: Module,
    parameters: Mapping[str, Scalar],
    stimulus: Mapping[str, Sequence[int]] | None,
    shell: Shell | None,
) -> dict[str, str]:
    verilog = verilog_of(top)
    if stimulus is None:
        stimulus = random_stimulus(top, cycles=_CYCLES)
    clocked = "input wire  clock" in verilog[f"{top.name}.v"]
    everything = verilog if shell is None else shell.verilog
    assert all(everything[name] == text for name, text in verilog.items())
    files = {f"rtl/{name}": text for name, text in everything.items()}
    files["files.f"] = "".join(f"rtl/{name}\n" for name in everything)
    bench = bench_files(top, stimulus, clocked=clocked)
    files |= {f"simulation/{name}": text for name, text in bench.items()}
    files["simulation/simulation.f"] = "".join(f"../rtl/{name}\n" for name in verilog) + f"{top.name}_tb.v\n"
    instances = _instances(top)
    if shell is not None:
        instances = _instances(shell.module)
        instances[shell.top] = 1
        files |= shell.files
    summary = {
        "format": _FORMAT,
        "version": _VERSION,
        "top": top.name,
        "parameters": dict(parameters),
        "ports": {
            name: {"direction": direction, "width": port.width, "lanes": port.lanes}
            for direction, ports in (("input", top.inputs), ("output", top.outputs))
            for name, port in ports.items()
        },
        "instances": {name.removesuffix(".v"): instances[name.removesuffix(".v")] for name in everything},
        **({} if shell is None else {shell.key: {"top": shell.top, **shell.summary}}),
        "files": {name: _digest(text.encode()) for name, text in files.items()},
    }
    return {**files, SUMMARY: json.dumps(summary, indent=2, ensure_ascii=False) + "\n"}


def _instances(top: Module) -> Counter[str]:
    """How often every module stands in the design."""
    known: dict[int, Counter[str]] = {}

    def count(module: Module) -> Counter[str]:
        if id(module) not in known:
            total = Counter({module.name: 1})
            if isinstance(module, Grid):
                row = row_of(module)  # written as a module of its own
                if row is not None:
                    total[row.name] = module.rows
                for name, number in count(module.cell).items():
                    total[name] += number * module.rows * module.columns
            elif isinstance(module, Design):
                for instance in module.instances.values():
                    total.update(count(instance.module))
            known[id(module)] = total
        return known[id(module)]

    return count(top)


def _digest(contents: bytes) -> str:
    return hashlib.sha256(contents).hexdigest()


def _check_own(folder: Path) -> None:
    """Refuse a folder with anything in it that an earlier call did not write.

    Raises:
        HardwareError: naming what is in the way.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir() or folder.is_symlink():
        raise HardwareError(f"{folder} is not a folder; choose another place for the design")
    present = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if not path.is_dir()}
    if not present:
        return
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        written = summary["files"] if summary["format"] == _FORMAT else None
    except (OSError, ValueError, KeyError, TypeError):
        written = None
    if not isinstance(written, dict):
        raise HardwareError(f"{folder} holds files that are no design of ours; choose an empty or a new folder")
    for name, path in sorted(present.items()):
        if name == SUMMARY:
            continue
        if name not in written:
            raise HardwareError(f"{path} is not part of the design in {folder}; move it away or choose another folder")
        if path.is_symlink() or _digest(path.read_bytes()) != written[name]:
            raise HardwareError(f"{path} was changed since it was written; move it away or choose another folder")
