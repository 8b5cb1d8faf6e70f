"""The plan: what was decided for a network on a board, what it costs and what was proved, as one immutable value.

A plan is written as JSON (``dynamap/plan/1``) and read back to an equal value; the text is strict, so that a file that
is not a plan is refused with a sentence and never half understood.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Any

import msgspec

from dynamap_models.ir import Network

from .errors import DynamapError
from .files import reason_of, write_text

__all__ = [
    "PLAN_SCHEMA",
    "BoundBy",
    "LayerPlan",
    "ModelReference",
    "Plan",
    "PlanError",
    "Proof",
    "ReductionStep",
    "Settings",
    "ShapeResult",
    "fingerprint",
    "load_plan",
    "parse_plan",
    "write_text",
]

PLAN_SCHEMA = "dynamap/plan/1"

# No plan of a real network comes near; a longer file is not read into memory.
_MAX_BYTES = 256 * 2**20

BoundBy = str


class PlanError(DynamapError):
    """A plan file that cannot be read, or a plan that does not fit its network."""


class _Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields are checked by name and type when read; unknown ones are refused."""


class LayerPlan(_Record, frozen=True, kw_only=True):
    """One stage of the plan.

    Attributes:
        name: of the layer that gives the stage its arithmetic.
        operation: for people, as ``conv 3x3/2`` or ``max pool``.
        input_shape: (height, width, channels) of its first input.
        output_shape: (height, width, channels) of its output.
        algorithm: a name of the registry; ``vector`` or ``host`` for what the array does not compute.
        dataflow: ``NS``, ``WS`` or ``IS``; None off the array.
        input_layout: how its first input is stored.
        output_layout: how its output is stored.
        cycles: latency of the stage.
        load_cycles: of the DRAM port, inputs and weights.
        compute_cycles: of the array or the vector unit.
        store_cycles: of the DRAM port, outputs.
        macs: multiply-accumulates of the direct convolution.
        utilization: multiply-accumulates the cost preset counts (with Winograd fewer than ``macs``), over the array's
            elements times ``cycles``; between 0 and 1.
        bound_by: ``load``, ``compute`` or ``store``, the longest.
    """

    name: str
    operation: str
    input_shape: tuple[int, int, int]
    output_shape: tuple[int, int, int]
    algorithm: str
    dataflow: str | None
    input_layout: str
    output_layout: str
    cycles: int
    load_cycles: int
    compute_cycles: int
    store_cycles: int
    macs: int
    utilization: float
    bound_by: BoundBy


class ModelReference(_Record, frozen=True, kw_only=True):
    """Which network a plan is for: where it came from and a hash of its structure (weights do not matter)."""

    name: str
    source: str
    input_shapes: dict[str, tuple[int, ...]]
    fingerprint: str
    macs: int
    parameters: int


class Settings(_Record, frozen=True, kw_only=True):
    """What the caller asked for; solving again with them gives the plan again."""

    cost: str
    algorithms: tuple[str, ...]
    dataflows: tuple[str, ...]
    method: str
    allow_host: bool
    macs_per_dsp: int
    array: tuple[int, int] | None


class ShapeResult(_Record, frozen=True, kw_only=True):
    """The optimum of one array shape."""

    array: tuple[int, int]
    latency_cycles: int


class ReductionStep(msgspec.Struct, frozen=True, array_like=True):
    """One reduction, as :class:`dynamap_solvers.Reduction`; a list of five in the file."""

    rule: str
    vertex: int
    neighbours: tuple[int, ...]
    tables: tuple[int, ...]
    produced: int


class Proof(_Record, frozen=True, kw_only=True):
    """Why nothing is better.

    Attributes:
        method: that solved the mapping problem of the chosen shape.
        variables: of that problem.
        edges: of that problem.
        dropped: (variable, choice) pairs struck out first because nothing allowed contains them.
        reductions: the series-parallel reductions in order; empty for other methods.
        stop_reason: why the method stopped.
        exploration: how the other shapes were excluded.
    """

    method: str
    variables: int
    edges: int
    dropped: tuple[tuple[int, int], ...]
    reductions: tuple[ReductionStep, ...]
    stop_reason: str
    exploration: str


