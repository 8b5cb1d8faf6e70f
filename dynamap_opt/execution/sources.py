"""From a plan or a model to both: the plan, and the network quantised."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from dynamap_models.ir import Network
from dynamap_opt import api
from dynamap_opt.algorithms import ALGORITHMS
from dynamap_opt.board import Board, load_board
from dynamap_opt.circuits import winograd_tile
from dynamap_opt.errors import DynamapError
from dynamap_opt.explanation import mapper_of
from dynamap_opt.mapping import make_plan, map_network
from dynamap_opt.plan import Plan, load_plan

if TYPE_CHECKING:
    from dynamap_models.quantised import QuantisedNetwork

__all__ = [
    "Inputs",
    "Prepared",
    "SourceOptions",
    "is_plan_file",
    "is_quantised_file",
    "network_inputs",
    "networks_of",
    "prepare",
]

#: A map, (height, width, channels), for every input of a network.
Inputs: TypeAlias = Mapping[str, NDArray[np.generic]]

# Maps a network is calibrated with.
_CALIBRATION_MAPS = 2
_SNIFFED_BYTES = 256
_QUANTISED_OPERATORS = {"QLinearConv", "QLinearMatMul", "DequantizeLinear", "QuantizeLinear", "QGemm"}


@dataclass(frozen=True)
class Prepared:
    """What is compiled and run.

    Attributes:
        plan: for the network.
        quantised: the network.
    """

    plan: Plan
    quantised: QuantisedNetwork


class SourceOptions(TypedDict, total=False):
    """How a source becomes a plan and a quantised network; what is left out has the default named.

    Attributes:
        model: the network of a plan, where it is not (any more) at the place the plan names.
        array: (P1, P2); a plan for another array is made again for this one, with its own settings.
        algorithms: for a model, as ``dynamap_opt.map`` takes it; if None those that its weights allow.
        dataflows: for a model, likewise; all.
        cost: for a model, likewise; ``overlay``.
        input_shapes: likewise; none.
        allow_host: likewise; False.
        threads: likewise; 2.
        seed: of the random maps that calibrate a float network; 0.
    """

    model: api.ModelLike | QuantisedNetwork | None
    array: tuple[int, int] | None
    algorithms: Iterable[str] | None
    dataflows: Iterable[str] | None
    cost: str
    input_shapes: Mapping[str, Sequence[int]] | None
    allow_host: bool
    threads: int
    seed: int


def prepare(
    source: api.PlanLike | api.ModelLike | QuantisedNetwork,
    board: api.BoardLike | None = None,
    **options: Unpack[SourceOptions],
) -> Prepared:
    """Plan and quantise, as far as that is not done.

    Args:
        source: a plan or its file, or a model: zoo name, network, or ONNX file, float or quantised already.
        board: for a model; a plan has its own.
        options: :class:`SourceOptions`.

    Raises:
        DynamapError, ModelError: when plan, model or board cannot be read or do not belong together.
    """
    array, threads, seed = options.get("array"), options.get("threads", 2), options.get("seed", 0)
    plan = source if isinstance(source, Plan) else None
    if isinstance(source, str | os.PathLike) and is_plan_file(source):
        plan = load_plan(source)
    if plan is None:
        if board is None:
            raise DynamapError("a model needs a board, as --board alveo-u200; a plan has its own")
        assert not isinstance(source, Plan)
        shapes, algorithms = options.get("input_shapes"), options.get("algorithms")
        _, quantised = networks_of(source, shapes, seed)
        plan = map_network(
            quantised.network,
            board if isinstance(board, Board) else load_board(board),
            array=array,
            algorithms=_possible(quantised) if algorithms is None else algorithms,
            dataflows=options.get("dataflows"),
            cost=options.get("cost", "overlay"),
            allow_host=options.get("allow_host", False),
            threads=threads,
            source=api.lasting_source(os.fspath(source)) if isinstance(source, str | os.PathLike) else "",
            input_shapes={name: tuple(shape) for name, shape in (shapes or {}).items()},
        )
        return Prepared(plan, quantised)
    if board is not None:
        raise DynamapError("a plan has its own board; leave out --board, or give the model instead of the plan")
    place = options.get("model") or plan.model.source
    if not place:
        raise DynamapError("the plan does not say where its network is; give the model as well")
    network, quantised = networks_of(place, plan.model.input_shapes, seed)
    mapper = mapper_of(plan, network)  # refuses another network
    if array is not None and array != plan.array:
        settings = plan.settings
        plan = make_plan(
            mapper,
            mapper.explore(array, threads=threads),
            array=array,
            source=plan.model.source,
            input_shapes=plan.model.input_shapes,
            method=settings.method,
        )
    return Prepared(plan, quantised)


def _possible(quantised: QuantisedNetwork) -> list[str] | None:
    """Algorithms to choose from, all for None: Winograd's transforms have no room for a zero point of weights."""
    if not any(weights.zero_point for weights in quantised.weights.values()):
        return None
    return [name for name in ALGORITHMS if winograd_tile(name) is None]


def networks_of(
    source: api.ModelLike | QuantisedNetwork, input_shapes: Mapping[str, Sequence[int]] | None, seed: int
) -> tuple[Network, QuantisedNetwork]:
    """A network as plans are for it, and quantised: the same layers by name, and some that quantising puts between."""
    from dynamap_models.quantisation import import_quantised_onnx, quantise, random_inputs  # noqa: PLC0415 - loads onnx
    from dynamap_models.quantised import QuantisedNetwork  # noqa: PLC0415

    if isinstance(source, QuantisedNetwork):
        return source.network, source
    if not isinstance(source, Network) and is_quantised_file(source):
        quantised = import_quantised_onnx(source, input_shapes=input_shapes or None)
        return quantised.network, quantised
    network = source if isinstance(source, Network) else api.load_model(source, input_shapes=input_shapes or None)
    return network, quantise(network, random_inputs(network, _CALIBRATION_MAPS, seed))


def is_plan_file(source: str | os.PathLike[str]) -> bool:
    """Whether a path is that of a JSON file, as plans are, and not of an ONNX file or the name of a network."""
    try:
        with Path(source).open("rb") as file:
            return file.read(_SNIFFED_BYTES).lstrip()[:1] == b"{"
    except (OSError, ValueError):
        return False


def is_quantised_file(source: str | os.PathLike[str]) -> bool:
    """Whether an ONNX file has operators of quantised networks; False for what is no ONNX file."""
    from dynamap_models import ModelError  # noqa: PLC0415
    from dynamap_models.onnx_import.source import read_source  # noqa: PLC0415 - loads onnx

    if not Path(source).is_file():
        return False
    try:
        model = read_source(source).model
    except ModelError:  # whoever imports it says what is wrong
        return False
    return any(node.op_type in _QUANTISED_OPERATORS for node in model.graph.node)


def network_inputs(quantised: QuantisedNetwork, *, seed: int = 0) -> Inputs:
    """Inputs of one inference: random maps that calibration has not seen."""
    from dynamap_models.quantisation import random_inputs  # noqa: PLC0415 - loads onnx

    return random_inputs(quantised.network, _CALIBRATION_MAPS + 1, seed)[-1]
