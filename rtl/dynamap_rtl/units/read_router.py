"""Several readers on one read port: requests in turn, beats back to who asked for them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import or_

import pyrtl

from dynamap_rtl.hardware import Design, HardwareError, Leaf

from .queue import queue

__all__ = ["read_router"]


def read_router(*, clients: int, port_bytes: int, address_width: int, outstanding: int) -> Design:
    """The circuit.

    Client k has the ports ``request_valid_k`` ... ``data_ready_k`` of a read port; all see the same ``data``.
    Requests and beats pass in the cycle they come. Who was served last comes last, so that with all clients asking
    each gets every ``clients``-th request. At most ``outstanding`` requests, a power of two, wait for their beats.

    Raises:
        HardwareError: when there is no client.
    """
    if clients < 1:
        raise HardwareError(f"a read router needs at least one client, not {clients}")
    numbers = range(clients)
    owner = max(1, (clients - 1).bit_length())

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        last = pyrtl.Register(owner, "last")
        wanted = [inputs[f"request_valid_{k}"] for k in numbers]
        # The first that asks behind the one served last.
        chosen: list[pyrtl.WireVector] = []
        for k in numbers:
            behind = [(k - distance) % clients for distance in range(1, clients)]
            first = []
            for previous in numbers:
                between = behind[: (k - previous - 1) % clients]
                before = reduce(or_, (wanted[other] for other in between), pyrtl.Const(0, bitwidth=1))
                first.append((last == previous) & ~before)
            chosen.append(wanted[k] & reduce(or_, first))
        open_ = inputs["request_ready"] & inputs["room"]
        who = reduce(or_, (pyrtl.Const(k, bitwidth=owner) & chosen[k].sign_extended(owner) for k in numbers))
        valid = reduce(or_, wanted)
        passed = valid & open_
        last.next <<= pyrtl.select(passed, who, last)

        def pick(name: str) -> pyrtl.WireVector:
            wires = [inputs[f"{name}_{k}"] for k in numbers]
            return reduce(or_, (wire & chosen[k].sign_extended(len(wire)) for k, wire in enumerate(wires)))

        length = pick("request_bytes")
        # ⌈n / W⌉ beats: counted down by W as they come, so that nothing divides.
        left = pyrtl.Register(16, "left")
        begun = pyrtl.Register(1, "begun")
        head = inputs["head"]
        rest = pyrtl.select(begun, left, head[:16])
        final = rest <= port_bytes
        mine = [inputs["waiting"] & (head[16:] == k) for k in numbers]
        taken = reduce(or_, (mine[k] & inputs[f"data_ready_{k}"] for k in numbers))
        moved = taken & inputs["data_valid"]
        left.next <<= pyrtl.select(moved, (rest - port_bytes)[:16], left)
        begun.next <<= pyrtl.select(moved, ~final, begun)
        return {
            "request_valid": valid & inputs["room"],
            "request_address": pick("request_address"),
            "request_bytes": length,
            "data_ready": taken,
            "push": passed,
            "entry": pyrtl.concat(who, length),
            "pop": moved & final,
            **{f"request_ready_{k}": chosen[k] & open_ for k in numbers},
            **{f"data_valid_{k}": mine[k] & inputs["data_valid"] for k in numbers},
        }

    client_in = {"request_valid": 1, "request_address": address_width, "request_bytes": 16, "data_ready": 1}
    client_out = {"request_ready": 1, "data_valid": 1}
    asked = {f"{name}_{k}": width for name, width in client_in.items() for k in numbers}
    given = {f"{name}_{k}": width for name, width in client_out.items() for k in numbers}
    port_out = {"request_valid": 1, "request_address": address_width, "request_bytes": 16, "data_ready": 1}
    name = f"{clients}_{port_bytes}_{address_width}"
    arbiter = Leaf(
        f"read_arbiter_{name}",
        inputs={**asked, "request_ready": 1, "data_valid": 1, "head": 16 + owner, "waiting": 1, "room": 1},
        outputs={**port_out, "push": 1, "entry": 16 + owner, "pop": 1, **given},
        logic=logic,
    )
    design = Design(
        f"read_router_{name}_{outstanding}",
        inputs={**asked, "request_ready": 1, "data_valid": 1},
        outputs={**port_out, **given},
    )
    placed = design.add("arbiter", arbiter, **{wire: design[wire] for wire in design.inputs})
    owners = design.add(
        "owners",
        queue(width=16 + owner, depth=outstanding),
        push=placed["push"],
        data=placed["entry"],
        pop=placed["pop"],
    )
    placed.connect(head=owners["head"], waiting=owners["valid"], room=owners["ready"])
    return design.finish(**{wire: placed[wire] for wire in design.outputs})
