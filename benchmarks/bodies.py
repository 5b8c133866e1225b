"""Success rates of tasks on MuJoCo bodies over seeded noisy runs: shares, not times.

`python -m benchmarks.bodies [task ...]` prints one line per task; it takes some minutes for all of them. Control noise
is 5 % of every control's size. The suite's models are those of dm_control; costs, horizons, noise are this project's.
"""

import importlib
import sys
import time
import warnings

import numpy as np

import ppi_robotics as ppi
from plants import mujoco_bodies

RUNS, NOISE = 100, 0.05
GOALS = 10  # of the arms, with RUNS / GOALS runs each


def suite(name, substeps, limit=np.inf, success=None):
    """A model of dm_control's suite as a plant, its control limits tightened to `limit`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about windows and deprecated attributes, in packages that are not ours
        xml, assets = importlib.import_module(f"dm_control.suite.{name}").get_model_and_assets()
        quiet = ppi.MujocoPlant(xml, assets=assets, substeps=substeps)
        limits = np.clip(quiet.control_limits, -limit, limit)
        noise = ppi.Noise(np.zeros(quiet.ndx), control=np.full(quiet.nu, NOISE))
        return ppi.MujocoPlant(
            xml, assets=assets, substeps=substeps, noise=noise, control_limits=limits, success=success, name=name
        )


def swing_up(name, substeps, horizon, angle, limit, effort, method):
    """Swing-up of a suite's model whose angle is 0 upright; the plan leaves some of the motor to the feedback."""

    def upright(x):
        return (np.cos(x[:, angle]) > np.cos(0.3)) & (np.abs(x[:, x.shape[1] // 2 + angle]) < 2.0)

    def residuals(x, slow):
        return ppi.vertcat(0.3 * x[:angle], ppi.sin(x[angle]), 1 - ppi.cos(x[angle]), slow * x[x.numel() // 2 :])

    cost = ppi.LeastSquares(
        stage=lambda x, u: ppi.vertcat(residuals(x, 0.1), effort**0.5 * u), terminal=lambda x: 10 * residuals(x, 0.3)
    )
    planned, acting = suite(name, substeps, limit, upright), suite(name, substeps, success=upright)
    hanging = planned.state()
    hanging[angle] = np.pi
    solution = ppi.solve(ppi.Problem(planned, cost, hanging, horizon), method, seed=0, starts=2)
    result = ppi.evaluate(ppi.Problem(acting, cost, hanging, horizon), solution.policy, RUNS, seed=0)
    return result.success, solution


def cartpole():
    """dm_control's cart-pole, 3 s."""
    return swing_up("cartpole", 2, 150, 1, 0.9, 0.1, ppi.PPI(eta=0.01))


def pendulum():
    """dm_control's pendulum, whose motor lifts a fifth of its weight, 12 s."""
    return swing_up("pendulum", 1, 600, 0, 0.9, 0.5, ppi.ILQG())


def reach(body):
    """Reach random goals to 1 cm, at rest at the end."""
    rng, successes, solution = np.random.default_rng(0), [], None
    while len(successes) < GOALS:
        goal = rng.uniform([-0.6, -0.6, 0.1], [0.6, 0.6, 0.9])[: 2 if body == "arm2" else 3]
        try:
            problem = mujoco_bodies.task(body, "reach", goal=tuple(goal), noise=NOISE)
        except ppi.ProblemError:
            continue  # out of reach
        solution = ppi.solve(problem, ppi.PPI(eta=0.01), seed=0, starts=1)
        successes.append(ppi.evaluate(problem, solution.policy, RUNS // GOALS, seed=len(successes)).success)
    return np.concatenate(successes), solution


def double_pendulum(stages=500, pushed=250):
    """Balance for 10 s by receding horizon, the hip pushed after 5 s."""
    problem = mujoco_bodies.task("double_pendulum", "balance", noise=NOISE)
    plant, good = problem.plant, np.zeros(RUNS, dtype=bool)
    for run in range(RUNS):
        rng, x = np.random.default_rng(run), problem.initial.mean
        mpc = ppi.RecedingHorizon(problem, ppi.ILQG(max_iterations=1))
        push = np.concatenate((np.zeros(plant.nu + 1), rng.normal(0.0, 0.3, 2)))[-plant.ndx :]
        good[run] = True
        for t in range(stages):
            u = mpc.command(x)
            x = plant.step(x[None], (u * (1 + NOISE * rng.standard_normal(plant.nu)))[None])[0]
            x = plant.retract(x, push) if t == pushed else x
            good[run] &= bool(np.isfinite(x).all() and np.abs(x[0]) < 1.0)
        good[run] &= bool(problem.success(x[None])[0])
    return good, None


TASKS = {
    "cartpole": cartpole,
    "pendulum": pendulum,
    "arm2": lambda: reach("arm2"),
    "arm7": lambda: reach("arm7"),
    "double_pendulum": double_pendulum,
}


def study(name):
    """Run a task and print how often it succeeds."""
    began = time.perf_counter()
    success, solution = TASKS[name]()
    explained = "" if solution is None else f"; {solution.explain()}"
    seconds = time.perf_counter() - began
    print(f"{name}: {np.count_nonzero(success)}/{len(success)} succeed, {seconds:.0f} s{explained}", flush=True)


if __name__ == "__main__":
    for chosen in sys.argv[1:] or TASKS:
        study(chosen)
