"""Closed-loop rollouts of a policy, with noise, in parallel and replayable by index.

    u_t = clip(u_ref_t + K_t (x_t - x_ref_t)),   x_{t+1} = f(x_t, u_t) + w_t          w as in `noise`

Sample i meets the same noise under every policy, at any number of threads and in any chunk.
"""

import functools
import importlib
import math
from contextlib import closing
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from ppi_robotics.checks import check_count, check_flag, check_instance, check_room, check_seed, check_threads
from ppi_robotics.gaussian import Record, covariance_factor, frozen, writable
from ppi_robotics.interruption import Held
from ppi_robotics.kernels.lanes import normals
from ppi_robotics.noise import beside
from ppi_robotics.parallel import in_threads
from ppi_robotics.policy import LinearGaussianPolicy, control_factors
from ppi_robotics.problem import Problem, check_problem
from ppi_robotics.scales import nearness
from ppi_robotics.streams import ACTUATOR, CONTROL, INITIAL, PROCESS, STATE

NO_NOISE_PRICE = np.empty((0, 0, 0))
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
    def diverged(self) -> dict[int, float]:
        """When samples diverged: a dict from sample index to the time [s] of the first state that is not finite.

        A sample of finite states and infinite cost has the time of the end.
        """
        sound = np.isfinite(self.x).all(axis=2)
        sound[:, : self.u.shape[1]] &= np.isfinite(self.u).all(axis=2)
        sound[:, -1] &= np.isfinite(self.cost)
        lost, stage = np.flatnonzero(~sound.all(axis=1)), np.argmin(sound, axis=1)
        return {self.first + int(i): int(stage[i]) * self.dt for i in lost}


def rollout(
    problem: Problem,
    policy: LinearGaussianPolicy,
    samples: int = 1,
    seed: int = 0,
    first: int = 0,
    stochastic: bool = False,
    threads: int | None = None,
) -> Rollouts:
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


def closed_loop(
    problem: Problem,
    policy: LinearGaussianPolicy,
    seed: int = 0,
    stochastic: bool = False,
    noisy: bool = True,
    repeats: int = 1,
):
    """A problem and a policy as a loop whose `run` fills costs and final states of numbered samples.

    Args:
      problem, policy, seed, stochastic: as for `rollout`.
      noisy: whether the plant's noise and the covariance of its initial state act.
      repeats: samples that share a sequence of controls, where `run` is given some.

    Raises:
      ProblemError: if the policy does not fit the problem, or the seed is out of range.
    """
    seed = check_seed(seed)
    check_flag(stochastic, "stochastic")
    check_problem(problem)
    check_instance(policy, "policy", LinearGaussianPolicy, "for instance solution.policy")
    policy.check(problem)
    return loop_of(problem, policy, seed, stochastic, noisy, repeats)


def loop_of(problem: Problem, policy, seed=0, stochastic=False, noisy=True, repeats=1):
    """As `closed_loop`, unchecked, of anything with arrays x_ref, u_ref, K and, if `stochastic`, cov."""
    return (fast_loops(problem) or SLOW).ClosedLoop(problem, policy, seed, stochastic, noisy, repeats)


def shooting(problem: Problem, limits: np.ndarray, price: float = 0.0):
    """Noise-free closed-loop rollouts from the mean initial state, and line searches over them.

    Args:
      problem: `Problem`.
      limits: control limits (nu, 2) that clip the controls.
      price: a disturbance w costs price |w|^2 / 2.
    """
    return (fast_loops(problem) or SLOW).Shooting(problem, limits, price)


def fast_loops(problem: Problem):
    """Module of a `ClosedLoop` and a `Shooting` that are faster than those below, or None.

    A plant names it as its `loops`; it serves the costs that its function `serves` says.
    """
    name = getattr(problem.plant, "loops", None)
    module = importlib.import_module(name) if name else None
    return module if module is not None and module.serves(problem.cost) else None


def nominal_rollout(problem: Problem, policy: LinearGaussianPolicy) -> tuple[np.ndarray, np.ndarray, float]:
    """Noise-free trajectory x (T + 1, nx), u (T, nu) of a policy from the mean initial state, and its cost."""
    return shooting(problem, problem.plant.control_limits).rollout(policy.x_ref, policy.u_ref, policy.K)


@functools.cache
def no_limits(nu: int) -> np.ndarray:
    """Limits (nu, 2) that never act."""
    return frozen(np.tile([-np.inf, np.inf], (nu, 1)))


