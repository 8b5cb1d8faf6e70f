"""Files of selection problems: our own JSON, IOPDDL, UAI and LG, WCSP, CFN and Scholz both ways; LP and MPS out.

:func:`read_problem` tells the format by content, :func:`write_problem` takes it by name or by the ending of the path.
What each format holds and loses is in ``docs/reference/formats.md`` and in the docstring of its module.
"""

from __future__ import annotations

from dynamap_solvers.formats.cfn import read_cfn, write_cfn
from dynamap_solvers.formats.iopddl import read_iopddl, write_iopddl
from dynamap_solvers.formats.lp import write_lp
from dynamap_solvers.formats.mps import write_mps
from dynamap_solvers.formats.native import SCHEMA, read_json, write_json
from dynamap_solvers.formats.registry import (
    FORMATS,
    Format,
    detect_format,
    format_names,
    read_problem,
    write_problem,
)
from dynamap_solvers.formats.scholz import read_scholz, write_scholz
from dynamap_solvers.formats.uai import read_uai, write_lg, write_uai
from dynamap_solvers.formats.wcsp import read_wcsp, write_wcsp

__all__ = [
    "FORMATS",
    "SCHEMA",
    "Format",
    "detect_format",
    "format_names",
    "read_cfn",
    "read_iopddl",
    "read_json",
    "read_problem",
    "read_scholz",
    "read_uai",
    "read_wcsp",
    "write_cfn",
    "write_iopddl",
    "write_json",
    "write_lg",
    "write_lp",
    "write_mps",
    "write_problem",
    "write_scholz",
    "write_uai",
    "write_wcsp",
]
