"""From a path, bytes or a proto to a ``ModelProto`` that is known to hold a graph we may look at."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no types

from dynamap_models.errors import ModelError, UnsupportedOperatorError

__all__ = ["Source", "SourceLike", "read_source", "text_of"]

SourceLike = str | os.PathLike[str] | bytes | onnx.ModelProto

# Protocol buffers cannot hold more, whatever the operating system says of the file.
_LARGEST_FILE_BYTES = 2**31 - 1
_DEFAULT_DOMAINS = ("", "ai.onnx")


@dataclass(frozen=True)
class Source:
    """A model and where it came from.

    Attributes:
        model: the parsed file; tensors are read from it when they are asked for, so it must not change afterwards.
        label: how messages call it.
        name: what to call the network when nobody says otherwise.
        opset: version of the default operator set.
        folder: where external data lies; None for bytes and protos, which have no place of their own.
    """

    model: onnx.ModelProto
    label: str
    name: str
    opset: int
    folder: Path | None


def read_source(source: SourceLike) -> Source:
    """Parse ``source`` and check all that can be checked without looking at a node.

    The bytes of a file are held once: in the parsed model.

    Raises:
        ModelError: when the file cannot be read, is not an ONNX model, or uses what this package does not read.
        UnsupportedOperatorError: when the model defines operators of its own (local functions).
    """
    folder: Path | None = None
    match source:
        case onnx.ModelProto():
            model, label, stem = source, "the model", ""
        case bytes():
            label, stem = "the model", ""
            model = _parse(source, label)
        case str() | os.PathLike():
            path = Path(source)
            label, stem, folder = f"file {str(path)!r}", path.stem, path.parent
            model = _parse(_read_bytes(path, label), label)
        case _:
            raise ModelError(f"an ONNX model must be a path, bytes or a ModelProto, not {type(source).__name__}")
    opset = _check_model(model, label)
    return Source(
        model=model, label=label, name=text_of(model.graph.name) or stem or "network", opset=opset, folder=folder
    )


def text_of(value: object) -> str:
    """A name from a proto, which is bytes where the file holds something else than UTF-8.

    Raises:
        ModelError: for such a name.
    """
    if not isinstance(value, str):
        raise ModelError(f"the file holds a name that is not text ({value!r}); it is damaged")
    return value


def _read_bytes(path: Path, label: str) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISREG(status.st_mode) and status.st_size <= _LARGEST_FILE_BYTES:
            return path.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"{label} does not exist; check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ModelError(f"{label} cannot be read: {reason}") from error
    if stat.S_ISDIR(status.st_mode):
        raise ModelError(f"{label} is a directory; give the .onnx file inside it")
    if not stat.S_ISREG(status.st_mode):  # reading a pipe could wait for ever
        raise ModelError(f"{label} is not a regular file; give the path of an .onnx file")
    raise ModelError(f"{label} is larger than 2 GiB, which no ONNX file can be; store its weights as external data")


def _parse(data: bytes, label: str) -> onnx.ModelProto:
    if not data:
        raise ModelError(f"{label} is empty; an ONNX model has at least a graph")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"{label} is not an ONNX model, or is truncated: it does not parse as a protocol buffer; export it again"
        ) from error
    return model


def _check_model(model: onnx.ModelProto, label: str) -> int:
    """The version of the default operator set, after checking the model's frame."""
    if not model.HasField("graph") or (not model.graph.node and not model.graph.output):
        raise ModelError(f"{label} is not an ONNX model, or is truncated: it holds no graph; export it again")
    if not model.graph.node:
        raise ModelError(f"{label} holds a graph without a single node; there is nothing to map")
    if not model.graph.output:
        raise ModelError(f"{label} holds a graph without outputs; name at least one output when exporting it")
    if model.functions:
        names = ", ".join(repr(function.name) for function in model.functions[:3])
        raise UnsupportedOperatorError(
            f"{label} defines local functions ({names}), which are not supported; inline them (onnx.inliner) first"
        )
    if model.graph.sparse_initializer:
        raise ModelError(f"{label} stores sparse initializers, which are not supported; store them as dense tensors")
    versions = [entry.version for entry in model.opset_import if entry.domain in _DEFAULT_DOMAINS]
    # Files of IR version 1 and 2 carry no operator-set version: theirs is the first.
    opset = max(versions, default=1 if model.ir_version < 3 else 0)
    newest = onnx.defs.onnx_opset_version()
    if not 1 <= opset <= newest:
        raise ModelError(
            f"{label} uses operator set {opset}, but the installed onnx package knows 1 to {newest}; "
            "export it with one of those or install a newer onnx"
        )
    return opset
