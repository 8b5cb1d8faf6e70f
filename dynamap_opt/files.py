"""Writing files whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from .errors import DynamapError

__all__ = ["reason_of", "write_bytes", "write_text"]


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file in UTF-8, as :func:`write_bytes` does.

    Raises:
        DynamapError: when it cannot be written, or the text is no Unicode.
    """
    try:
        content = text.encode("utf-8")
    except UnicodeError as error:
        raise DynamapError(f"cannot write {str(path)!r}: {reason_of(error)}; choose another place") from None
    write_bytes(path, content)


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file by way of a temporary one beside it, so that no half-written file can be seen.

    Raises:
        DynamapError: when the folder does not exist or cannot be written, or the disk is full.
    """
    target = Path(path)
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:64]}.")
    except (OSError, ValueError) as error:
        raise DynamapError(f"cannot write {str(target)!r}: {reason_of(error)}; choose another folder") from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)  # noqa: PTH101 - the temporary's mode is private; the file's is the usual one
        os.replace(temporary, target)  # noqa: PTH105 - replaces atomically, which is the point
    except BaseException as error:  # an interrupt leaves nothing behind either
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise DynamapError(f"cannot write {str(target)!r}: {reason_of(error)}; choose another place") from None
        raise


def reason_of(error: Exception) -> str:
    """The system's own words, in lower case."""
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)).lower()
