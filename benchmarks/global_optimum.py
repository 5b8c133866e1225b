"""The pendulum's swing-up by dynamic programming on a grid, and how close iLQG and PPI come to its global optimum.

Stages of 0.05 s, 4 s in all. The grid is refined until the value at the start changes by less than 1 %. Values on grids
are too high by a multiple of the square of the cells' width, as interpolation adds variance, so that the last two are
also extrapolated. The grid's controls act in closed loop on the plant itself, on the same noise as iLQG's.
"""

import math
import sys
import time

import numpy as np

GRIDS, CONTROLS, RATE = (75, 150, 300, 600), 11, 6.0  # points of either entry; the largest rate, 4 rad/s being met
SAMPLES, CLOSED, FINE = 10_000, 400, 41
WORST = 0.03  # of the optimum
WEIGHTS = ((math.inf, 0.0), (math.inf, -0.1), (math.inf, 0.1), (1.0, 0.0), (1.0, 1.0), (0.1, 0.1))


def setting():
    """The problem."""
    import ppi_robotics as ppi
    from plants import Pendulum

    plant = Pendulum(dt=0.05)
    return ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, 80)


def on_grid(problem, n):
    """`GridProblem` of n by n + 1 points."""
    from ppi_robotics.discrete import Grid, discretize

    grid = Grid.regular((0.0, -RATE), (0.0, RATE), (n, n + 1), (2.0 * math.pi, None))
    return discretize(problem, grid, np.linspace(*problem.plant.control_limits[0], CONTROLS)[:, None])


def closed_loop(found, values, rollouts):
    """Costs (N,) of the grid's controls on the plant, under the noise of other rollouts of the problem."""
    problem, N = found.problem, len(rollouts.x)
    plant, x, cost = problem.plant, np.array(rollouts.x[:, 0]), np.zeros(N)
    fine = np.linspace(*plant.control_limits[0], FINE)[:, None]
    for t in range(problem.horizon):
        w = rollouts.x[:, t + 1] - plant.step(np.array(rollouts.x[:, t]), np.array(rollouts.u[:, t]))
        u = found.controls_at(values[t + 1], x, fine)
        cost += problem.cost.stage(x, u)
        x = plant.step(x, u) + w
    return cost + problem.cost.terminal(x)


def main():
    """Print the study; exit with 1 if a solver is worse than the optimum by more than 3 %."""
    import ppi_robotics as ppi

    problem, value = setting(), {}
    for n in GRIDS:
        begin = time.perf_counter()
        found = on_grid(problem, n)
        values = found.values()
        value[n] = found.at_start(values)
        change = abs(value[n] / value[n // 2] - 1.0) if n // 2 in value else math.nan
        seconds = time.perf_counter() - begin
        print(
            f"{n} x {n + 1} points, {CONTROLS} controls: value {value[n]:.3f}, change {100 * change:.2f} %, "
            f"{100 * found.clipped:.1f} % of transitions leave the grid, {seconds:.1f} s",
            flush=True,
        )
    last, before = value[GRIDS[-1]], value[GRIDS[-2]]
    optimum = last + (last - before) / 3.0
    print(f"extrapolated to cells of no width: {optimum:.3f}")
    solved, worst = {}, 0.0
    for name, method in (("iLQG", ppi.ILQG()), ("PPI, eta 0.1", ppi.PPI(0.1)), ("PPI, eta 0.01", ppi.PPI(0.01))):
        solved[name] = ppi.solve(problem, method, seed=0, starts=8)
        result = ppi.evaluate(problem, solved[name].policy, SAMPLES, seed=0)
        worst = max(worst, result.mean / optimum - 1.0)
        print(
            f"{name}: expected cost {result.mean:.3f} +- {result.standard_error:.3f}, "
            f"{100 * (result.mean / optimum - 1.0):+.2f} % of the extrapolated optimum, "
            f"{100 * (result.mean / last - 1.0):+.2f} % of the finest grid's value",
            flush=True,
        )
    rollouts = ppi.rollout(problem, solved["iLQG"].policy, CLOSED, seed=0)
    cost = closed_loop(found, values, rollouts)
    paired = ppi.Evaluation(cost - rollouts.cost)
    print(
        f"the finest grid's controls on the plant: {cost.mean():.3f} +- {cost.std(ddof=1) / CLOSED**0.5:.3f}, "
        f"less iLQG on the same noise {paired.mean:+.3f} +- {paired.standard_error:.3f}",
        flush=True,
    )
    for n in GRIDS[1:3]:
        found = on_grid(problem, n)
        texts = [f"({lP:g}, {lS:g}) {found.at_start(found.values(lP, lS)):.2f}" for lP, lS in WEIGHTS]
        print(f"values of weights (policy, transitions) on {n} x {n + 1} points: {', '.join(texts)}", flush=True)
    return 1 if worst > WORST or change > 0.01 else 0


if __name__ == "__main__":
    sys.exit(main())
