"""Swing-ups by sampling in receding horizon at 50 Hz: success over seeds, and what feedback between replans is worth.

Every episode starts from hanging at rest, with the plant's own noise; it succeeds if it ends upright. Then plans are
made at every fifth stage alone, in as many rounds as there is time for, under 10 % control noise, and the stages
between follow the plan with its gains or without: the same noise for both, so that the differences are paired.
"""

import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from scipy import stats

SEEDS, EVERY, NOISE = 50, 5, 0.1
TASKS = {"pendulum": (75, 250), "cartpole": (75, 200), "acrobot": (100, 400)}  # stages ahead, and of an episode
LEAST = {"pendulum": 1.0, "cartpole": 0.98, "acrobot": 0.9}


def setting(name, rounds=1):
    """The swing-up of a plant over a short horizon, and the method with its rounds a replan."""
    import ppi_robotics as ppi
    from plants import Acrobot, CartPole, Pendulum

    plant = {"pendulum": Pendulum, "cartpole": lambda: CartPole(force_limit=15.0), "acrobot": Acrobot}[name]()
    # a horizon that recedes needs a price on the cart's way, or the pole is held aslant by a cart that runs off
    weights = np.array([0.5, 1.0, 0.05, 0.1])
    cost = ppi.Quadratic(weights, [0.01], 10 * weights) if name == "cartpole" else plant.swing_up_cost()
    problem = ppi.Problem(plant, cost, plant.hanging, TASKS[name][0])
    return problem, ppi.MPPI(512, ppi.TargetESS(0.02), smoothing=ppi.Colored(1.0), max_iterations=rounds)


def episode(name, seed, every=1, noise=0.0, gains=True):
    """Cost of an episode, whether it ends upright, and the median seconds of a replan."""
    import ppi_robotics as ppi

    problem, method = setting(name, every)
    plant, rng, total = problem.plant, np.random.default_rng(seed), 0.0
    x, mpc = problem.initial.mean, ppi.RecedingHorizon(problem, method, replan_every=every, seed=seed)
    for t in range(TASKS[name][1]):
        u = mpc.command(x)
        if not gains:
            u = np.clip(mpc.policy.u_ref[t % every], *plant.control_limits.T)
        total += float(problem.cost.stage(x[None], u[None])[0])
        applied = u * (1.0 + noise * rng.standard_normal(plant.nu))
        x = plant.step(x[None], applied[None])[0] + plant.noise.factor @ rng.standard_normal(
            plant.noise.factor.shape[1]
        )
    report = mpc.report()
    if report.failures:
        raise SystemExit(f"{name}, seed {seed}: {report}")
    return total, bool(plant.success(x[None])[0]), float(np.median(report.seconds))


def row(what, results):
    """Print how a set of episodes went."""
    cost, success, seconds = (np.array(part) for part in zip(*results, strict=True))
    low, high = stats.binomtest(int(success.sum()), len(success)).proportion_ci(method="wilson")
    error = cost.std(ddof=1) / np.sqrt(len(cost))
    print(
        f"{what}: {success.sum()} of {len(success)} upright (95 %: {100 * low:.1f} to {100 * high:.1f} %), "
        f"cost {cost.mean():.1f} +- {error:.1f}, {1e3 * np.median(seconds):.1f} ms a replan",
        flush=True,
    )
    return cost


def main(names):
    with ProcessPoolExecutor(2) as pool:
        for name in names or TASKS:
            everywhere = [name] * SEEDS, range(SEEDS)
            row(f"{name}, least {100 * LEAST[name]:g} %", pool.map(episode, *everywhere))
            sparse = [EVERY] * SEEDS, [NOISE] * SEEDS
            costs = {
                which: row(
                    f"{name}, a plan in {EVERY} stages, {100 * NOISE:g} % control noise, {which} gains",
                    list(pool.map(episode, *everywhere, *sparse, [which == "with"] * SEEDS)),
                )
                for which in ("with", "without")
            }
            gain = costs["without"] - costs["with"]
            error = gain.std(ddof=1) / np.sqrt(SEEDS)
            print(f"{name}, saved by the gains, paired: {gain.mean():.2f} +- {error:.2f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
