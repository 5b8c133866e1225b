"""Closed-loop rollouts of a policy on a symbolic plant, with noise, in parallel and replayable by index.

    u_t = clip(u_ref_t + K_t (x_t - x_ref_t)),   x_{t+1} = f(x_t, u_t) + w_t          w as in `noise`

Sample i meets the same noise under every policy, at any number of threads and in any chunk.
"""

import functools
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import covariance_factor, frozen
from ppi_robotics.kernels.compiler import ROLLOUT_LANES, build
from ppi_robotics.policy import LinearGaussianPolicy
from ppi_robotics.problem import Problem

NO_NOISE_PRICE = np.empty((0, 0, 0))
CHUNK = 8192  # samples a task; a multiple of the lanes, so that chunks never share a block


@dataclass(frozen=True, eq=False)
class Rollouts:
    """Sampled trajectories.

    Attributes:
      x: states (N, T + 1, nx).
      u: applied controls (N, T, nu).
      cost: (N,).
      first: index of the first sample.
      seed: of the noise.
    """

    x: np.ndarray
    u: np.ndarray
    cost: np.ndarray
    first: int
    seed: int

    def __post_init__(self):
        for array in (self.x, self.u, self.cost):
            array.setflags(write=False)


def rollout(problem, policy, samples=1, seed=0, first=0, stochastic=False, threads=None):
    """Sample trajectories of a policy, all of them kept.

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
    """
    loop = ClosedLoop(problem, policy, seed, stochastic)
    check_count(samples, "samples", 1)
    check_count(first, "first", 0, 2**63 - 1 - samples)
    if threads is not None:
        check_count(threads, "threads", 1)
    plant, T = problem.plant, problem.horizon
    x, u = np.empty((samples, T + 1, plant.nx)), np.empty((samples, T, plant.nu))
    cost, final = np.empty(samples), np.empty((samples, plant.nx))

    def run(start):
        part = slice(start, min(start + CHUNK, samples))
        loop.run(first + start, cost[part], final[part], x[part], u[part])

    for _ in in_threads(run, range(0, samples, CHUNK), threads):
        pass
    return Rollouts(x, u, cost, first, seed)


class ClosedLoop:
    """A problem and a policy as arguments of the compiled loop."""

    def __init__(self, problem, policy, seed=0, stochastic=False):
        check_count(seed, "seed", 0, 2**64 - 1)
        if not isinstance(problem, Problem):
            raise ProblemError(f"problem is {problem!r}; expected a Problem(plant, cost, initial, horizon)")
        if not isinstance(policy, LinearGaussianPolicy):
            raise ProblemError(f"policy is {policy!r}; expected a LinearGaussianPolicy, for instance solution.policy")
        policy.check(problem)
        plant, cost = problem.plant, problem.cost
        self.kernels = closed_loop_kernels(plant, cost)
        self.seed = np.uint64(seed)
        factors = _factors(policy.cov) if stochastic else np.empty((0, plant.nu, plant.nu))
        self.before = ((problem.initial.mean, covariance_factor(problem.initial.cov)),)
        noise = plant.noise.factor, plant.noise.control, plant.noise.state
        self.before += (policy.x_ref, policy.u_ref, policy.K, factors, noise, plant.control_limits)
        self.before += (plant.model.dt, plant.model.constants, cost.stage_constants, cost.terminal_constants)
        self.nowhere = np.empty((0, 0, plant.nx)), np.empty((0, 0, plant.nu))

    def run(self, first, cost, final, x=None, u=None):
        """Fill cost (N,) and final (N, nx), and x, u if given, for samples first, first + 1, ..."""
        recorded = self.nowhere if x is None else (x, u)
        self.kernels.sampled(self.seed, first, *self.before, cost, final, *recorded)


def nominal_rollout(problem, policy):
    """Noise-free trajectory x (T + 1, nx), u (T, nu) of a policy from the mean initial state, and its cost."""
    shooting = Shooting(problem, problem.plant.control_limits)
    return shooting.rollout(policy.x_ref, policy.u_ref, policy.K)


