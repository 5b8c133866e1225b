"""Path integrals of the pendulum's swing-up beside the exact table of the synchronized mode, at four sample sizes.

The baseline is iLQG's closed loop with spread. On the grid its clipped controls are rounded to the nearest of the
grid's, the recursion gives value and first control exactly, and trajectories of the table have to meet them within
their standard errors. Rollouts of the plant itself have to meet what two grids extrapolate to: interpolation adds
variance, which an optimistic weight makes use of, in proportion to the square of the cells' width. The plant jitters
far more than the cells of the grid do.
"""

import math
import sys
from dataclasses import replace

import numpy as np

SIZES, GRIDS, CONTROLS, RATE, STAGES = (100, 1000, 10_000, 100_000), (100, 200), 21, 6.0, 80
WEIGHT, SPREAD, JITTER, SEED = 0.1, 1.0, 1.0, 0  # of the cost; N m; rad/s per square root of a second
MOST = 4.0  # standard errors


def setting():
    """The problem, and the baseline."""
    import ppi_robotics as ppi
    from plants import Pendulum

    plant = Pendulum(dt=0.05, sigma=JITTER)
    problem = ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, STAGES)
    policy = ppi.solve(problem, ppi.ILQG(), seed=SEED, starts=4).policy
    return problem, replace(policy, cov=np.full((STAGES, 1, 1), SPREAD**2))


def exact(problem, policy, n):
    """Grid problem, its baseline, the state at the start, and value and mean first control there."""
    from ppi_robotics.discrete import Grid, discretize
    from ppi_robotics.discrete.bellman import backup

    grid = Grid.regular((0.0, -RATE), (0.0, RATE), (n, n + 1), (2.0 * math.pi, None))
    found = discretize(problem, grid, np.linspace(*problem.plant.control_limits[0], CONTROLS)[:, None])
    log_rho = found.baseline(policy)
    V = found.values(WEIGHT, WEIGHT, log_rho)
    Q, first = np.empty((grid.size, CONTROLS)), np.empty(grid.size)
    backup(found.mdp, 0, log_rho[0], (WEIGHT, WEIGHT), V[1], Q, first)
    state = int(np.flatnonzero((grid.points == problem.initial.mean).all(axis=1))[0])  # hanging is a point
    pi = np.exp(log_rho[0, state] - WEIGHT * (Q[state] - first[state]))
    return found, log_rho, state, np.array([first[state], pi @ found.controls[:, 0]])


def on_table(found, log_rho, state, samples):
    """Value and first control by trajectories of the table, and their standard errors."""
    from ppi_robotics.discrete import sample_integral

    result = sample_integral(found.mdp, WEIGHT, state, 0, samples, SEED, log_rho, STAGES)
    u, p = found.controls[:, 0], result.policy
    # the error of a mean of the first control, as if its actions were drawn by the effective samples
    error = math.sqrt(max(p @ u**2 - (p @ u) ** 2, 0.0) / result.ess)
    return np.array([result.value, p @ u]), np.array([result.standard_error, error]), result.ess


def on_plant(problem, policy, samples):
    """The same by rollouts of the plant."""
    import ppi_robotics as ppi

    result = ppi.path_integral(problem, policy, WEIGHT, samples=samples, seed=SEED)
    pair = np.array([result.value, result.control[0]])
    return pair, np.array([result.standard_error, result.control_standard_error[0]]), result.ess


def main():
    """Print the study; exit with 1 if an estimate of many effective samples is off by more than 4 standard errors."""
    problem, policy = setting()
    coarse, fine = (exact(problem, policy, n) for n in GRIDS)
    limit = fine[3] + (fine[3] - coarse[3]) / 3.0
    for n, (*_, truth) in zip(GRIDS, (coarse, fine), strict=True):
        print(f"{n} x {n + 1} points, {CONTROLS} controls: value {truth[0]:.4f}, first control {truth[1]:.4f} N m")
    print(f"extrapolated: value {limit[0]:.4f}, first control {limit[1]:.4f} N m", flush=True)
    worst = 0.0
    for samples in SIZES:
        for name, truth, (found, error, ess) in (
            ("table", fine[3], on_table(*fine[:3], samples)),
            ("plant", limit, on_plant(problem, policy, samples)),
        ):
            z = (found - truth) / error
            worst = max(worst, *np.abs(z)) if ess >= 100.0 else worst
            print(
                f"{samples:7d} samples of the {name}, ESS {ess:7.0f}: value {found[0]:.3f} +- {error[0]:.3f} "
                f"({z[0]:+.1f}), first control {found[1]:.4f} +- {error[1]:.4f} N m ({z[1]:+.1f} standard errors)",
                flush=True,
            )
    return 1 if worst > MOST else 0


if __name__ == "__main__":
    sys.exit(main())
