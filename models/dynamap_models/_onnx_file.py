"""ONNX models to files."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ModelError

if TYPE_CHECKING:
    import onnx

__all__ = ["write_model"]


def write_model(model: onnx.ModelProto, path: str | os.PathLike[str]) -> None:
    """Write a model to a file, which appears complete or not at all.

    Raises:
        ModelError: when the file cannot be written.
    """
    target = Path(path)
    data = model.SerializeToString(deterministic=True)
    # In the same directory, because only within one file system is replacing a file atomic.
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
        temporary.replace(target)
    except OSError as error:
        raise ModelError(f"cannot write the ONNX file {str(target)!r}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):  # gone already, or the directory is what the error above is about
            temporary.unlink()
