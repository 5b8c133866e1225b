"""Inference in coupled chains: a sweep, blocks worlds to known fixed points, a receding horizon, many random goals.

Times are of one process; the study of random goals takes as many threads as there are processors.
"""

import time

import numpy as np

from benchmarks.report import check, report
from benchmarks.timing import side_by_side

STAGES, START, STRENGTH = 80, (7, 3, 5, 4, 6, 2, 8, 5), 10.0
FIXED_POINT, CLOSE = -589.4992, 5e-3  # log Z of the cluster variation method there, by another program
GOAL = (8, 0, 0, 0, 0, 0, 0, 0), 16, (1, 2, 2, 1, 0, 0, 1, 1)
GOAL_FIXED_POINT = -26.2895586557
LOOPS = {"inner_sweeps": 50, "bound": 0.25}
SWEEP, SOLVING, PLAYING, COST, STUDY = 0.5, 60.0, 6.0, 931.0, 60.0  # targets
LIBDAI, FASTER = 9980.0, {"double_loop": 300.0, "merged": 3000.0}  # ms of libDAI's double loop elsewhere; targets
SIZES = (4, 5, 6, 8), (4, 7, 10, 13, 16)


def world():
    """The world of 8 locations and 40 blocks."""
    from plants import BlocksWorld

    return BlocksWorld(START, STAGES, strength=STRENGTH)


def sweeps():
    """Milliseconds a sweep of the double loop."""
    from plants.blocks import chain_beliefs

    chains, number = world().chains(), 100
    options = {"inner_sweeps": 50, "max_outer": number // 50, "tolerance": 0.0}
    first = chain_beliefs(chains, "double_loop", **options)
    start, counts = first.messages, []

    def ours():
        counts.append(chain_beliefs(chains, "double_loop", start=start, **options).sweeps)

    timing = side_by_side({"ours": ours}, 5.0)
    milliseconds = 1e3 * timing.median("ours") / number
    best = 1e3 * timing.best("ours") / number
    report("sweep of 8 chains of 41 levels, 80 stages", "ms", milliseconds, None, None, None, SWEEP, best=best)


def fixed_points():
    """Worlds to a tolerance of 1e-6."""
    from plants import BlocksWorld
    from plants.blocks import chain_beliefs

    goal = BlocksWorld(*GOAL).chains()
    for method, times in FASTER.items():
        found = chain_beliefs(goal, method)
        check(f"{method} to a goal", np.array(found.log_partition), np.array(GOAL_FIXED_POINT), 1e-5)
        timing = side_by_side({"ours": lambda method=method: chain_beliefs(goal, method)}, 2.0)
        what = f"8 blocks to a goal, {method}, limit libDAI's elsewhere by {times:g}"
        report(what, "ms", 1e3 * timing.median("ours"), None, None, None, LIBDAI / times)
    began = time.perf_counter()
    found = chain_beliefs(world().chains(), "double_loop", max_outer=5000, **LOOPS)
    seconds = time.perf_counter() - began
    check("the large world", np.array(found.log_partition), np.array(FIXED_POINT), CLOSE / abs(FIXED_POINT))
    report("40 blocks, double loop to 1e-6", "s", seconds, None, None, None, SOLVING, sweeps=found.sweeps)


def playing():
    """The receding horizon of the large world, and what its path costs."""
    from plants.blocks import receding

    large = world()
    began = time.perf_counter()
    first, later = {"max_outer": 60, "tolerance": 1e-6}, {"max_outer": 15, "tolerance": 1e-2}
    played = large.run(receding(large.chains(), "double_loop", first=first, **later, **LOOPS))
    seconds, sweeps = time.perf_counter() - began, sum(one.sweeps for one in played.inferences)
    report("40 blocks, receding horizon of 80 stages", "s", seconds, None, None, None, PLAYING, sweeps=sweeps)
    ends = list(map(int, played.states[-1]))
    report("40 blocks, cost of the path", "nats", large.path_cost(played.states), None, None, None, COST, ends=ends)


def study():
    """Random goals by every planner."""
    from plants.blocks.study import goal_rates

    goal_rates((4,), (4,), instances=1)  # loads the kernels
    began = time.perf_counter()
    rows = goal_rates(*SIZES, instances=20)
    seconds = time.perf_counter() - began
    report("random goals, 20 sizes of 20 worlds, 3 planners", "s", seconds, None, None, None, STUDY)
    missed = 1.0 - min(row.reached for row in rows if row.planner == "double loop")
    report("share of the goals that the double loop misses", "", missed, None, None, None, 0.0)


def main():
    sweeps()
    fixed_points()
    playing()
    study()


if __name__ == "__main__":
    main()
