"""Closed-loop rollouts and line searches on MuJoCo plants."""

import math

import numpy as np

from ppi_robotics.gaussian import covariance_factor, writable
from ppi_robotics.noise import beside
from ppi_robotics.policy import control_factors

ROOM, MOST = 5e5, 64  # bytes and samples of one run: few, so that threads finish together
FEW = 64  # samples that are one run


class ClosedLoop:
    """A problem and a policy as a law for batches of simulations; arguments as for `rollouts.closed_loop`.

    Attributes:
      most: largest number of samples a run.
      few: samples up to which one run on all processors takes less time than several side by side.
    """

    few = FEW

    def __init__(self, problem, policy, seed=0, stochastic=False, noisy=True, repeats=1):
        plant = problem.plant
        self.problem, self.seed, self.simulations, self.repeats = problem, seed, plant.simulations, repeats
        factors = {"S": control_factors(policy.cov)} if stochastic else {}
        factors |= {"C": plant.noise.control, "G": plant.noise.factor} if noisy else {}
        self.law = self.simulations.law(policy.x_ref, policy.u_ref[None], plant.control_limits, K=policy.K, **factors)
        self.factor = covariance_factor(problem.initial.cov) if noisy else np.empty((plant.ndx, 0))
        row = 8.0 * (problem.horizon + 1) * (plant.nx + plant.nu + self.simulations.ns)
        self.most, self.idle = max(min(int(ROOM / row), MOST), 1), []

    def run(self, first, cost, final, x=None, u=None, push=None, stages=None, threads=1):
        """Fill cost (N,) and final (N, nx) for samples first, first + 1, ..., and what else is given.

        Args:
          x, u: states (N, T + 1, nx) and controls (N, T, nu) to fill.
          push: added to the controls (N / repeats, T, nu), before limits act.
          stages: costs of the stages (N, T + 1) to fill.
          threads: of MuJoCo's own; None for all processors.
        """
        x0 = self.simulations.scatter(self.seed, first, self.problem.initial.mean, self.factor, len(cost))
        out, u_ref = self._room(len(cost)), None
        if push is not None:
            u_ref = np.repeat(self.law.u_ref + push, self.repeats, axis=0)
        how = {"threads": threads, "out": out, "u_ref": u_ref, "stage": self.problem.first_stage}
        xs, us, ys, lost = self.simulations.roll(self.law, x0, self.seed, first, **how)
        sound = lost < 0
        cost[:], final[:] = math.inf, xs[:, -1]
        if stages is not None:
            stages[:] = math.inf
        if sound.any():
            kept = (xs, us, ys) if sound.all() else (xs[sound], us[sound], ys[sound])
            costs = self.problem.cost.stages(*kept)
            cost[sound] = costs.sum(axis=1)
            if stages is not None:
                stages[sound] = costs
        if x is not None:
            x[:], u[:] = xs, us
        self.idle.append(out)

    def _room(self, samples):
        """Arrays of a run that has ended, or new ones: fresh memory takes time."""
        try:
            out = self.idle.pop()
        except IndexError:
            return self.simulations.room(samples, self.problem.horizon)
        return out if len(out[0]) == samples else self.simulations.room(samples, self.problem.horizon)


class Shooting:
    """Noise-free closed-loop rollouts from the mean initial state, and line searches over them.

    Args as for `rollouts.shooting`.
    """

    def __init__(self, problem, limits, price):
        self.problem, self.simulations, self.limits, self.price = problem, problem.plant.simulations, limits, price
        self.T, self.nu = problem.horizon, problem.plant.nu

    def rollout(self, x_ref, u_ref, K=None):
        """x (T + 1, nx), u (T, nu) and cost under u_ref + K (x - x_ref), or under u_ref alone."""
        law = self.simulations.law(x_ref[: self.T], u_ref[None], self.limits, K=K)
        start, stage = self.problem.initial.mean[None], self.problem.first_stage
        x, u, y, lost = self.simulations.roll(law, start, threads=1, stage=stage)
        return x[0], u[0], math.inf if lost[0] >= 0 else float(self.problem.cost.stages(x, u, y)[0].sum())

    def search(self, steps, merit, slope, curvature, ratio, x_ref, u_ref, K, k, disturbance=None, noise_price=()):
        """First acceptable of the step lengths along the feedforward change k (T, nu), see `symbolic_rollouts`.

        The first is tried alone; the others, if it fails, side by side.
        """
        push = {} if disturbance is None else dict(zip("vhDF", disturbance, strict=True))
        law = self.simulations.law(x_ref[: self.T], u_ref[None], self.limits, K=K, k=k, **push)
        goal = merit + ratio * (steps * slope + 0.5 * steps**2 * curvature)
        for trials in (slice(0, 1), slice(1, None)):
            a = writable(steps[trials])
            if not len(a):
                break
            start, stage = np.repeat(self.problem.initial.mean[None], len(a), axis=0), self.problem.first_stage
            x, u, y, lost = self.simulations.roll(law, start, a=a, stage=stage)
            w = [self._disturbance(x[n], a[n], law) for n in range(len(a))]
            merits = self._merits(x, u, y, lost, w, noise_price)
            good = np.flatnonzero(merits <= goal[trials])
            if len(good):
                n = int(good[0])
                return trials.start + n, float(merits[n]), x[n], u[n], w[n]
        return -1, merit, x[-1], u[-1], w[-1]

    def _disturbance(self, x, a, law):
        """Disturbances w (T, nw) along a path."""
        if law.v is None:
            return np.empty((0, 0))
        dx = self.problem.plant.difference(x[:-1], law.x_ref)
        return law.v + a * law.h + np.einsum("twi,ti->tw", law.D, dx)

    def _merits(self, x, u, y, lost, w, noise_price):
        merits = np.full(len(x), math.inf)
        sound = lost < 0
        if sound.any():
            merits[sound] = self.problem.cost.stages(x[sound], u[sound], y[sound]).sum(axis=1)
        for n in np.flatnonzero(sound):
            merits[n] += 0.5 * self.price * float(np.vdot(w[n], w[n]))
            if len(noise_price):
                z = beside(x[n, :-1], u[n], noise_price.shape[1] - self.nu)
                merits[n] += 0.5 * float(np.vdot(z, (noise_price @ z[:, :, None])[:, :, 0]))
        return np.where(np.isfinite(merits), merits, math.inf)
