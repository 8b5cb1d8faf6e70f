"""A compiled network as a file: a line of magic and checksum, a line of JSON, the image. Strict: damage is refused.

The checksum (SHA-256) covers everything behind it, so that a file is either what was written or refused; its programs
are checked against the instruction set as well, for who writes such files by other means.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from dynamap_opt.files import reason_of, write_bytes
from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.program.layer import TensorPlace

from .compiled import CompilationError, CompiledLayer, CompiledNetwork
from .expansion import StoredWindows

__all__ = ["PROGRAM_SCHEMA", "load_compiled", "save_compiled"]

PROGRAM_SCHEMA = "dynamap/program/1"

# The image of a network is at most the memory an overlay addresses; the text before it is small beside it.
_MAX_BYTES = (1 << 32) + (1 << 28)


class _Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything but the image."""

    model: str
    fingerprint: str
    circuit: CircuitParameters
    tensors: dict[str, TensorPlace]
    inputs: tuple[str, ...]
    expanded: dict[str, StoredWindows]
    layers: tuple[CompiledLayer, ...]
    tensor_bytes: int
    image_bytes: int


def save_compiled(compiled: CompiledNetwork, path: str | os.PathLike[str]) -> None:
    """Write the file: whole or not at all.

    Raises:
        DynamapError: when it cannot be written.
    """
    header = _Header(
        model=compiled.model,
        fingerprint=compiled.fingerprint,
        circuit=compiled.circuit,
        tensors=dict(compiled.tensors),
        inputs=compiled.inputs,
        expanded=dict(compiled.expanded),
        layers=compiled.layers,
        tensor_bytes=compiled.tensor_bytes,
        image_bytes=len(compiled.image),
    )
    body = msgspec.json.encode(header) + b"\n" + compiled.image
    checksum = hashlib.sha256(body).hexdigest()
    write_bytes(path, f"{PROGRAM_SCHEMA} {checksum}\n".encode() + body)


def load_compiled(path: str | os.PathLike[str]) -> CompiledNetwork:
    """Read a file and check every program in it.

    Raises:
        CompilationError: when there is no such file, it is not a compiled network or damaged, or a program in it is
            not one for its overlay.
    """
    origin = str(path)
    try:
        if not Path(path).is_file():
            raise CompilationError(f"there is no file {origin!r}; give one that 'dynamap compile MODEL -o FILE' wrote")
        with Path(path).open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, CompilationError):
            raise
        raise CompilationError(f"cannot read {origin!r}: {reason_of(error)}") from None
    first, _, body = content.partition(b"\n")
    schema, _, checksum = first.partition(b" ")
    if schema != PROGRAM_SCHEMA.encode():
        raise CompilationError(f"{origin!r} is not a compiled network; write one with 'dynamap compile MODEL -o FILE'")
    if hashlib.sha256(body).hexdigest().encode() != checksum:
        raise CompilationError(f"{origin!r} is damaged: its checksum does not hold; compile the network again")
    text, _, image = body.partition(b"\n")
    try:
        header = msgspec.json.decode(text, type=_Header)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise CompilationError(f"{origin!r} is not a compiled network of this version: {error}") from None
    compiled = CompiledNetwork(
        model=header.model,
        fingerprint=header.fingerprint,
        circuit=header.circuit,
        tensors=header.tensors,
        inputs=header.inputs,
        expanded=header.expanded,
        layers=header.layers,
        tensor_bytes=header.tensor_bytes,
        image=image,
    )
    _check_places(compiled, header.image_bytes, origin)
    compiled.check()
    return compiled


def _check_places(compiled: CompiledNetwork, image_bytes: int, origin: str) -> None:
    """Everything must lie where it says it does."""
    end = compiled.tensor_bytes + len(compiled.image)
    wrong = len(compiled.image) != image_bytes or compiled.tensor_bytes < 0
    for place in (*compiled.tensors.values(), *(layer.target for layer in compiled.layers if layer.target is not None)):
        sizes = (place.height, place.width, place.channels)
        last = place.address + (place.pixels - 1) * place.pixel_pitch + place.channels
        wrong |= min(sizes) < 1 or not place.channels <= place.pixel_pitch or place.address < 0
        wrong |= last > compiled.tensor_bytes
    wrong |= any(name not in compiled.tensors for name in compiled.inputs)
    for name, windows in compiled.expanded.items():
        stored = compiled.tensors.get(name)
        wrong |= stored is None or (windows.rows, windows.columns) != (stored.height, stored.width)
    for layer in compiled.layers:
        wrong |= layer.output not in compiled.tensors and layer.program_bytes > 0
        wrong |= any(name not in compiled.tensors for name in layer.inputs) and layer.program_bytes > 0
        wrong |= (layer.target is None) != (layer.program_bytes == 0)
        for address, size in (
            (layer.constants_address, layer.constants_bytes),
            (layer.program_address, layer.program_bytes),
        ):
            wrong |= size < 0 or (size > 0 and not compiled.tensor_bytes <= address <= end - size)
    if wrong:
        raise CompilationError(f"{origin!r} names places outside its memory; compile the network again")
