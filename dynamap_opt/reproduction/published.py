"""Published figures and claims, from one file, each with its source and how far it is to be trusted."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import msgspec

from dynamap_models.zoo import model_names
from dynamap_opt.board import board_names
from dynamap_opt.errors import DynamapError
from dynamap_opt.files import reason_of

__all__ = ["CLAIM_KINDS", "MEASURES", "REMEMBERED", "Claim", "Figure", "Published", "load_published", "parse_published"]

#: How a figure says what it measured; each has exactly one.
MEASURES = ("latency_ms", "images_per_second", "tera_operations_per_second")
#: What a claim needs besides its text, by kind.
CLAIM_KINDS: dict[str, tuple[str, ...]] = {
    "strategies": (),
    "series-parallel": (),
    "speed-up": ("network", "value", "of", "over"),
    "array": ("network", "array"),
    "latency": ("network", "value", "array"),
    "optimisation-time": ("value",),
}
#: How a figure that was not checked is printed.
REMEMBERED = "remembered, not checked against the text"
_TRUST = ("published", "remembered")
_MOST = 1e9


class Figure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a design does with one network at batch 1.

    Attributes:
        id: unique.
        design: its name.
        network: zoo name.
        board: preset of the device.
        latency_ms: of one image; this or one of the next two.
        images_per_second: a throughput, from which no latency follows.
        tera_operations_per_second: likewise, two operations a multiply-accumulate.
        precision: as ``INT8``.
        clock_mhz: of the design; None where not stated.
        dsp: slices the design takes; None where not stated.
        trust: ``published`` or ``remembered``.
        source: where it stands.
    """

    id: str
    design: str
    network: str
    board: str
    precision: str
    trust: str
    source: str
    latency_ms: float | None = None
    images_per_second: float | None = None
    tera_operations_per_second: float | None = None
    clock_mhz: float | None = None
    dsp: int | None = None


class Claim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something the paper says that can be checked here.

    Attributes:
        id: unique.
        kind: what it is about, one of :data:`CLAIM_KINDS`.
        text: for people.
        trust: ``published`` or ``remembered``.
        network: zoo name; empty for all.
        value: the number claimed: a ratio, milliseconds or seconds.
        array: (P1, P2).
        of: id of the figure a speed-up is of.
        over: id of the figure it is over.
    """

    id: str
    kind: str
    text: str
    trust: str
    network: str = ""
    value: float | None = None
    array: tuple[int, int] | None = None
    of: str = ""
    over: str = ""


@dataclass(frozen=True)
class Published:
    """All figures and claims."""

    figures: tuple[Figure, ...]
    claims: tuple[Claim, ...]

    def figure(self, name: str) -> Figure:
        """The figure of that id.

        Raises:
            KeyError: when there is none.
        """
        return {figure.id: figure for figure in self.figures}[name]


class _File(msgspec.Struct, forbid_unknown_fields=True):
    figure: tuple[Figure, ...] = ()
    claim: tuple[Claim, ...] = ()


def load_published(path: str | os.PathLike[str] | None = None) -> Published:
    """The figures and claims of a file, or those that come with this package.

    Raises:
        DynamapError: when the file cannot be read, or an entry breaks a rule.
    """
    if path is None:
        text = resources.files(__package__).joinpath("published.toml").read_text("utf-8")
        return parse_published(text)
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, ValueError) as error:
        raise DynamapError(f"cannot read {str(path)!r}: {reason_of(error)}; give a TOML file of figures") from None
    return parse_published(text, origin=str(path))


def parse_published(text: str, *, origin: str = "published.toml") -> Published:
    """The figures and claims of a TOML text; ``origin`` names it in messages.

    Raises:
        DynamapError: naming the entry, the rule and the fix.
    """
    try:
        file = msgspec.convert(tomllib.loads(text), _File)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, RecursionError) as error:
        reason = f"{error}".replace("Object", "an entry")
        raise DynamapError(f"{origin!r} holds no published figures: {reason}; correct that entry") from None
    published = Published(file.figure, file.claim)
    entries: tuple[Figure | Claim, ...] = (*published.figures, *published.claims)
    seen: set[str] = set()
    for entry in entries:
        fault = _fault(entry, published)
        if entry.id in seen:
            fault = "has an id that another has; give each its own"
        seen.add(entry.id)
        if fault is not None:
            kind = "figure" if isinstance(entry, Figure) else "claim"
            raise DynamapError(f"{origin!r}: {kind} {entry.id!r} {fault}")
    return published


def _fault(entry: Figure | Claim, published: Published) -> str | None:
    """What is wrong with an entry, as the rest of a sentence."""
    if not entry.id or not entry.id.isprintable():
        return "has no printable id; give it one"
    if entry.trust not in _TRUST:
        return f"has trust {entry.trust!r}; give one of {', '.join(_TRUST)}"
    if entry.network not in model_names() and (isinstance(entry, Figure) or entry.network):
        return f"is of network {entry.network!r}, which the zoo has not; give one that 'dynamap models' lists"
    return _figure_fault(entry) if isinstance(entry, Figure) else _claim_fault(entry, published)


def _figure_fault(figure: Figure) -> str | None:
    if figure.board not in board_names():
        return f"is on board {figure.board!r}, which is no preset; give one that 'dynamap boards' lists"
    given = [name for name in MEASURES if getattr(figure, name) is not None]
    if len(given) != 1:
        found = " and ".join(given) or "none"
        return f"must have one of {', '.join(MEASURES)}, and it has {found}; keep the one that was published"
    for name in (*given, "clock_mhz", "dsp"):
        value = getattr(figure, name)
        if value is not None and not 0 < value < _MOST:
            return f"has {name} = {value}; give a number above 0"
    if not figure.source or not figure.precision or not figure.design:
        return "must say its design, precision and source; add what is empty"
    return None


def _claim_fault(claim: Claim, published: Published) -> str | None:
    needs = CLAIM_KINDS.get(claim.kind)
    if needs is None:
        return f"is of kind {claim.kind!r}; give one of {', '.join(CLAIM_KINDS)}"
    for name in ("network", "value", "array", "of", "over"):
        has = bool(getattr(claim, name))
        if has != (name in needs):
            rule, fix = ("must not have", "leave it out") if has else ("needs", "add it")
            return f"of kind {claim.kind!r} {rule} {name}; {fix}"
    if claim.value is not None and not 0 < claim.value < _MOST:
        return f"has value = {claim.value}; give a number above 0"
    if claim.array is not None and min(claim.array) < 1:
        return f"has array {claim.array}; give two numbers of at least 1"
    latencies = {figure.id for figure in published.figures if figure.latency_ms is not None}
    for name in ("of", "over"):
        if getattr(claim, name) and getattr(claim, name) not in latencies:
            return f"names figure {getattr(claim, name)!r}, and there is no latency of that id; give one there is"
    return None