class ClosedLoop:
    """Rollouts of any plant with a `step`, all samples side by side; arguments as for `closed_loop`.

        u_t = clip(u_ref_t + K_t (x_t - x_ref_t) + S_t e_t + push_t)
        x_{t+1} = f(x_t, u_t + sum_i a_i C_i u_t) + sum_j b_j D_j x_t + G w_t         a, b, e, w ~ N(0, I)

    Attributes:
      most: largest number of samples a run.
      few: samples up to which one run on all processors takes less time than several side by side.
    """

    most, few = 2**20, 0

    def __init__(self, problem, policy, seed=0, stochastic=False, noisy=True, repeats=1):
        self.problem, self.policy, self.seed = problem, policy, np.uint64(seed)
        self.noisy, self.repeats = noisy, repeats
        self.control_factors = control_factors(policy.cov) if stochastic else None
        self.initial_factor = covariance_factor(problem.initial.cov)
        self.nearness = 0.0 if problem.plant.quaternions else nearness(problem, policy.x_ref)

    def run(self, first, cost, final, x=None, u=None, push=None, stages=None):
        """Fill cost (N,) and final (N, nx) for samples first, first + 1, ..., and what else is given.

        A sample costs infinity where a state is not finite, or farther than those that count as diverged.

        Args:
          x, u: states (N, T + 1, nx) and controls (N, T, nu) to fill.
          push: added to the controls (N / repeats, T, nu), before limits act.
          stages: costs of the stages (N, T + 1) to fill.
        """
        problem, plant, policy = self.problem, self.problem.plant, self.policy
        N, T, limits = len(cost), problem.horizon, plant.control_limits.T
        costs, near = np.empty((N, T + 1)), np.ones(N, dtype=bool)
        rows = np.arange(N) // self.repeats
        with np.errstate(all="ignore"):
            now = self._start(first, N)
            for t in range(T):
                v = policy.u_ref[t] + plant.difference(now, policy.x_ref[t]) @ policy.K[t].T
                if self.control_factors is not None:
                    v += self._normals(CONTROL, first, t, (N, plant.nu)) @ self.control_factors[t].T
                if push is not None:
                    v += push[rows, t]
                v = np.clip(v, *limits)
                costs[:, t] = problem.cost.stage(now, v, t)
                if x is not None:
                    x[:, t], u[:, t] = now, v
                now = self._next(now, v, first, t)
                near &= (np.abs(now) * self.nearness <= 1.0).all(axis=1)  # nan is not below 1 either
            costs[:, T] = problem.cost.terminal(now)
            total = costs.sum(axis=1)
        cost[:], final[:] = np.where(near & ~np.isnan(total), total, np.inf), now
        if x is not None:
            x[:, T] = now
        if stages is not None:
            stages[:] = costs

    def _start(self, first, N):
        """Initial states (N, nx)."""
        mean, factor = np.tile(self.problem.initial.mean, (N, 1)), self.initial_factor
        if not (self.noisy and factor.shape[1]):
            return mean
        return self.problem.plant.retract(mean, self._normals(INITIAL, first, 0, (N, factor.shape[1])) @ factor.T)

    def _next(self, x, u, first, t):
        """Next states (N, nx), with noise."""
        plant, noise, N = self.problem.plant, self.problem.plant.noise, len(x)
        if not (self.noisy and noise.columns):
            return plant.step(x, u)
        if len(noise.control):
            a = self._normals(ACTUATOR, first, t, (N, len(noise.control)))
            u = u + np.einsum("nk,kij,nj->ni", a, noise.control, u)
        after, move = plant.step(x, u), np.zeros((N, plant.ndx))
        if len(noise.state):
            b = self._normals(STATE, first, t, (N, len(noise.state)))
            move += np.einsum("nk,kij,nj->ni", b, noise.state, x)
        if noise.factor.shape[1]:
            move += self._normals(PROCESS, first, t, (N, noise.factor.shape[1])) @ noise.factor.T
        return plant.retract(after, move)

    def _normals(self, stream, first, t, shape):
        """Standard normals (N, n) of samples first, first + 1, ... at a stage, those of the compiled loops."""
        z = np.empty(shape[::-1])
        normals(self.seed, stream, first, t, z)
        return z.T


