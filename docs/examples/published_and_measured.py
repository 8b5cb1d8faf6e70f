"""Published cycle formulas against the hardware's, layer by layer: how far apart they are, and which choices flip.

GoogLeNet on an Alveo U200's overlay. Every convolution is priced by the published formula (DYNAMAP: tiles times stream,
plus one initialisation) and by the formulas of the circuit, under every algorithm and dataflow both know.
"""

from __future__ import annotations

from collections import Counter

from dynamap_models.zoo import build_model
from dynamap_opt.board import load_board
from dynamap_opt.costs import ShapeBatch
from dynamap_opt.layouts import NHWC
from dynamap_opt.mapper import Mapper
from dynamap_rtl import Dataflow, TimingConvention, array_cycles

ARRAY = (92, 66)  # the one the DYNAMAP paper reports
ALGORITHMS = ("im2col", "kn2row", "winograd-f2-2d")


def main() -> None:
    """Print the table."""
    mapper = Mapper(build_model("googlenet"), load_board("alveo-u200"), algorithms=ALGORITHMS)
    shapes = ShapeBatch.of(*ARRAY)
    titles = f"{'layer':26}{'published':>10}  {'its choice':22}{'circuit':>9}{'ratio':>7}  "
    print(titles + f"{'best on the circuit':22}{'cycles':>8}")
    totals = Counter[str]()
    flips = Counter[str]()
    for stage in mapper.program.stages:
        if stage.conv is None:
            continue
        published, measured = {}, {}
        for algorithm in mapper.model.algorithms(stage):
            gemms = algorithm.published_gemms(stage.conv)
            for dataflow in Dataflow:
                found = mapper.model.cycles(stage, algorithm, dataflow, NHWC, NHWC, shapes)
                if gemms is None or found is None:
                    continue
                key = (algorithm.name, dataflow.value)
                published[key] = int(array_cycles(dataflow, gemms, *ARRAY, convention=TimingConvention.PUBLISHED))
                measured[key] = int(found.total[0])
        theirs, ours = min(published, key=published.__getitem__), min(measured, key=measured.__getitem__)
        totals += Counter(published=published[theirs], chosen=measured[theirs], best=measured[ours])
        flips["same" if theirs == ours else "dataflow" if theirs[0] == ours[0] else "algorithm"] += 1
        ratio = measured[theirs] / published[theirs]
        print(
            f"{stage.name:26}{published[theirs]:>10,}  {' '.join(theirs):22}{measured[theirs]:>9,}{ratio:>7.2f}  "
            f"{' '.join(ours):22}{measured[ours]:>8,}"
        )
    ratio = totals["chosen"] / totals["published"]
    print(
        f"{'all':26}{totals['published']:>10,}  {'':22}{totals['chosen']:>9,}{ratio:>7.2f}  {'':22}{totals['best']:>8,}"
    )
    print(
        f"of {flips.total()} layers the circuit's best choice has another algorithm in {flips['algorithm']}, another "
        f"dataflow in {flips['dataflow']}"
    )


if __name__ == "__main__":
    main()
