"""Closed-loop rollouts of a policy, with noise, in parallel and replayable by index.

    u_t = clip(u_ref_t + K_t (x_t - x_ref_t)),   x_{t+1} = f(x_t, u_t) + w_t          w as in `noise`

Sample i meets the same noise under every policy, at any number of threads and in any chunk.
"""

import functools
import math
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from ppi_robotics.checks import check_count, check_flag, check_instance, check_room, check_seed, check_threads
from ppi_robotics.gaussian import Record, frozen
from ppi_robotics.interruption import Held
from ppi_robotics.parallel import in_threads
from ppi_robotics.policy import LinearGaussianPolicy
from ppi_robotics.problem import check_problem

CHUNK = 8192  # samples a task; a multiple of the lanes, so that chunks never share a block


@dataclass(frozen=True, eq=False)
class Rollouts(Record):
    """Sampled trajectories.

    Attributes:
      x: states (N, T + 1, nx).
      u: applied controls (N, T, nu).
      cost: (N,).
      first: index of the first sample.
      seed: of the noise.
      dt: seconds a stage; nan if not given.
      interrupted: whether Ctrl-C was pressed; the samples are those finished by then.
    """

    x: np.ndarray
    u: np.ndarray
    cost: np.ndarray
    first: int
    seed: int
    dt: float = math.nan
    interrupted: bool = False

    def __post_init__(self):
        for array in (self.x, self.u, self.cost):
            array.setflags(write=False)

    @functools.cached_property
    def diverged(self):
        """When samples diverged: a dict from sample index to the time [s] of the first state that is not finite.

        A sample of finite states and infinite cost has the time of the end.
        """
        sound = np.isfinite(self.x).all(axis=2)
        sound[:, : self.u.shape[1]] &= np.isfinite(self.u).all(axis=2)
        sound[:, -1] &= np.isfinite(self.cost)
        lost, stage = np.flatnonzero(~sound.all(axis=1)), np.argmin(sound, axis=1)
        return {self.first + int(i): int(stage[i]) * self.dt for i in lost}


def rollout(problem, policy, samples=1, seed=0, first=0, stochastic=False, threads=None):
    """Sample trajectories of a policy, all of them kept.

    Ctrl-C returns the samples finished so far, marked `interrupted`.

    Args:
      problem: `Problem`.
      policy: `LinearGaussianPolicy` for the problem's plant and horizon.
      samples: number N of rollouts.
      seed: of the noise, 0 to 2**64 - 1.
      first: index of the first sample; sample i is the same in every call with the same seed.
      stochastic: draw controls from the policy's covariance; otherwise its mean acts.
      threads: number of threads; all processors by default. Results do not depend on it.

    Returns:
      `Rollouts`.

    Raises:
      ProblemError: if the policy does not fit the problem, or a number is out of range.
      KeyboardInterrupt: if Ctrl-C is pressed twice before the samples under way are finished.
    """
    loop = closed_loop(problem, policy, seed, stochastic)
    samples = check_count(samples, "samples", 1)
    first = check_count(first, "first", 0, 2**63 - 1 - samples)
    check_threads(threads)
    check_room(samples, 8 * ((problem.horizon + 2) * problem.plant.nx + problem.horizon * problem.plant.nu + 1))
    plant, T = problem.plant, problem.horizon
    x, u = np.empty((samples, T + 1, plant.nx)), np.empty((samples, T, plant.nu))
    cost, final, chunk = np.empty(samples), np.empty((samples, plant.nx)), min(CHUNK, loop.most)

    def run(start):
        part = slice(start, min(start + chunk, samples))
        loop.run(first + start, cost[part], final[part], x[part], u[part])
        return part.stop

    done = 0
    with Held() as hold, closing(in_threads(run, range(0, samples, chunk), threads)) as stops:
        for stop in stops:
            done = stop
            if hold.pressed:
                break
    return Rollouts(x[:done], u[:done], cost[:done], first, seed, plant.dt, hold.pressed)


def closed_loop(problem, policy, seed=0, stochastic=False, noisy=True, repeats=1):
    """A problem and a policy as the plant's own loop, whose `run` fills costs and final states of numbered samples.

    Args:
      problem, policy, seed, stochastic: as for `rollout`.
      noisy: whether the plant's noise and the spread of its initial state act.
      repeats: samples that share a sequence of controls, where `run` is given some.

    Raises:
      ProblemError: if the policy does not fit the problem, or the seed is out of range.
    """
    seed = check_seed(seed)
    check_flag(stochastic, "stochastic")
    check_problem(problem)
    check_instance(policy, "policy", LinearGaussianPolicy, "for instance solution.policy")
    policy.check(problem)
    return problem.plant.closed_loop(problem, policy, seed, stochastic, noisy, repeats)


def shooting(problem, limits, price=0.0):
    """Noise-free closed-loop rollouts from the mean initial state, and line searches over them.

    Args:
      problem: `Problem`.
      limits: control limits (nu, 2) that clip the controls.
      price: a disturbance w costs price |w|^2 / 2.
    """
    return problem.plant.shooting(problem, limits, price)


def nominal_rollout(problem, policy):
    """Noise-free trajectory x (T + 1, nx), u (T, nu) of a policy from the mean initial state, and its cost."""
    return shooting(problem, problem.plant.control_limits).rollout(policy.x_ref, policy.u_ref, policy.K)


@functools.cache
def no_limits(nu):
    """Limits (nu, 2) that never act."""
    return frozen(np.tile([-np.inf, np.inf], (nu, 1)))
