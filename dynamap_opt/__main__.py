"""The command ``dynamap``, also as ``python -m dynamap_opt``."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> int:
    """Run the command of the process's arguments; its exit code, also for an interrupt while packages still load."""
    try:
        from .cli import main as run  # noqa: PLC0415 - loads for a second

        return run()
    except KeyboardInterrupt:
        sys.stderr.write("dynamap: interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
