"""Closed-loop rollouts and line searches on MuJoCo plants, in batches of simulations."""

import math

import numpy as np

from ppi_robotics import rollouts
from ppi_robotics.gaussian import covariance_factor
from ppi_robotics.policy import control_factors

ROOM, MOST = 8e6, 128  # bytes and samples of one run: few, so that threads finish together
FEW = 64  # samples that are one run


def serves(cost):
    """Whether a cost can be asked about whole trajectories, with the sensors along them."""
    return hasattr(cost, "stages")


def senses(cost):
    """Whether a cost reads sensors, which else are not computed."""
    return getattr(cost, "senses", True)


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
        self.senses = senses(problem.cost)
        row = 8.0 * (problem.horizon + 1) * (plant.nx + plant.nu + self.senses * self.simulations.ns)
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
            return self.simulations.room(samples, self.problem.horizon, self.senses)
        return out if len(out[0]) == samples else self.simulations.room(samples, self.problem.horizon, self.senses)


class Shooting(rollouts.Shooting):
    """Simulations without noise, and line searches over them; arguments as for `rollouts.shooting`."""

    def rollout(self, x_ref, u_ref, K=None):
        """x (T + 1, nx), u (T, nu) and cost under u_ref + K (x - x_ref), or under u_ref alone."""
        x, u, _, cost = self.roll(None, x_ref, u_ref, K, None)
        return x[0], u[0], float(cost[0])

    def roll(self, a, x_ref, u_ref, K, k, disturbance=None):
        """Simulations with step lengths a (N,), or a single one: what `rollouts.Shooting.roll` returns."""
        problem, simulations = self.problem, self.problem.plant.simulations
        push = {} if disturbance is None else dict(zip("vhDF", disturbance, strict=True))
        law = simulations.law(x_ref[: self.T], u_ref[None], self.limits, K=K, k=k, **push)
        how = {"threads": 1} if a is None else {"a": a}
        start = np.repeat(problem.initial.mean[None], 1 if a is None else len(a), axis=0)
        out = simulations.room(len(start), len(u_ref), senses(problem.cost))
        x, u, y, lost = simulations.roll(law, start, stage=problem.first_stage, out=out, **how)
        cost, sound = np.full(len(x), math.inf), lost < 0
        if sound.any():
            cost[sound] = problem.cost.stages(x[sound], u[sound], y[sound]).sum(axis=1)
        return x, u, self._disturbances(x, a, law), cost

    def _disturbances(self, x, a, law):
        """Disturbances w (N, T, nw) along paths x (N, T + 1, nx)."""
        if law.v is None:
            return np.empty((len(x), 0, 0))
        dx = np.stack([self.problem.plant.difference(path[:-1], law.x_ref) for path in x])
        return law.v + np.multiply.outer(a, law.h) + np.einsum("twi,nti->ntw", law.D, dx)