class Plan(_Record, frozen=True, kw_only=True):
    """A mapping of a network onto a board.

    Attributes:
        schema: ``dynamap/plan/1``.
        model: the network.
        board: the board's fields.
        overlay: the overlay's parameters besides the array's shape.
        settings: what was asked for.
        status: ``optimal`` when proved; ``feasible`` when a time limit came first.
        array: (P1, P2).
        latency_cycles: sum of the stages' cycles.
        latency_s: that over the board's clock.
        lower_bound_cycles: no mapping on any explored shape is faster.
        shapes_explored: how many shapes were considered.
        method: that proved the mapping of the chosen shape.
        proof: the details.
        layers: the stages in the order they run.
        host_operators: layers left to the host at zero cycles.
        next_best: the best shapes after the chosen one; empty where the exploration did not solve every shape.
        pareto: shapes no other beats in both elements and latency; empty likewise.
    """

    schema: str
    model: ModelReference
    board: dict[str, str | int | float]
    overlay: dict[str, int | tuple[int, ...]]
    settings: Settings
    status: str
    array: tuple[int, int]
    latency_cycles: int
    latency_s: float
    lower_bound_cycles: int
    shapes_explored: int
    method: str
    proof: Proof
    layers: tuple[LayerPlan, ...]
    host_operators: tuple[str, ...]
    next_best: tuple[ShapeResult, ...]
    pareto: tuple[ShapeResult, ...]

    def as_dict(self) -> dict[str, Any]:
        """The plan as JSON-ready builtins."""
        built: dict[str, Any] = msgspec.to_builtins(self)
        return built

    def to_json(self) -> str:
        """The text of a plan file."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1).decode() + "\n"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan file: whole or not at all."""
        write_text(path, self.to_json())


def load_plan(path: str | os.PathLike[str]) -> Plan:
    """Read a plan file.

    Raises:
        PlanError: when there is no such file or it is not a plan of this version.
    """
    origin = str(path)
    try:
        if stat.S_ISFIFO(Path(path).stat().st_mode):  # opening it could wait for ever
            raise PlanError(f"plan {origin!r} is a pipe; give the path of a plan file")
        with Path(path).open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise PlanError(f"cannot read plan {origin!r}: {reason_of(error)}; give the path of a plan file") from None
    if len(content) > _MAX_BYTES:
        raise PlanError(f"{origin!r} is larger than any plan ({_MAX_BYTES} bytes); give the path of a plan file")
    return parse_plan(content, origin=origin)


def parse_plan(content: bytes, *, origin: str = "plan") -> Plan:
    """Read a plan from its JSON text; ``origin`` names it in messages.

    Raises:
        PlanError: when it is not a plan of this version.
    """
    try:
        plan = msgspec.json.decode(content, type=Plan)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise PlanError(f"{origin!r} is not a plan: {error}; write one with 'dynamap map MODEL -o FILE'") from None
    if plan.schema != PLAN_SCHEMA:
        raise PlanError(f"{origin!r} has schema {plan.schema!r}, not {PLAN_SCHEMA!r}; write it again with this version")
    if not plan.layers or min(plan.array) < 1:
        raise PlanError(f"{origin!r} has no layers or no array; write it again with 'dynamap map MODEL -o FILE'")
    return plan


def fingerprint(network: Network) -> str:
    """SHA-256 over the structure of a network: layers, attributes, tensors; not names of files, not weights."""
    digest = hashlib.sha256()
    for layer in network.layers:
        digest.update(repr(layer).encode())
    for name, tensor in sorted(network.tensors.items()):
        digest.update(repr((name, tensor)).encode())
    for name, parameter in sorted(network.parameters.items()):
        digest.update(repr((name, parameter.shape)).encode())
    digest.update(repr((network.inputs, network.outputs)).encode())
    return digest.hexdigest()
