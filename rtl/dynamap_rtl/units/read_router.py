"""Several readers on one read port: requests in the order of the program, beats back to who asked for them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import or_

import pyrtl

from dynamap_rtl.hardware import Design, HardwareError, Leaf
from dynamap_rtl.load_pattern import ORDER_BITS

from .queue import queue

__all__ = ["read_router"]


def read_router(*, ordered: int, port_bytes: int, address_width: int, outstanding: int) -> Design:
    """The circuit.

    Client k has the ports ``request_valid_k`` ... ``data_ready_k`` of a read port; all see the same ``data``. Requests
    and beats pass in the cycle they come. A request of one of the ``ordered`` first clients waits while another one has
    something pending (``request_pending_k``, from its first to its last run) whose ``request_order_k`` comes first:
    less than half the numbers before its own, modulo their range; of equal ones the lower k. So bursts of two loads
    never mix, and what is needed first is there first. One more client, the last, goes before them all. At most
    ``outstanding`` requests, a power of two, wait for their beats.

    Raises:
        HardwareError: when the number of clients is negative.
    """
    if ordered < 0:
        raise HardwareError(f"a read router cannot have {ordered} ordered clients")
    clients = ordered + 1
    numbers = range(clients)
    owner = max(1, (clients - 1).bit_length())

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        wanted = [inputs[f"request_valid_{k}"] for k in numbers]
        chosen = []
        for k in range(ordered):
            stands = wanted[k] & ~wanted[ordered]
            for other in range(ordered):
                if other != k:
                    low, high = sorted((k, other))
                    gap = (inputs[f"request_order_{high}"] - inputs[f"request_order_{low}"])[:ORDER_BITS]
                    low_first = ~gap[-1]
                    stands = stands & (~inputs[f"request_pending_{other}"] | (low_first if k == low else ~low_first))
            chosen.append(stands)
        chosen.append(wanted[ordered])
        open_ = inputs["request_ready"] & inputs["room"]
        who = reduce(or_, (pyrtl.Const(k, bitwidth=owner) & chosen[k].sign_extended(owner) for k in numbers))
        valid = reduce(or_, chosen)
        passed = valid & open_

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
    asked |= {f"request_order_{k}": ORDER_BITS for k in range(ordered)}
    asked |= {f"request_pending_{k}": 1 for k in range(ordered)}
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