class Shooting:
    """Noise-free closed-loop rollouts from the mean initial state, and line searches over them.

    Args:
      problem: `Problem`.
      limits: control limits (nu, 2) that clip the controls.
      price: a disturbance w costs price |w|^2 / 2.
    """

    def __init__(self, problem, limits, price=0.0):
        plant, cost = problem.plant, problem.cost
        self.kernels = shooting_kernels(plant, cost)
        self.x0, self.T, self.nx, self.nu, self.price = problem.initial.mean, problem.horizon, plant.nx, plant.nu, price
        constants = (plant.model.constants, cost.stage_constants, cost.terminal_constants)
        self.constants = (limits, plant.model.dt, *constants)
        self.still, self.calm = np.zeros((self.T, self.nu)), _calm(self.nx)

    def rollout(self, x_ref, u_ref, K=None):
        """x (T + 1, nx), u (T, nu) and cost under u_ref + K (x - x_ref), or under u_ref alone."""
        K = np.zeros((self.T, self.nu, self.nx)) if K is None else K
        _, cost, x, u, _ = self.search(np.zeros(1), np.inf, 0.0, 0.0, 0.0, x_ref, u_ref, K, self.still)
        return x, u, cost

    def search(
        self, steps, merit, slope, curvature, ratio, x_ref, u_ref, K, k, disturbance=None, noise_price=NO_NOISE_PRICE
    ):
        """First acceptable of the step lengths along the feedforward change k (T, nu).

        Args:
          steps: step lengths a in the order of trial.
          merit, slope, curvature, ratio: a is accepted at merit + ratio (a slope + a^2 curvature / 2) or below.
          x_ref, u_ref, K, k: reference, gains (T, nu, nx) and change.
          disturbance: (w_ref (T, nw), h (T, nw), D (T, nw, nx), G (T, nx, nw)): adds G w to each next state, with
            w = w_ref + a h + D (x - x_ref).
          noise_price: N (T, nx + nu, nx + nu), or 0 rows: adds z'Nz/2 to each stage's cost.

        Returns:
          index of the step length or -1, merit, x (T + 1, nx), u (T, nu), w (T, nw).
        """
        w_ref, h, D, G = disturbance or self.calm
        x, u, w = np.empty((self.T + 1, self.nx)), np.empty((self.T, self.nu)), np.empty(w_ref.shape)
        path = (self.x0, x_ref, u_ref, K, k, w_ref, h, D, G, noise_price, self.price)
        index, merit = self.kernels.search(steps, merit, slope, curvature, ratio, path, self.constants, x, u, w)
        return index, merit, x, u, w


@functools.cache
def _calm(nx):
    """The disturbance that never acts."""
    return np.empty((0, 0)), np.empty((0, 0)), np.empty((0, 0, nx)), np.empty((0, nx, 0))


@functools.cache
def no_limits(nu):
    """Limits (nu, 2) that never act."""
    return frozen(np.tile([-np.inf, np.inf], (nu, 1)))


@functools.lru_cache(maxsize=64)
def closed_loop_kernels(plant, cost):
    """Compiled closed loop of a plant under a cost."""
    noise = plant.noise
    sizes = plant.model.sizes | {"NW": noise.factor.shape[1], "NA": len(noise.control), "NB": len(noise.state)}
    functions = (*plant.model.functions[:1], *cost.functions[:2])
    templates = ("integrate", "feedback", "closed_loop")
    return build(f"rollouts of {plant.name}", ROLLOUT_LANES, sizes, functions, templates, contract=False)


@functools.lru_cache(maxsize=64)
def shooting_kernels(plant, cost):
    """Compiled line search of a plant under a cost; one lane, as its trials come one after the other."""
    functions = (*plant.model.functions[:1], *cost.functions[:2])
    return build(f"shooting of {plant.name}", 1, plant.model.sizes, functions, ("integrate", "feedback", "shooting"))


def in_threads(function, items, threads=None):
    """Results of a function over items in their order, computed by threads (the kernels release the GIL)."""
    if threads is None:
        threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for future in [pool.submit(function, item) for item in items]:
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def check_count(value, name, least, most=None):
    """Raise `ProblemError` unless value is a whole number in range."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        upper = "" if most is None else f" and at most {most}"
        raise ProblemError(f"{name} is {value!r}; expected a whole number, at least {least}{upper}")


def _factors(cov):
    eigenvalues, vectors = np.linalg.eigh(cov)
    return np.ascontiguousarray(vectors * np.sqrt(np.maximum(eigenvalues, 0.0))[:, None, :])
