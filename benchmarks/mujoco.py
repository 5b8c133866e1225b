"""MuJoCo plants: what closed loops, derivatives and solves cost on top of MuJoCo's own work.

1. Closed loops with feedback, process noise, control noise and a quadratic cost, against the bare open loops of
   `mujoco.batch.Batch.rollout` with the same number of samples, steps and threads: ratio of the throughputs.
2. Derivatives of 100 knots against a loop over `mjd_transitionFD` in one thread of Python.
3. The share of iLQG's iterations on the cheetah that is spent in simulations and derivatives.
"""

import importlib
import time
import warnings

import mujoco
import mujoco.batch
import numpy as np

from benchmarks.report import check, missing, report
from benchmarks.timing import side_by_side

SAMPLES, HORIZON, KNOTS = 512, 100, 100
CLOSED = {"cartpole": 0.8, "humanoid": 0.95}  # least throughput of closed loops, as a share of that of open ones
DIFFERENCES = {"cheetah": 1.7, "humanoid": 1.7}
INSIDE = 85.0  # least percentage of iLQG's time in simulations and derivatives
SPEED = 3.0  # m/s that the cheetah is asked to run at


def body(name, noisy=False):
    """A plant of dm_control's suite."""
    import ppi_robotics as ppi

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        xml, assets = importlib.import_module(f"dm_control.suite.{name}").get_model_and_assets()
    bare = ppi.MujocoPlant(xml, assets=assets)
    noise = ppi.Noise(np.full(bare.ndx, 1e-10), control=np.full(bare.nu, 0.05)) if noisy else None
    return ppi.MujocoPlant(xml, assets=assets, noise=noise, name=name)


def still(plant, seed=0):
    """A policy of small controls and gains about the default state."""
    import ppi_robotics as ppi

    rng, T, nu = np.random.default_rng(seed), HORIZON, plant.nu
    u_ref, K = 0.1 * rng.normal(size=(T, nu)), 0.01 * rng.normal(size=(T, nu, plant.ndx))
    x_ref = np.tile(plant.state(), (T, 1))
    return ppi.LinearGaussianPolicy(x_ref, u_ref, K, np.zeros((T, nu, nu)), plant.dt, quaternions=plant.quaternions)


def closed_loops(name, target):
    """Throughput of closed loops with noise, as a share of that of open loops."""
    import ppi_robotics as ppi
    from ppi_robotics.parallel import processors

    plant, threads = body(name, noisy=True), processors()
    problem = ppi.Problem(plant, ppi.Quadratic(np.ones(plant.ndx), np.ones(plant.nu)), plant.state(), HORIZON)
    policy = still(plant)
    batch = mujoco.batch.Batch(plant.model, SAMPLES, threads)
    control = np.repeat(policy.u_ref[None], SAMPLES, axis=0)
    recorded = batch.rollout(HORIZON, control, mujoco.mjtState.mjSTATE_CTRL)

    def opened():
        batch.reset()
        batch.rollout(HORIZON, control, mujoco.mjtState.mjSTATE_CTRL, out=recorded)

    def closed():
        return ppi.evaluate(problem, policy, samples=SAMPLES)

    if closed().diverged:
        raise SystemExit(f"{closed().diverged} closed loops diverged: no fair comparison")
    timing = side_by_side({"closed": closed, "open": opened}, 20.0, rounds=11)
    ours, theirs = (timing.median(which) / (SAMPLES * HORIZON) * 1e6 for which in ("closed", "open"))
    ratio = timing.ratio("open", "closed")
    report(f"closed loops, {name}, per step", "us", ours, "open loops", theirs, ratio, target, threads=threads)


def derivatives(name, target):
    """Time of the derivatives along a rollout, against a plain loop."""
    import ppi_robotics as ppi

    plant = body(name)
    problem = ppi.Problem(plant, ppi.Quadratic(np.ones(plant.ndx), np.ones(plant.nu)), plant.state(), KNOTS)
    rolled = ppi.rollout(problem, still(plant))
    x, u, model, data = rolled.x[0, :-1].copy(), rolled.u[0].copy(), plant.model, mujoco.MjData(plant.model)
    A, B = np.zeros((KNOTS, plant.ndx, plant.ndx)), np.zeros((KNOTS, plant.ndx, plant.nu))
    C = np.zeros((KNOTS, model.nsensordata, plant.ndx)), np.zeros((KNOTS, model.nsensordata, plant.nu))

    def loop():
        for t in range(KNOTS):
            mujoco.mj_resetData(model, data)
            plant.write(data, x[t])
            data.ctrl[:] = u[t]
            mujoco.mj_forward(model, data)
            mujoco.mjd_transitionFD(model, data, 1e-6, True, A[t], B[t], C[0][t], C[1][t])

    def ours():
        return plant.differentiate(x, u)

    loop()
    check(f"derivatives of {name}", ours()[2], A)
    check(f"derivatives of {name}", ours()[3], B)
    timing = side_by_side({"ours": ours, "loop": loop}, 15.0, rounds=9)
    times = [1e3 * timing.median(which) for which in ("ours", "loop")]
    ratio = timing.ratio("loop", "ours")
    report(f"derivatives of {KNOTS} knots, {name}", "ms", times[0], "one thread", times[1], ratio, target)


def running(plant):
    """The problem of running with little effort."""
    import ppi_robotics as ppi

    joint = plant.state_names[plant.model.nq]  # the first velocity, forward
    forward = ppi.JointVelocity(joint.removesuffix(" velocity"), SPEED, 1.0)
    upright = ppi.JointPosition("rooty", 0.0, 0.5)
    return ppi.Problem(plant, ppi.TaskCost([forward, upright, ppi.Effort(0.05)]), plant.state(), HORIZON)


def share_inside(problem, iterations=15):
    """Percentage of the wall time of iLQG's iterations inside simulations and differences, and ms an iteration."""
    import ppi_robotics as ppi
    from ppi_robotics.mujoco.simulation import Simulations

    inside, plain = [], (Simulations.roll, Simulations.linearize)

    def timed(function):
        def call(*arguments, **options):
            start = time.perf_counter()
            result = function(*arguments, **options)
            inside.append(time.perf_counter() - start)
            return result

        return call

    ticks, sums = [], []

    def tick(_):
        ticks.append(time.perf_counter())
        sums.append(sum(inside))

    Simulations.roll, Simulations.linearize = map(timed, plain)
    try:
        ppi.solve(problem, ppi.ILQG(max_iterations=iterations, tolerance=1e-15), starts=1, callback=tick)
    finally:
        Simulations.roll, Simulations.linearize = plain
    wall = ticks[-1] - ticks[0]
    return 100.0 * (sums[-1] - sums[0]) / wall, 1e3 * wall / (len(ticks) - 1)


def main():
    try:
        for name, target in CLOSED.items():
            closed_loops(name, target)
        for name, target in DIFFERENCES.items():
            derivatives(name, target)
        problem = running(body("cheetah"))
        share_inside(problem)  # compiles
        shares, each = np.median([share_inside(problem) for _ in range(5)], axis=0)
        what = f"iLQG on the cheetah, share of {each:.0f} ms an iteration in simulations and derivatives"
        report(what, "%", float(shares), "all", 100.0, float(shares) / 100, INSIDE / 100)
    except ImportError as error:
        missing("MuJoCo plants", error)


if __name__ == "__main__":
    main()
