"""Receding horizon on the cart-pole, 50 stages ahead: wall time of a replan in a closed loop with noise and pushes."""

import numpy as np

from benchmarks.report import report

HORIZON, STAGES, TARGET = 50, 1000, 10.0


def replans(plant, method, seed=0):
    """Milliseconds of every replan of an episode with 5 % control noise and a push every second."""
    import ppi_robotics as ppi

    cost = ppi.Quadratic([1.0, 1.0, 0.1, 0.1], [0.01], [10.0, 10.0, 1.0, 1.0])
    problem = ppi.Problem(plant, cost, [0.0, 0.1, 0.0, 0.0], HORIZON)
    mpc, x, rng = ppi.RecedingHorizon(problem, method), problem.initial.mean, np.random.default_rng(seed)
    for t in range(STAGES):
        u = mpc.command(x) * (1 + 0.05 * rng.standard_normal(plant.nu))
        x = plant.step(x[None], u[None])[0]
        if t % 50 == 0:
            x = x + rng.normal(0.0, [0.0, 0.0, 0.2, 0.7])
    counted = mpc.report()
    if counted.failures or not plant.success(x[None])[0]:
        raise SystemExit(f"no fair timing: {counted}, at the end {x}")
    return 1e3 * counted.seconds


def main():
    import ppi_robotics as ppi
    from plants import CartPole

    limited = CartPole(force_limit=10.0)
    for name, plant, method in (
        ("iLQG, 3 iterations", CartPole(), ppi.ILQG(max_iterations=3)),
        ("iLQG, box limits, 3 iterations", limited, ppi.ILQG(limits="box", max_iterations=3)),
        ("iLQG, box limits, converged", limited, ppi.ILQG(limits="box")),
        ("iLQG, interior point, converged", limited, ppi.ILQG()),
        ("PPI, converged", CartPole(), ppi.PPI(0.1)),
    ):
        seconds = replans(plant, method)
        for what, value in (("median", np.median(seconds)), ("95 %", np.quantile(seconds, 0.95))):
            report(f"replan, {name}, {what}", "ms", float(value), None, None, None, TARGET, replans=len(seconds))


if __name__ == "__main__":
    main()
