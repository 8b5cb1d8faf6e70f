"""The paper, reproduced: every comparison that can be made here, part by part, kept as it is done."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

import dynamap_models
import dynamap_rtl
import dynamap_solvers
from dynamap_models.ir import Network
from dynamap_opt.api import lasting_source
from dynamap_opt.board import Board, load_board
from dynamap_opt.costs import PRESETS
from dynamap_opt.errors import DynamapError
from dynamap_opt.execution.tasks import ExecutorLike, run_tasks
from dynamap_opt.execution.work import WorkFolder
from dynamap_opt.plan import fingerprint
from dynamap_opt.study import SurveyRow

from .bounds import ComputeBounds
from .parts import (
    VARIANTS,
    Model,
    array_part,
    bounds_part,
    network_of,
    network_part,
    other_part,
    residency_part,
    time_part,
    variant_part,
)
from .published import Claim, Figure, Published, load_published
from .results import (
    ArrayResult,
    Check,
    NetworkResult,
    ResidencyResult,
    TimeResult,
    VariantResult,
)
from .verdicts import Findings, Verdict, judge

__all__ = ["BOARD", "NETWORKS", "PARTS", "Beside", "Reproduction", "reproduce"]

#: The paper's.
NETWORKS, BOARD = ("googlenet", "inception-v4"), "alveo-u200"
#: What can be asked for.
PARTS = ("strategies", "bounds", "published", "beyond", "time")


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """A published figure beside ours for the same network on the same device.

    Attributes:
        figure: what was published.
        macs: direct multiply-accumulates of the network as we have it.
        published_s: latency, or the time an image takes at the published throughput.
        ours_s: latency by preset.
        dsp: slices the design takes, or the device has; see ``dsp_of_device``.
        dsp_of_device: whether the design's own are not stated.
        macs_per_dsp_cycle: direct multiply-accumulates a slice and cycle; None where no clock is stated.
        scaled_s: the published time, had the design as many slices and as fast a clock as ours; None likewise.
    """

    figure: Figure
    macs: int
    published_s: float
    ours_s: dict[str, float]
    dsp: int
    dsp_of_device: bool
    macs_per_dsp_cycle: float | None
    scaled_s: float | None


class Reproduction(msgspec.Struct, frozen=True, kw_only=True):
    """Everything found.

    Attributes:
        board: on which.
        networks: results by network and preset.
        arrays: on the arrays the paper reports, as they are and with rows and columns exchanged.
        bounds: what no mapping can go below.
        variants: beyond the paper's choices.
        residency: what tensors on chip would be worth.
        others: other boards and networks.
        beside: published figures beside ours.
        times: how long optimisation takes.
        claims: what was published.
        verdicts: on them.
        reused: parts that were there already.
        parts: all of them.
    """

    board: Board
    networks: tuple[NetworkResult, ...]
    arrays: tuple[ArrayResult, ...]
    bounds: tuple[ComputeBounds, ...]
    variants: tuple[VariantResult, ...]
    residency: tuple[ResidencyResult, ...]
    others: tuple[tuple[str, SurveyRow], ...]
    beside: tuple[Beside, ...]
    times: tuple[TimeResult, ...]
    claims: tuple[Claim, ...]
    verdicts: tuple[Verdict, ...]
    reused: int
    parts: int

    @property
    def checks(self) -> tuple[tuple[str, Check], ...]:
        """What must hold, with whose it is."""
        owners: list[tuple[str, tuple[Check, ...]]] = [
            *((f"{one.network} under {one.preset}", one.checks) for one in self.networks),
            *((f"{one.network} with tensors on chip", one.checks) for one in self.residency),
        ]
        return tuple((owner, check) for owner, checks in owners for check in checks)

    @property
    def holds(self) -> bool:
        """Whether everything holds that must."""
        return all(check.holds for _, check in self.checks)


@dataclass(frozen=True)
class _Part:
    """A question with what it is asked of; ``label`` is for people."""

    label: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


def _run(part: _Part) -> Any:
    return part.function(*part.arguments)


def reproduce(
    networks: Sequence[str | os.PathLike[str] | Network] | None = None,
    board: str | os.PathLike[str] | Board = BOARD,
    *,
    presets: Iterable[str] = PRESETS,
    parts: Iterable[str] = PARTS,
    published: Published | None = None,
    work: str | os.PathLike[str] | None = None,
    jobs: int = 1,
    executor: ExecutorLike = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Reproduction:
    """Make every comparison of the DYNAMAP paper that can be made here, and what goes beyond it.

    Args:
        networks: zoo names, ONNX files or, where everything runs in this process, networks; the paper's for None, and
            then published figures of others stand beside ours as well.
        board: the paper's unless another is given; operators the overlay lacks are left to the host.
        presets: cost presets.
        parts: what is wanted: ``strategies`` (fixed ones, the two-step search, layers), ``bounds``, ``published``
            (others' figures, other boards and networks), ``beyond`` (more algorithms, two products a slice, tensors on
            chip), ``time``.
        published: figures and claims; those of this package for None.
        work: folder that keeps every part as it is done, so that an interrupted run goes on.
        jobs: processes, where ``executor`` is None; times are taken by one alone.
        executor: ``dask://host:port`` or an executor; its workers must find the files.
        progress: called with (parts done, parts in all, the part done last).

    Raises:
        DynamapError, ModelError: when something cannot be read, mapped or kept.
    """
    chosen, wanted = _among("preset", presets, PRESETS), _among("part", parts, PARTS)
    figures = load_published() if published is None else published
    found_board = board if isinstance(board, Board) else load_board(board)
    given = [m if isinstance(m, Network) else os.fspath(m) for m in (NETWORKS if networks is None else networks)]
    if not given:
        raise DynamapError("no network is left to reproduce anything for; name at least one")
    models: dict[str, Model] = {}
    for model in given:
        lasting = model if isinstance(model, Network) else lasting_source(model)
        name = network_of(lasting).name
        if name in models:
            raise DynamapError(f"network {name!r} is named twice; name each once")
        models[name] = lasting
    beside = [f for f in figures.figures if "published" in wanted and (networks is None or f.network in models)]
    planned = _planned(models, found_board, chosen, wanted, figures, beside)
    with contextlib.ExitStack() as stack:
        folder = None
        if work is not None:
            facts = {"board": found_board.name, "version": version("dynamap-opt"), "code": _code()}
            digest = hashlib.sha256(msgspec.json.encode([facts, found_board.as_dict()])).hexdigest()
            folder = stack.enter_context(WorkFolder(work, digest, facts))
        results, reused = _results(planned, folder, jobs, executor, progress)
    findings = Findings(
        board=found_board,
        asked=tuple(models),
        networks=_of(results, NetworkResult),
        arrays=_of(results, ArrayResult),
        bounds=_of(results, ComputeBounds),
        variants=_of(results, VariantResult),
        times=_of(results, TimeResult),
    )
    others = tuple(
        (part.arguments[2], row) for part, row in zip(planned, results, strict=True) if isinstance(row, SurveyRow)
    )
    return Reproduction(
        board=found_board,
        networks=findings.networks,
        arrays=findings.arrays,
        bounds=findings.bounds,
        variants=findings.variants,
        residency=_of(results, ResidencyResult),
        others=others,
        beside=tuple(_beside(figure, others, found_board) for figure in beside),
        times=findings.times,
        claims=figures.claims,
        verdicts=judge(figures, findings),
        reused=reused,
        parts=len(planned),
    )


def _among(what: str, given: Iterable[str], known: Sequence[str]) -> tuple[str, ...]:
    wanted = list(given)
    for name in wanted:
        if name not in known:
            raise DynamapError(f"unknown {what} {name!r}; give names among {', '.join(known)}")
    if not wanted:
        raise DynamapError(f"no {what} is left; name at least one of {', '.join(known)}")
    return tuple(name for name in known if name in wanted)


def _planned(
    models: dict[str, Model],
    board: Board,
    presets: Sequence[str],
    wanted: Sequence[str],
    published: Published,
    beside: Sequence[Figure],
) -> list[_Part]:
    """The parts, quick ones first; times last."""
    found: list[_Part] = []
    arrays = {(c.network, c.array) for c in published.claims if c.array is not None and c.network in models}
    if "bounds" in wanted:
        for name, array in sorted(arrays):
            found.append(_Part(f"bounds of {name}", bounds_part, (models[name], array)))
    for preset in reversed(presets):  # published costs are quick
        if "strategies" in wanted:
            for name, array in sorted(arrays):
                # As reported, and with rows and columns exchanged: which are which is a matter of convention.
                for shape in dict.fromkeys((array, array[::-1])):
                    label = f"{name} on {shape[0]}x{shape[1]}, {preset}"
                    found.append(_Part(label, array_part, (models[name], board, preset, shape)))
            for name, model in models.items():
                found.append(_Part(f"strategies for {name}, {preset}", network_part, (model, board, preset)))
        for network, device in dict.fromkeys((f.network, f.board) for f in beside):
            label = f"{network} on {device}, {preset}"
            found.append(_Part(label, other_part, (network, _device(device, board), preset)))
        if "beyond" in wanted:
            for name, model in models.items():
                if preset == "paper":
                    found.append(_Part(f"{name} with tensors on chip", residency_part, (model, board)))
                for variant in VARIANTS[preset]:
                    label = f"{name}, {variant}, {preset}"
                    found.append(_Part(label, variant_part, (model, board, preset, variant)))
    if "time" in wanted:
        for preset in reversed(presets):
            for name, model in models.items():
                found.append(_Part(f"time for {name}, {preset}", time_part, (model, board, preset)))
    return found


def _device(name: str, board: Board) -> Board:
    """A preset, or the board in hand if that is the one."""
    return board if board.name == name else load_board(name)


def _results(
    planned: Sequence[_Part],
    folder: WorkFolder | None,
    jobs: int,
    executor: ExecutorLike,
    progress: Callable[[int, int, str], None] | None,
) -> tuple[list[Any], int]:
    """Every part's result, those that are kept already or else anew, and how many were kept."""
    names = [_file_name(part) for part in planned]
    results: dict[int, Any] = {}
    if folder is not None:
        for number, (part, name) in enumerate(zip(planned, names, strict=True)):
            kept = folder.kept(name, get_type_hints(part.function)["return"])
            if kept is not None:
                results[number] = kept
    reused = len(results)
    left = [number for number in range(len(planned)) if number not in results]
    # Times are taken when nothing else runs.
    timed = [number for number in left if planned[number].function is time_part]
    beside = [number for number in left if planned[number].function is not time_part]
    for group, width, runner in ((beside, jobs, executor), (timed, 1, None)):
        tasks = [planned[number] for number in group]
        for index, result in run_tasks(_run, tasks, jobs=min(width, max(1, len(tasks))), executor=runner):
            number = group[index]
            results[number] = result
            if folder is not None:
                folder.keep(names[number], result)
            if progress is not None:
                progress(len(results), len(planned), planned[number].label)
    return [results[number] for number in range(len(planned))], reused


