"""Limited swing-ups from many seeds beside IPOPT from as many guesses as it is given: costs, not times.

`python -m benchmarks.seeds [plant ...]` prints one line per problem; it takes some minutes for all of them.
"""

import sys
import time
from pathlib import Path

import numpy as np

import ppi_robotics as ppi
from plants import Acrobot, CartPole, DoubleCartPole, Pendulum
from ppi_robotics.guesses import cold_guess

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from direct import solve_directly  # noqa: E402

SEEDS, RUNS = 50, 20
LONG = "long swing-up"
FEW = 10, 12  # seeds and guesses of a long horizon
PROBLEMS = {
    "pendulum": (Pendulum(), None),
    "weak pendulum": (Pendulum(torque_limit=2.0), 400),
    "cartpole, 15 N": (CartPole(force_limit=15.0), None),
    "cartpole, 6.1 N": (CartPole(force_limit=6.1), 200),
    "cartpole, 0.5 m": (CartPole(track_limit=0.5), None),
    "acrobot": (Acrobot(), None),
    "double_cartpole": (DoubleCartPole(), None),
}


def long_swing_up():
    """A double cart-pole with a weak motor over 600 stages of 10 ms, whose angles count by sine and cosine alone."""
    plant = DoubleCartPole(force_limit=12.0, dt=0.01)

    def height(x):
        angles = (f for a in (x[1], x[2]) for f in (ppi.sin(a), 1 - ppi.cos(a)))
        return ppi.vertcat(0.1 * x[0], *angles, 0.03 * x[3:])

    cost = ppi.LeastSquares(
        lambda x, u: 0.1 * ppi.vertcat(height(x), 0.01 * u[0]), lambda x: 10.0 * height(x), hessian="exact"
    )
    return ppi.Problem(plant, cost, plant.hanging, 600)


def study_long():
    """Solve the long swing-up by default, and print how starts and answers compare with IPOPT's best."""
    problem, (seeds, runs) = long_swing_up(), FEW
    optima = solve_directly(problem, [cold_guess(problem, 1000, index) for index in range(runs)])
    best, costs, seconds, ended = optima[0][0], [], [], []
    for seed in range(seeds):
        began = time.process_time()
        solution = ppi.solve(problem, ppi.ILQG(), seed=seed)
        seconds.append(time.process_time() - began)
        costs.append(solution.nominal_cost)
        ended += [(start.guess, start.status.solved) for start in solution.starts]
    kinds = {kind: [solved for guess, solved in ended if guess == kind] for kind in sorted({k for k, _ in ended})}
    shares = ", ".join(f"{kind} {sum(solved)}/{len(solved)}" for kind, solved in kinds.items())
    print(
        f"long swing-up: nominal cost {min(costs):.4f} to {max(costs):.4f}, within 15 % of IPOPT's best "
        f"{sum(cost <= 1.15 * best for cost in costs)}/{seeds}, {max(seconds):.1f} s of processor time at most; "
        f"starts that converged: {sum(solved for _, solved in ended)}/{len(ended)} ({shares}); "
        f"IPOPT {best:.4f} of {len(optima)}/{runs}",
        flush=True,
    )


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
    for chosen in sys.argv[1:] or (*PROBLEMS, LONG):
        study_long() if chosen == LONG else study(chosen)
