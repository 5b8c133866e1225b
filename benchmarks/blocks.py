"""The blocks world that the paper calls too large for exact inference: 8 locations, 40 blocks, 80 moves.

The optimal control from all 62,891,499 states at all stages; log Z is checked from three starts. The kernels are
compiled before, or loaded from the cache. `seconds_of_cpu` tells a machine that was shared.
"""

import resource
import time

import numpy as np

from benchmarks.report import check, report

STARTS = {  # and log Z, by an independent program
    (7, 3, 5, 4, 6, 2, 8, 5): -888.1460578715,
    (5, 5, 5, 5, 5, 5, 5, 5): -958.7434768843,
    (20, 0, 0, 0, 20, 0, 0, 0): -639.3710904289,
}
SECONDS, MEMORY = 60.0, 2.0  # at most; GB


def main():
    from plants import BlocksWorld

    first, *others = STARTS
    BlocksWorld([2, 1, 1], 3, strength=1.0).exact()
    world = BlocksWorld(first, 80, strength=10.0)
    began, worked = time.perf_counter(), time.process_time()
    exact = world.exact()
    seconds, cpu = time.perf_counter() - began, time.process_time() - worked
    check("log Z of the large instance", np.array(exact.log_partition), np.array(STARTS[first]))
    found = exact.log_value(np.array(others))
    check("log Z from other starts", found, np.array([STARTS[x] for x in others]), 1e-8)  # of 32 bits a number
    what = f"{exact.size.states} states of blocks, 80 stages"
    report(what, "s", seconds, None, None, None, SECONDS, seconds_of_cpu=cpu, orbits=exact.size.orbits)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    report(f"{what}, peak memory", "GB", peak, None, None, None, MEMORY)


if __name__ == "__main__":
    main()
