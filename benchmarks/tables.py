"""Finite decision problems: a backup beside a bare sparse product, learning, and a large grid world.

1. One pass of the recursion over a sparse problem with a hard minimum, against `scipy.sparse`'s product of the same
   matrix with the same values, which does no more than take the means over the next states.
2. A million transitions of Psi-learning on the ten by ten grid world.
3. A map of 1000 x 1000 cells, built and solved exactly; the optimum is known where moves that fail stay.
"""

import resource
import time

import numpy as np
from scipy import sparse

from benchmarks.report import check, report
from benchmarks.timing import side_by_side

STATES, ACTIONS, NEXT = 100_000, 4, 8
SHARE = 1 / 1.5  # least speed of a pass, as a share of the product's
TRANSITIONS, LEARNING = 1_000_000, 1.0
SIDE, SOLVING, MEMORY = 1000, 60.0, 2.0  # cells, seconds, GB


def problem(seed=0):
    """A random sparse `FiniteMDP`."""
    from ppi_robotics.discrete import FiniteMDP

    rng, rows = np.random.default_rng(seed), STATES * ACTIONS
    data = rng.dirichlet(np.ones(NEXT), rows).ravel()
    indices = rng.integers(0, STATES, rows * NEXT)
    matrix = sparse.csr_matrix((data, indices, np.arange(0, rows * NEXT + 1, NEXT)), shape=(rows, STATES))
    return FiniteMDP(matrix, rng.uniform(size=(STATES, ACTIONS)), rng.uniform(size=STATES), discount=0.99)


def passes():
    """A backup of all states."""
    from ppi_robotics.discrete import bellman

    mdp = problem()
    V, Q = np.empty(STATES), np.empty((STATES, ACTIONS))
    ahead = np.array(mdp.terminal)
    matrix, baseline = mdp.at(0)[0], bellman.as_baseline(mdp, None, 1)[0]

    def ours():
        bellman.backup(mdp, 0, baseline, (np.inf, 0.0), ahead, Q, V)

    ours()
    plain = mdp.cost + mdp.discount * (matrix @ ahead).reshape(STATES, ACTIONS)
    worst = check("a pass", Q, plain)
    timing = side_by_side({"ours": ours, "product": lambda: matrix @ ahead}, 5.0)
    times = [1e3 * timing.median(which) for which in ("ours", "product")]
    what = f"pass over {STATES} x {ACTIONS} sparse rows of {NEXT}"
    report(what, "ms", times[0], "scipy.sparse", times[1], timing.ratio("product", "ours"), SHARE, agreement=worst)


def learning():
    """Psi-learning."""
    from plants import GridWorld
    from ppi_robotics.discrete import iterate, learn

    mdp = GridWorld("rooms").mdp
    options = {"transitions": TRANSITIONS, "every": 10_000, "truth": iterate(mdp).value}
    timing = side_by_side({"ours": lambda: learn(mdp, "psi", **options)}, 3.0, rounds=3)
    what = f"{TRANSITIONS} transitions of Psi-learning"
    report(what, "s", timing.median("ours"), None, None, None, LEARNING)


def large():
    """A map with walls, built and solved."""
    from plants import GridWorld
    from ppi_robotics.discrete import iterate

    rng = np.random.default_rng(0)
    cells = np.where(rng.uniform(size=(SIDE, SIDE)) < 0.05, "#", ".")
    cells[:, 0] = cells[:, -1] = cells[0] = cells[-1] = "."
    cells[SIDE // 2, SIDE // 2] = "*"
    began = time.perf_counter()
    world = GridWorld(connected(cells))
    found = iterate(world.mdp)
    seconds = time.perf_counter() - began
    if not found.status.solved:
        raise SystemExit(f"the large grid world is not solved: {found.status.value}")
    steps = found.value * world.success  # cost 1 a step, each of which takes 1 / success tries
    check("the large grid world", steps, np.round(steps))
    report(f"{SIDE} x {SIDE} grid world", "s", seconds, None, None, None, SOLVING, states=world.mdp.states)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    report(f"{SIDE} x {SIDE} grid world, peak memory", "GB", peak, None, None, None, MEMORY)


def connected(cells):
    """The map as text, cells that cannot reach the target walled in."""
    from scipy.ndimage import label

    regions, _ = label(cells != "#")
    target = regions[tuple(np.argwhere(cells == "*")[0])]
    return "\n".join("".join(row) for row in np.where((regions == target) | (cells == "#"), cells, "#"))


def main():
    passes()
    learning()
    large()


if __name__ == "__main__":
    main()
