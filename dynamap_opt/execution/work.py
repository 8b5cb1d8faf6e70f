"""Where a run keeps the results of its layers, or of its parts, so that it goes on where it was interrupted.

Every run has a folder of its own below the one the caller names, called after what it computes: runs of other plans,
models, inputs or versions do not meet. A result is a file that appears whole or not at all. While a run is at work it
holds a lock, which ends with its process.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from dynamap_opt.errors import DynamapError
from dynamap_opt.files import reason_of, write_bytes

from .layer_run import LayerOutcome

__all__ = ["WorkFolder"]

Kept = TypeVar("Kept")

_SCHEMA = "dynamap/run/1"
_NAME_DIGITS = 16


class WorkFolder:
    """The folder of one run; to be used in a ``with`` statement.

    Args:
        root: folder that the caller names; made if it is not there.
        fingerprint: of everything the results depend on, in hexadecimal.
        facts: what people may want to know of the run.

    Raises:
        DynamapError: when the folder cannot be made or written, holds another run under the same name, or a run is at
            work in it.
    """

    def __init__(self, root: str | os.PathLike[str], fingerprint: str, facts: dict[str, Any]) -> None:
        self.path = Path(root) / fingerprint[:_NAME_DIGITS]
        self._fingerprint, self._facts = fingerprint, facts
        self._lock: IO[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = (self.path / "lock").open("wb")
        except (OSError, ValueError) as error:
            raise DynamapError(
                f"cannot keep results in {str(self.path)!r}: {reason_of(error)}; name another folder with --work"
            ) from None
        try:
            _lock(self._lock)
            self._claim()
        except BaseException:
            self._lock.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._lock is not None
        self._lock.close()

    def _claim(self) -> None:
        for left in self.path.glob(".*"):  # what a process that was killed was about to write
            left.unlink(missing_ok=True)
        record = self.path / "run.json"
        if record.exists():
            try:
                found = msgspec.json.decode(record.read_bytes())
            except (OSError, msgspec.MsgspecError):
                found = None
            if not isinstance(found, dict) or found.get("fingerprint") != self._fingerprint:
                raise DynamapError(
                    f"{str(self.path)!r} holds another run, or a damaged one; remove it or name another folder with "
                    "--work"
                )
            return
        document = {"schema": _SCHEMA, "fingerprint": self._fingerprint, **self._facts}
        write_bytes(record, msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")

    def kept(self, name: str, kind: type[Kept]) -> Kept | None:
        """The result of that name, if it was stored and is one of ``kind``; damaged ones do not count."""
        try:
            return msgspec.json.decode((self.path / f"{name}.json").read_bytes(), type=kind)
        except (OSError, msgspec.MsgspecError):
            return None

    def keep(self, name: str, result: object) -> None:
        """Store a result that msgspec can write under a name that can be a file's.

        Raises:
            DynamapError: when it cannot be written.
        """
        write_bytes(self.path / f"{name}.json", msgspec.json.encode(result) + b"\n")

    def outcome(self, index: int) -> LayerOutcome | None:
        """The result of a layer, if it was stored; damaged ones do not count."""
        return self.kept(_layer(index), LayerOutcome)

    def store(self, index: int, outcome: LayerOutcome, values: NDArray[np.uint8] | None = None) -> None:
        """Store the result of a layer, and what it wrote if that is given.

        Raises:
            DynamapError: when it cannot be written.
        """
        if values is not None:
            content = io.BytesIO()
            np.save(content, values, allow_pickle=False)
            write_bytes(self.path / f"{_layer(index)}.npy", content.getvalue())
        self.keep(_layer(index), outcome)

    def values(self, index: int, shape: tuple[int, int, int]) -> NDArray[np.uint8] | None:
        """What a layer wrote, if it was stored."""
        try:
            found = np.load(self.path / f"{_layer(index)}.npy", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return found if found.shape == shape and found.dtype == np.uint8 else None


def _layer(index: int) -> str:
    return f"layer-{index:05}"


def _lock(file: IO[bytes]) -> None:
    try:
        import fcntl  # noqa: PLC0415 - not on Windows, where two runs at once only do the same work twice
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise DynamapError(
            f"the same run is at work in {str(Path(file.name).parent)!r}; wait for it, or name another folder with "
            "--work"
        ) from None
