"""An iteration in one compiled call, for symbolic plants with additive noise and costs whose Hessians need no repair.

It computes what `linearize.taylor`, `recursion.backward`, `recursion.forward` and `Shooting.search` compute one after
the other; handing their arrays over to Python and back would take longer than the work.
"""

import functools

import numpy as np

from ppi_robotics.kernels.compiler import join
from ppi_robotics.linearize import noise_factors
from ppi_robotics.recursion import compiled
from ppi_robotics.rollouts import no_limits
from ppi_robotics.symbolic.costs import BoundCost
from ppi_robotics.symbolic.plant import SymbolicPlant
from ppi_robotics.symbolic.rollouts import shooting_kernels


class CompiledSteps:
    """Compiled iterations of a problem.

    Args:
      problem: `Problem` for which `applies` holds.
    """

    def __init__(self, problem):
        plant, cost = problem.plant, problem.cost
        self.kernels = step_kernels(plant, cost)
        self.x0, self.G = problem.initial.mean, noise_factors(plant.noise, problem.horizon)
        self.scales, self.free = (problem.scales.state, problem.scales.control), no_limits(plant.nu)
        self.constants = (plant.model.dt, plant.model.constants, cost.stage_constants, cost.terminal_constants)

    @staticmethod
    def applies(problem):
        """Whether a problem can be iterated on in one call."""
        plant, cost = problem.plant, problem.cost
        plain = isinstance(plant, SymbolicPlant) and isinstance(cost, BoundCost)
        return plain and not cost.project and not plant.noise.growing

    def full_step(self, x, u, w, lambda_transition):
        """Multiple shooting with the whole step.

        Returns:
          x (T + 1, nx), u (T, nu), w (T, nw) and (objective and largest defect of the path before, largest changes of x
          and u, largest entries of x and u; all but the objective over the scales of the problem), or None if the
          backward pass broke down.
        """
        x_out, u_out, w_out = np.empty_like(x), np.empty_like(u), np.empty_like(w)
        how, *facts = self.kernels.full_step(
            x, u, w, lambda_transition, self.scales, self.G, self.constants, x_out, u_out, w_out
        )
        return None if how else (x_out, u_out, w_out, facts)

    def damped_step(self, x, u, merit, damping, weights, steps, ratio):
        """Single shooting: a backward pass damped by multiples of weights (nu,), and a line search.

        Returns:
          index of the accepted step length or -1, merits after and before, x, u, w (None), predicted slope and largest
          change, or None if the backward pass broke down.
        """
        x_out, u_out = np.empty_like(x), np.empty_like(u)
        how, n, after, slope, change = self.kernels.damped_step(
            x,
            u,
            merit,
            damping,
            weights,
            steps,
            ratio,
            self.scales,
            self.x0,
            self.G,
            self.free,
            self.constants,
            x_out,
            u_out,
        )
        return None if how else (n, after, merit, x_out, u_out, None, slope, change)


@functools.lru_cache(maxsize=64)
def step_kernels(plant, cost):
    """Compiled iterations of a plant under a cost."""
    nx, nu, nw = plant.nx, plant.nu, plant.noise.factor.shape[1]
    sources = {
        plant.model.kernels: ("linearize",),
        cost.kernels: ("quadratize",),
        compiled(nx, nu, nw): ("DONE", "backward_minimum", "whole_step"),
        shooting_kernels(plant, cost): ("search",),
    }
    return join(f"iterations of {plant.name}", {"NX": nx, "NU": nu}, sources, "iteration")


def swept_step(model, x, u, w, lambda_transition, scales, spread):
    """The whole step of multiple shooting on a `LocalModel` about a path, from a certain initial state.

    Returns:
      what `CompiledSteps.full_step` does and, if `spread`, the belief's covariances of (x_t, u_t) and of x_T; or None.
    """
    (T, nx, nu), nw = model.B.shape, model.G.shape[2]
    rows = T if spread else 0
    x_out, u_out, w_out = np.empty_like(x), np.empty_like(u), np.empty((T, nw))
    Z, S_end = np.empty((rows, nx + nu, nx + nu)), np.empty((nx, nx))
    how, *facts = model.kernels.whole_step(
        model.arrays(), x, u, w, lambda_transition, scales, x_out, u_out, w_out, Z, S_end
    )
    return None if how else (x_out, u_out, w_out, facts, (Z, S_end) if spread else None)
