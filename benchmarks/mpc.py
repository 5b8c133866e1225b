"""Receding horizon, 50 stages ahead: wall time of a replan in a closed loop with noise and pushes.

The cart-pole is to replan at 100 Hz, as equations of its own and in MuJoCo, an arm of seven joints in MuJoCo at 20 Hz.
"""

import numpy as np

from benchmarks.report import report

HORIZON, STAGES, TARGET = 50, 1000, 10.0
BODIES = {"cartpole": ("swingup", 10.0), "arm7": ("reach", 50.0)}  # task, milliseconds a replan


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


def body(name, task, stages=150):
    """Milliseconds of every replan of a task in MuJoCo: balance of the cart-pole, reaching with the arm."""
    import ppi_robotics as ppi
    from plants import mujoco_bodies

    given = mujoco_bodies.task(name, task, noise=0.05)
    options = {"substeps": given.plant.substeps, "noise": given.plant.noise, "differences": "one_sided"}
    plant = ppi.MujocoPlant(mujoco_bodies.MODELS / f"{name}.xml", **options)
    initial, cost = given.initial.mean, given.cost.given
    if name == "cartpole":
        initial, cost = plant.state("upright"), ppi.Quadratic([1, 1, 0.1, 0.1], [0.01], [10, 10, 1, 1])
    problem, rng = ppi.Problem(plant, cost, initial, HORIZON), np.random.default_rng(0)
    mpc, x = ppi.RecedingHorizon(problem, ppi.ILQG(max_iterations=1)), problem.initial.mean
    for _ in range(stages):
        u = mpc.command(x) * (1 + 0.05 * rng.standard_normal(plant.nu))
        x = plant.step(x[None], u[None])[0]
    counted = mpc.report()
    if counted.failures:
        raise SystemExit(f"no fair timing: {counted}")
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
    for name, (task, target) in BODIES.items():
        seconds = body(name, task)
        for what, value in (("median", np.median(seconds)), ("95 %", np.quantile(seconds, 0.95))):
            what = f"replan, iLQG, 1 iteration, {name} in MuJoCo, {what}"
            report(what, "ms", float(value), None, None, None, target, replans=len(seconds))


if __name__ == "__main__":
    main()
