"""Limited swing-ups from many seeds beside IPOPT from as many guesses as it is given: costs, not times.

`python -m benchmarks.seeds [plant ...]` prints one line per problem; it takes some minutes for all of them.
"""

import sys
from pathlib import Path

import numpy as np

import ppi_robotics as ppi
from plants import Acrobot, CartPole, DoubleCartPole, Pendulum
from ppi_robotics.guesses import cold_guess

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from direct import solve_directly  # noqa: E402

SEEDS, RUNS = 50, 20
PROBLEMS = {
    "pendulum": (Pendulum(), None),
    "weak pendulum": (Pendulum(torque_limit=2.0), 400),
    "cartpole, 15 N": (CartPole(force_limit=15.0), None),
    "cartpole, 6.1 N": (CartPole(force_limit=6.1), 200),
    "cartpole, 0.5 m": (CartPole(track_limit=0.5), None),
    "acrobot": (Acrobot(), None),
    "double_cartpole": (DoubleCartPole(), None),
}


def study(name):
    """Solve from every seed and print how the answers compare with IPOPT's best."""
    plant, horizon = PROBLEMS[name]
    problem = ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, horizon or plant.default_horizon)
    direct = solve_directly(problem, [cold_guess(problem, 1000, index) for index in range(RUNS)])
    optima = np.array([cost for cost, _ in direct])
    solutions = [ppi.solve(problem, ppi.PPI(eta=0.01), seed=seed) for seed in range(SEEDS)]
    costs = np.array([solution.nominal_cost for solution in solutions])
    upright = sum(bool(problem.success(solution.x[-1:])[0]) for solution in solutions)
    outside = max(excess(solution, plant) for solution in solutions)
    near = int((costs <= 1.005 * optima[0]).sum())
    print(
        f"{name}: upright {upright}/{SEEDS}, nominal cost {costs.min():.4f} to {costs.max():.4f}, "
        f"within 0.5 % of IPOPT's best {near}/{SEEDS}, limits exceeded by {outside:.1g}; "
        f"IPOPT {optima[0]:.4f}, median {np.median(optima):.4f}, worst {optima[-1]:.4f}, "
        f"upright {sum(bool(problem.success(final[None])[0]) for _, final in direct)}/{len(direct)} of {RUNS}",
        flush=True,
    )


def excess(solution, plant):
    """By how much a solution leaves its plant's limits at most."""
    pairs = (solution.u, plant.control_limits), (solution.x, plant.state_limits)
    return max(0.0, *(float(np.max([v - limits[:, 1], limits[:, 0] - v])) for v, limits in pairs))


if __name__ == "__main__":
    for chosen in sys.argv[1:] or PROBLEMS:
        study(chosen)