def _file_name(part: _Part) -> str:
    """A name for people with a digest of everything the result depends on but the code."""
    model, *others = part.arguments
    seen = [argument.as_dict() if isinstance(argument, Board) else argument for argument in others]
    facts = [part.function.__name__, fingerprint(network_of(model)), seen]
    words = re.sub(r"[^a-z0-9]+", "-", part.label.lower()).strip("-")[:60]
    return f"{words}-{hashlib.sha256(msgspec.json.encode(facts)).hexdigest()[:12]}"


def _code() -> str:
    """A digest of the code that results come from; what only tells of them is left out."""
    digest = hashlib.sha256()
    telling = ("dynamap_opt/cli/", "dynamap_opt/reproduction/")
    asking = tuple(f"dynamap_opt/reproduction/{name}.py" for name in ("bounds", "parts", "results"))
    for package in (dynamap_models, dynamap_rtl, dynamap_solvers, sys.modules["dynamap_opt"]):
        root = Path(str(package.__file__)).parent
        for path in sorted(root.rglob("*.py")):
            name = path.relative_to(root.parent).as_posix()
            if name in asking or not name.startswith(telling):
                digest.update(name.encode() + path.read_bytes())
    return digest.hexdigest()


def _of(results: Iterable[Any], kind: type[Any]) -> tuple[Any, ...]:
    return tuple(result for result in results if isinstance(result, kind))


def _beside(figure: Figure, others: Sequence[tuple[str, SurveyRow]], board: Board) -> Beside:
    device = _device(figure.board, board)
    macs = network_of(figure.network).macs
    if figure.latency_ms is not None:
        seconds = figure.latency_ms / 1e3
    elif figure.images_per_second is not None:
        seconds = 1 / figure.images_per_second
    else:
        assert figure.tera_operations_per_second is not None
        seconds = 2 * macs / (figure.tera_operations_per_second * 1e12)
    dsp = figure.dsp or device.dsp
    cycles = None if figure.clock_mhz is None else seconds * figure.clock_mhz * 1e6 * dsp
    return Beside(
        figure=figure,
        macs=macs,
        published_s=seconds,
        ours_s={
            preset: row.latency_s for preset, row in others if (row.model, row.board) == (figure.network, device.name)
        },
        dsp=dsp,
        dsp_of_device=figure.dsp is None,
        macs_per_dsp_cycle=None if cycles is None else macs / cycles,
        scaled_s=None if cycles is None else cycles / (device.array_dsp * device.clock_hz),
    )
