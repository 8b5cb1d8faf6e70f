"""Running compiled networks on the RTL, and independent tasks on processes or a cluster."""

from __future__ import annotations
