"""Files in and out, for every format: bounded reading, gzip by content, writing that is whole or not at all."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from dynamap_solvers.errors import ProblemError

__all__ = ["MAX_BYTES", "load", "located", "save"]

MAX_BYTES = 2**30
"""Longer texts are refused, before and after unpacking, so that a small file cannot fill the memory."""

_PIECE_BYTES = 2**20
_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def load(path: str | os.PathLike[str]) -> bytes:
    """The text of a file, unpacked where it is gzipped; that is told by its first bytes, not by its name.

    Raises:
        ProblemError: if the text is longer than :data:`MAX_BYTES` or the gzip data is damaged.
        OSError: if the file cannot be opened.
    """
    with Path(path).open("rb") as file:
        data = _read(file)
    if data.startswith(_GZIP_MAGIC):
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as unpacked:
                data = _read(unpacked)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ProblemError(f"the gzip data is damaged or cut off ({error}).") from error
    return data.removeprefix(_BYTE_ORDER_MARK)


def _read(file: IO[bytes] | gzip.GzipFile) -> bytes:
    """All of it, piece by piece: asked for all at once, a small file would take the memory of the largest."""
    pieces = []
    length = 0
    while piece := file.read(_PIECE_BYTES):
        pieces.append(piece)
        length += len(piece)
        if length > MAX_BYTES:
            raise ProblemError(f"the text is longer than {MAX_BYTES} bytes.")
    return b"".join(pieces)


@contextlib.contextmanager
def located(path: str | os.PathLike[str]) -> Iterator[None]:
    """Whatever is refused inside is refused with the file's name in front."""
    try:
        yield
    except ProblemError as error:
        raise ProblemError(f"{os.fspath(path)}: {error}") from error


def save(path: str | os.PathLike[str], data: bytes) -> None:
    """Write beside the target, then rename: a reader sees the old file or the new one. ``.gz`` at the end packs.

    Raises:
        OSError: if the file cannot be written; then the old one is as it was.
    """
    target = Path(path)
    if target.suffix == ".gz":
        data = gzip.compress(data, mtime=0)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)  # mkstemp makes it private; the file shall be as any other
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
