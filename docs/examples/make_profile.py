"""Makes up ``profile.csv`` for ``primitive_selection.py``, in the form a benchmark would write it."""

from __future__ import annotations

import csv
import random
from pathlib import Path

ROUTINES = [  # name, the layout it reads, the layout it writes
    ("direct", "chw", "chw"),
    ("im2col", "chw", "chw"),
    ("gemm", "hwc", "hwc"),
    ("gemm-t", "chw", "hwc"),
    ("winograd", "hwc", "hwc"),
    ("fft", "chw", "chw"),
]
CONVERSIONS = [("chw", "hwc"), ("hwc", "chw")]
EDGES = [(0, 1), (1, 2), (2, 3), (1, 4), (3, 5), (4, 5), (5, 6), (6, 7), (5, 7), (7, 8), (8, 9)]


def generate(path: Path) -> None:
    """Ten layers on two machines, five runs each, in microseconds."""
    rng = random.Random(4)
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["machine", "what", "routine", "reads", "writes", *(f"run{k}_us" for k in range(5))])
        for machine, slow in (("laptop", 1.0), ("board", 5.0)):
            rows = [(f"conv{i}", *r, 300) for i in range(10) for r in ROUTINES[: 4 if i % 3 == 2 else 6]]
            rows += [(f"conv{i}>conv{j}", "convert", *way, 40) for i, j in EDGES for way in CONVERSIONS]
            for *row, typical in rows:
                time = typical * slow * (0.7 + 0.6 * rng.random())
                out.writerow([machine, *row, *(f"{time * (0.94 + 0.12 * rng.random()):.1f}" for _ in range(5))])


if __name__ == "__main__":
    generate(Path(__file__).with_name("profile.csv"))
