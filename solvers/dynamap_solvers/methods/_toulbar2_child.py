"""The process of :mod:`dynamap_solvers.methods.toulbar2`: reads a document, solves, writes the answer.

Run as a script; imports nothing of this package. What toulbar2 prints (incumbents and gaps) goes to standard output,
where the parent reads it. Arguments: the document, and where to write the answer.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def main(asked: str, done: str) -> None:
    """Solve the document in the file ``asked`` and write the answer to the file ``done``."""
    document = json.loads(Path(asked).read_text())
    sys.path[:] = document["path"]
    import pytoulbar2  # noqa: PLC0415  # only now is the path right

    started = time.perf_counter()
    network = _network(pytoulbar2, document)
    built = time.perf_counter()
    found = network.Solve(showSolutions=1)
    answer = {
        "picked": None if found is None else [int(x) for x in found[0]],
        "cost": None if found is None else found[1],
        "nodes": int(network.GetNbNodes()),
        "build": built - started,
        "search": time.perf_counter() - built,
    }
    # Whole or not at all: the parent may end this process at any time.
    part = Path(done + ".part")
    part.write_text(json.dumps(answer))
    part.replace(done)


def _network(pytoulbar2: Any, document: dict[str, Any]) -> Any:
    options = dict(document["options"])
    top = document["top"]
    network = pytoulbar2.CFN(ubinit=top, vac=options.pop("vac", 0), seed=document["seed"], verbose=0)
    for name, value in options.items():
        setattr(network.Option, name, value)
    for i, unary in enumerate(document["unary"]):
        network.AddVariable(f"x{i}", range(len(unary)))
    for i, unary in enumerate(document["unary"]):
        network.AddFunction([i], unary)
    for (i, j), table in zip(document["ends"], document["tables"], strict=True):
        network.AddFunction([i, j], [top if cost < 0 else cost for cost in table])
    for knapsack in document["knapsacks"]:
        terms = [
            (i, choice, used)
            for i, uses in zip(knapsack["variables"], knapsack["used"], strict=True)
            for choice, used in enumerate(uses)
            if used
        ]
        network.AddGeneralizedLinearConstraint(terms, "<=", knapsack["room"])
    return network


if __name__ == "__main__":
    main(*sys.argv[1:])
