"""An estimate of what a circuit occupies on an UltraScale+ device, in seconds and without synthesis.

The hierarchy is walked as it is built: every different leaf is counted once, from its nets, and as often as it stands
in the circuit. A leaf's gates are covered by look-up tables, its adders become carry chains, its products DSP slices,
its memories block RAM or look-up tables, as ``estimation`` does it after the example of Yosys; ``synthesis`` measures
the same, and ``estimation.comparison`` sets the two side by side.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from .estimation.leaf_count import LeafCount, count_leaf
from .hardware.module import Design, Grid, HardwareError, Leaf, Module, modules_of

__all__ = ["ResourceEstimate", "estimate", "instance_counts", "leaf_estimates"]


@dataclass(frozen=True, kw_only=True)
class ResourceEstimate:
    """Cells of an UltraScale+ device, before placement.

    Attributes:
        dsp: DSP48E2 slices.
        lut: look-up tables, those used as memory or shift registers among them.
        ff: flip-flops outside block RAM.
        bram: block RAM in units of 18 Kbit (RAMB18E2); an RAMB36E2 is two.
    """

    dsp: int
    lut: int
    ff: int
    bram: int


def estimate(module: Module) -> ResourceEstimate:
    """Estimate what a module occupies.

    Raises:
        HardwareError: when two modules of one name are not the same hardware.
    """
    times = instance_counts(module)
    each = leaf_estimates(module)
    return ResourceEstimate(
        dsp=sum(times[name] * leaf.dsp for name, leaf in each.items()),
        lut=sum(times[name] * leaf.lut for name, leaf in each.items()),
        ff=sum(times[name] * leaf.ff for name, leaf in each.items()),
        bram=sum(times[name] * leaf.bram for name, leaf in each.items()),
    )


def leaf_estimates(module: Module) -> dict[str, LeafCount]:
    """What one instance of every different leaf of a hierarchy occupies, by name."""
    return {leaf.name: count_leaf(leaf) for leaf in modules_of(module) if isinstance(leaf, Leaf)}


def instance_counts(module: Module) -> Counter[str]:
    """How often every module stands in a hierarchy, by name; the module itself once."""
    ordered = list(modules_of(module))  # what a module is made of comes before it
    times = Counter({module.name: 1})
    for user in reversed(ordered):
        if isinstance(user, Grid):
            times[user.cell.name] += times[user.name] * user.rows * user.columns
        elif isinstance(user, Design):
            for instance in user.instances.values():
                times[instance.module.name] += times[user.name]
        elif not isinstance(user, Leaf):
            raise HardwareError(f"module {user.name!r} is of no kind that can be counted")
    return times