class Shooting:
    """Noise-free closed-loop rollouts from the mean initial state, and line searches; arguments as for `shooting`.

    u_t = clip(u_ref_t + a k_t + K_t (x_t - x_ref_t)),   x_{t+1} = f(x_t, u_t) + G_t w_t
    w_t = w_ref_t + a h_t + D_t (x_t - x_ref_t)          merit = sum C_t + z_t'N_t z_t / 2 + price |w_t|^2 / 2, and C_T
    """

    def __init__(self, problem, limits, price=0.0):
        self.problem, self.limits, self.price = problem, limits, price
        self.T, self.nu = problem.horizon, problem.plant.nu

    def rollout(self, x_ref, u_ref, K=None):
        """x (T + 1, nx), u (T, nu) and cost under u_ref + K (x - x_ref), or under u_ref alone."""
        K = np.zeros((self.T, self.nu, self.problem.plant.ndx)) if K is None else K
        x, u, _, cost = self.roll(np.zeros(1), x_ref, u_ref, K, np.zeros((self.T, self.nu)))
        return x[0], u[0], float(cost[0])

    def search(
        self, steps, merit, slope, curvature, ratio, x_ref, u_ref, K, k, disturbance=None, noise_price=NO_NOISE_PRICE
    ):
        """First acceptable of the step lengths along the feedforward change k (T, nu).

        The first is tried alone; the others, if it fails, side by side.

        Args:
          steps: step lengths a in the order of trial.
          merit, slope, curvature, ratio: a is accepted at merit + ratio (a slope + a^2 curvature / 2) or below.
          x_ref, u_ref, K, k: reference, gains (T, nu, ndx) and change.
          disturbance: (w_ref (T, nw), h (T, nw), D (T, nw, ndx), G (T, ndx, nw)), or None.
          noise_price: N (T, ndx + nu, ndx + nu), or 0 rows.

        Returns:
          index of the step length or -1, merit, x (T + 1, nx), u (T, nu), w (T, nw).
        """
        goal = merit + ratio * (steps * slope + 0.5 * steps**2 * curvature)
        for trials in (slice(0, 1), slice(1, None)):
            if not len(steps[trials]):
                break
            x, u, w, cost = self.roll(writable(steps[trials]), x_ref, u_ref, K, k, disturbance)
            merits = self._merits(x, u, w, cost, noise_price)
            good = np.flatnonzero(merits <= goal[trials])
            if len(good):
                n = int(good[0])
                return trials.start + n, float(merits[n]), x[n], u[n], w[n]
        return -1, merit, x[-1], u[-1], w[-1]

    def roll(self, a, x_ref, u_ref, K, k, disturbance=None):
        """Rollouts with step lengths a (N,): x (N, T + 1, nx), u (N, T, nu), w (N, T, nw) and costs (N,)."""
        plant, cost, N = self.problem.plant, self.problem.cost, len(a)
        w_ref, h, D, G = disturbance or (np.empty((0, 0)),) * 4
        x, u = np.empty((N, self.T + 1, plant.nx)), np.empty((N, self.T, self.nu))
        w, total = np.empty((N, *w_ref.shape)), np.zeros(N)
        x[:, 0] = self.problem.initial.mean
        with np.errstate(all="ignore"):
            for t in range(self.T):
                dx = plant.difference(x[:, t], x_ref[t])
                u[:, t] = np.clip(u_ref[t] + np.multiply.outer(a, k[t]) + dx @ K[t].T, *self.limits.T)
                total += cost.stage(x[:, t], u[:, t], t)
                x[:, t + 1] = plant.step(x[:, t], u[:, t])
                if disturbance is not None:
                    w[:, t] = w_ref[t] + np.multiply.outer(a, h[t]) + dx @ D[t].T
                    x[:, t + 1] = plant.retract(x[:, t + 1], w[:, t] @ G[t].T)
            total += cost.terminal(x[:, -1])
        return x, u, w, np.where(np.isfinite(total), total, np.inf)

    def _merits(self, x, u, w, cost, noise_price):
        """Costs (N,) and the price of disturbances and of noise that grows."""
        merits = np.array(cost)
        for n in np.flatnonzero(np.isfinite(cost)):
            merits[n] += 0.5 * self.price * float(np.vdot(w[n], w[n]))
            if len(noise_price):
                z = beside(x[n, :-1], u[n], noise_price.shape[1] - self.nu)
                merits[n] += 0.5 * float(np.vdot(z, (noise_price @ z[:, :, None])[:, :, 0]))
        return np.where(np.isfinite(merits), merits, np.inf)


SLOW = SimpleNamespace(ClosedLoop=ClosedLoop, Shooting=Shooting)
