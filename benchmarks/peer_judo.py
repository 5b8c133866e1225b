"""One update of judo's MPPI on judo's own cart-pole; prints one line of JSON.

Run as `python -m benchmarks.peer_judo` by an interpreter of an environment that has `judo-rai` (README.md beside this
file); imports nothing of ppi_robotics. An update is `Controller.update_action`: move the nominal knots, sample,
interpolate, roll out, rewards, weighted mean, traces for the viewer. Everything is judo's default for this task but the
number of threads: judo starts as many as there are rollouts; `--threads` is how many share them, 0 for its own choice.
"""

import argparse
import importlib.metadata
import json
import statistics
import time

import judo.tasks.base
import mujoco.rollout
import numpy as np
from judo.controller import make_controller

START = np.array([1.0, np.pi, 0.0, 0.0])  # positions and velocities, where the task's own reset starts but for noise


class Threads:
    """MuJoCo's rollouts in a given number of threads, called as judo calls its own."""

    def __init__(self, threads):
        self.threads, self.pool = threads, mujoco.rollout.Rollout(nthread=threads)

    def rollout(self, models, datas, states, controls):
        """States and sensor values; MuJoCo asks for as many `datas` as it has threads."""
        return self.pool.rollout(models, datas[: self.threads], states, controls)


def build(threads):
    """Judo's controller at the start, and the number of its threads."""
    judo.tasks.base.download_and_extract_meshes = lambda **_: None  # meshes of other tasks, fetched from the network
    controller = make_controller("cartpole", "mppi")
    controller.current_state = START.copy()
    controller.time = 0.0
    if threads:
        controller.rollout_backend._rollout_obj = Threads(threads)
    return controller, threads or controller.rollout_backend.num_threads


def fixed_costs(controller):
    """Five control sequences (5, T, nu) and minus the rewards of their rollouts (5,)."""
    number, stage = np.arange(5.0), np.arange(float(controller.num_timesteps))
    controls = np.sin(0.3 * (1 + number[:, None]) * stage + number[:, None])[..., None]
    backend = type(controller.rollout_backend)(controller.model, len(controls))
    states, sensors, _ = backend.rollout(START, controls)
    return controls, -controller.task.reward(states, sensors, controls)


def milliseconds(controller, rounds):
    """Of every update after a warm-up."""
    taken = []
    for _ in range(rounds + 10):
        start = time.perf_counter()
        controller.update_action()
        taken.append(1e3 * (time.perf_counter() - start))
    return taken[10:]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=200)
    given = parser.parse_args()
    np.random.seed(0)  # noqa: NPY002, the generator that judo draws from
    controller, threads = build(given.threads)
    controls, costs = fixed_costs(controller)
    taken = milliseconds(controller, given.rounds)
    optimizer, task = controller.optimizer_cfg, controller.task
    result = {
        "peer": "judo",
        "version": importlib.metadata.version("judo-rai"),
        "samples": optimizer.num_rollouts,
        "horizon": int(controller.num_timesteps),
        "median_ms": statistics.median(taken),
        "rounds": len(taken),
        "threads": threads,
        "mujoco": mujoco.__version__,
        "dt": task.dt,
        "knots": optimizer.num_nodes,
        "spline": controller.spline_order,
        "sigma": optimizer.sigma,
        "noise_ramp": optimizer.noise_ramp if optimizer.use_noise_ramp else None,
        "temperature": optimizer.temperature,
        "iterations": controller.max_opt_iters,
        "start": START.tolist(),
        "controls": controls.tolist(),
        "costs": costs.tolist(),
        "model": str(task.model_path),
        "xml": task.spec.to_xml(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
