"""The stag hunt: 10 hunters, 400 cells, 5 stags, 9 moves, at temperature 1.

1. The exact sum, which the paper calls infeasible, and belief propagation, from the definition of the hunt; limits, as
   no peer has the program over counts.
2. Belief propagation against that in the factor graph of the paper, which takes any graph.
3. The sweep over temperatures of 2 x 20 instances, exactly and by belief propagation.
"""

import numpy as np

from benchmarks.report import check, report
from benchmarks.timing import side_by_side

SIDE, HUNTERS, SEED = 20, 10, 0
EXACT, BP, SWEEP = 20.0, 2.0, 10.0  # ms, ms, s
FASTER = 100.0  # than in the general graph
LOG_Z = {"exact": 6.3523428655580565, "bp": 6.2977901738218645}  # of independent programs
SIZES, INSTANCES, FIRST = ((10, 4), (15, 10)), 20, 1000
TEMPERATURES = np.linspace(0.1, 2.0, 39)


def inference():
    """One instance, from its definition."""
    from plants import StagHunt

    def infer(method):
        return StagHunt.random(SIDE, HUNTERS, SEED).infer(method)

    for method, limit in (("exact", EXACT), ("bp", BP)):
        worst = check(method, np.array(infer(method).log_partition), np.array(LOG_Z[method]))
        timing = side_by_side({"ours": lambda method=method: infer(method)}, 2.0)
        what = f"stag hunt, M {HUNTERS}, N {SIDE**2}: {method}"
        report(what, "ms", 1e3 * timing.median("ours"), None, None, None, limit, agreement=worst)


def general():
    """The structured messages against those of the factor graph."""
    from plants import StagHunt
    from ppi_robotics.discrete import belief_propagation

    graph = StagHunt.random(SIDE, HUNTERS, SEED).graph().graph
    found = belief_propagation(graph, tolerance=1e-9)
    worst = check("the factor graph", np.array(found.log_partition), np.array(LOG_Z["bp"]))
    timing = side_by_side(
        {
            "ours": lambda: StagHunt.random(SIDE, HUNTERS, SEED).infer("bp"),
            "graph": lambda: belief_propagation(graph, tolerance=1e-9),
        },
        10.0,
    )
    times = [1e3 * timing.median(which) for which in ("ours", "graph")]
    report(
        "stag hunt by BP", "ms", times[0], "its graph", times[1], timing.ratio("graph", "ours"), FASTER, agreement=worst
    )


def sweep():
    """The phase transition."""
    from plants import StagHunt
    from plants.stag_hunt import sweep_temperatures

    def run():
        for side, hunters in SIZES:
            problems = [StagHunt.random(side, hunters, FIRST + i).problem for i in range(INSTANCES)]
            sweep_temperatures(problems, TEMPERATURES)

    timing = side_by_side({"ours": run}, 10.0, rounds=3)
    what = f"phase transition, {len(SIZES)} x {INSTANCES} instances, {len(TEMPERATURES)} temperatures"
    report(what, "s", timing.median("ours"), None, None, None, SWEEP)


def main():
    inference()
    general()
    sweep()


if __name__ == "__main__":
    main()
