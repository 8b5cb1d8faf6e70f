"""Provably optimal mapping of convolutional networks onto FPGA systolic-array overlays.

Names are imported when first used, so that ``import dynamap_opt`` is quick and does not load ONNX or any solver.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dynamap_models import ModelError as ModelError
    from dynamap_models import Network as Network
    from dynamap_models import import_onnx as import_onnx
    from dynamap_rtl import Dataflow as Dataflow
    from dynamap_rtl import Overlay as Overlay
    from dynamap_solvers import SelectionProblem as SelectionProblem
    from dynamap_solvers import Solution as Solution
    from dynamap_solvers import SolverError as SolverError
    from dynamap_solvers import read_problem as read_problem
    from dynamap_solvers import solve as solve
    from dynamap_solvers import write_problem as write_problem

    from .algorithms import ALGORITHMS as ALGORITHMS
    from .api import ModelSummary as ModelSummary
    from .api import bench as bench
    from .api import boards as boards
    from .api import compare as compare
    from .api import compile as compile  # noqa: A004 - the command's name
    from .api import explain as explain
    from .api import export_model as export_model
    from .api import generate as generate
    from .api import load_model as load_model
    from .api import map as map  # noqa: A004 - the command's name
    from .api import models as models
    from .api import report as report
    from .api import simulate as simulate
    from .api import simulators as simulators
    from .api import verify as verify
    from .board import Board as Board
    from .board import load_board as load_board
    from .errors import DynamapError as DynamapError
    from .mapper import Mapper as Mapper
    from .plan import Plan as Plan
    from .plan import load_plan as load_plan
    from .reproduction import reproduce as reproduce

_HOME = {
    # networks
    "ModelError": "dynamap_models",
    "Network": "dynamap_models",
    "import_onnx": "dynamap_models",
    "ModelSummary": "dynamap_opt.api",
    "models": "dynamap_opt.api",
    "load_model": "dynamap_opt.api",
    "export_model": "dynamap_opt.api",
    # boards and overlays
    "Board": "dynamap_opt.board",
    "boards": "dynamap_opt.api",
    "load_board": "dynamap_opt.board",
    "Overlay": "dynamap_rtl",
    "Dataflow": "dynamap_rtl",
    # mapping
    "ALGORITHMS": "dynamap_opt.algorithms",
    "Mapper": "dynamap_opt.mapper",
    "Plan": "dynamap_opt.plan",
    "load_plan": "dynamap_opt.plan",
    "map": "dynamap_opt.api",
    "explain": "dynamap_opt.api",
    "verify": "dynamap_opt.api",
    "compare": "dynamap_opt.api",
    "reproduce": "dynamap_opt.reproduction",
    "report": "dynamap_opt.api",
    # hardware
    "generate": "dynamap_opt.api",
    "simulators": "dynamap_opt.api",
    "compile": "dynamap_opt.api",
    "simulate": "dynamap_opt.api",
    # solvers
    "SelectionProblem": "dynamap_solvers",
    "Solution": "dynamap_solvers",
    "SolverError": "dynamap_solvers",
    "solve": "dynamap_solvers",
    "read_problem": "dynamap_solvers",
    "write_problem": "dynamap_solvers",
    "bench": "dynamap_opt.api",
    # errors
    "DynamapError": "dynamap_opt.errors",
}

__all__ = sorted([*_HOME, "__version__"])  # noqa: PLE0605 - one list of names, in _HOME

__version__ = version("dynamap-opt")


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
