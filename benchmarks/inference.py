"""What inference costs on the cart-pole: PPI iterations beside iLQG's and plain numpy's, and a sweep over eta.

An iteration is a phase's `advance`; those of PPI start near the smoothed path, that of iLQG where its first step length
is accepted. The plain iteration is the one that the tests compare with: a loop over the stages in numpy.
"""

import time

import numpy as np

from benchmarks.report import check, report
from benchmarks.swing_up import problem
from benchmarks.timing import side_by_side
from tests.plain_ppi import iteration

ETA, ETAS, SAMPLES, REPEATS = 0.1, (0.0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0), 1000, 5


def iterations(swing):
    """Functions that advance iLQG, PPI, cubature PPI and plain PPI by one iteration."""
    import ppi_robotics as ppi
    from ppi_robotics.guesses import cold_guess
    from ppi_robotics.steps.multiple_shooting import MultipleShooting
    from ppi_robotics.steps.single_shooting import SingleShooting

    phases = {
        "iLQG": (SingleShooting(), 106),
        "PPI": (MultipleShooting(ETA), 10),
        "cubature PPI": (MultipleShooting(ETA, points=ppi.SigmaPoints()), 10),
    }
    functions = {}
    for name, (phase, before) in phases.items():
        iterate = phase.begin(swing, *cold_guess(swing, 0, 0))
        for index in range(before):
            iterate, _ = phase.advance(swing, iterate, index)
        functions[name] = lambda phase=phase, iterate=iterate: phase.advance(swing, iterate, 0)
        if name == "PPI":
            functions["plain PPI"] = lambda iterate=iterate: iteration(iterate.x, iterate.u, ETA)
    after, expected = functions["PPI"]()[0], functions["plain PPI"]()
    for name, theirs in zip(("x", "u", "w"), expected, strict=True):
        check(name, getattr(after, name), theirs)
    return functions


def nine_points(swing):
    """Solve at nine etas, each from the one before, and sample every policy."""
    import ppi_robotics as ppi

    return [ppi.evaluate(swing, s.policy, samples=SAMPLES) for s in ppi.risk_sweep(swing, ppi.PPI(0), eta=ETAS)]


def main():
    swing = problem()
    functions = iterations(swing)
    timing = side_by_side(functions, 10.0)
    microseconds = {name: timing.median(name) * 1e6 for name in functions}
    for ours, peer, target in (
        ("PPI", "iLQG", 1 / 2),
        ("cubature PPI", "iLQG", 1 / 6),
        ("PPI", "plain PPI", 200.0),
    ):
        name = "plain numpy" if peer == "plain PPI" else peer
        ratio = timing.ratio(peer, ours)
        report(f"one iteration, {ours}", "us", microseconds[ours], name, microseconds[peer], ratio, target)
    nine_points(swing)
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        nine_points(swing)
        taken.append(time.perf_counter() - start)
    report("nine etas, solved and sampled", "s", float(np.median(taken)), None, None, None, 3.0)


if __name__ == "__main__":
    main()
