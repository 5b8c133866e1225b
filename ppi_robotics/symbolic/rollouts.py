"""Rollouts of symbolic plants, compiled together with plant and cost."""

import functools

import numpy as np

from ppi_robotics.gaussian import covariance_factor
from ppi_robotics.kernels.compiler import ROLLOUT_LANES, build
from ppi_robotics.policy import control_factors
from ppi_robotics.scales import nearness
from ppi_robotics.streams import literals
from ppi_robotics.symbolic.costs import BoundCost

STREAMS = "PROCESS", "INITIAL", "CONTROL", "ACTUATOR", "STATE"  # of the compiled loop
NO_NOISE_PRICE = np.empty((0, 0, 0))


def serves(cost):
    """Whether a cost can be compiled into the loops."""
    return isinstance(cost, BoundCost)


class ClosedLoop:
    """A problem and a policy as arrays for the compiled loop; arguments and attributes as of `rollouts.ClosedLoop`."""

    most, few = 2**30, 0

    def __init__(self, problem, policy, seed=0, stochastic=False, noisy=True, repeats=1):
        plant, cost = problem.plant, problem.cost
        self.kernels, self.seed, self.trial = closed_loop_kernels(plant, cost), np.uint64(seed), (repeats, noisy)
        factors = control_factors(policy.cov) if stochastic else np.empty((0, plant.nu, plant.nu))
        self.arrays = (problem.initial.mean, covariance_factor(problem.initial.cov)), policy.x_ref, policy.u_ref
        self.arrays += (policy.K, factors)
        noise = plant.noise.factor, plant.noise.control, plant.noise.state
        self.model = noise, plant.control_limits, nearness(problem, policy.x_ref), plant.model.dt, plant.model.constants
        self.model += (cost.stage_constants, cost.terminal_constants)
        self.nowhere = np.empty((0, 0, plant.nx)), np.empty((0, 0, plant.nu)), np.empty((0, 0))

    def run(self, first, cost, final, x=None, u=None, push=None, stages=None):
        """Fill what is given for samples first, first + 1, ..., see `rollouts.ClosedLoop.run`."""
        nothing = self.nowhere
        out = tuple(empty if given is None else given for empty, given in zip(nothing, (x, u, stages), strict=True))
        trial = nothing[1] if push is None else push, *self.trial
        self.kernels.sampled(self.seed, first, *self.arrays, trial, *self.model, cost, final, out)


class Shooting:
    """A problem as arguments of the compiled line search; arguments as for `rollouts.shooting`."""

    def __init__(self, problem, limits, price=0.0):
        plant, cost = problem.plant, problem.cost
        self.kernels = shooting_kernels(plant, cost)
        self.x0, self.T, self.nx, self.nu, self.price = problem.initial.mean, problem.horizon, plant.nx, plant.nu, price
        constants = (plant.model.constants, cost.stage_constants, cost.terminal_constants)
        self.constants = (limits, plant.model.dt, *constants)
        self.still, self.undisturbed = np.zeros((self.T, self.nu)), _undisturbed(self.nx)

    def rollout(self, x_ref, u_ref, K=None):
        """x (T + 1, nx), u (T, nu) and cost under u_ref + K (x - x_ref), or under u_ref alone."""
        K = np.zeros((self.T, self.nu, self.nx)) if K is None else K
        _, cost, x, u, _ = self.search(np.zeros(1), np.inf, 0.0, 0.0, 0.0, x_ref, u_ref, K, self.still)
        return x, u, cost

    def search(
        self, steps, merit, slope, curvature, ratio, x_ref, u_ref, K, k, disturbance=None, noise_price=NO_NOISE_PRICE
    ):
        """First acceptable of the step lengths along the feedforward change, see `rollouts.Shooting.search`."""
        w_ref, h, D, G = disturbance or self.undisturbed
        x, u, w = np.empty((self.T + 1, self.nx)), np.empty((self.T, self.nu)), np.empty(w_ref.shape)
        path = (self.x0, x_ref, u_ref, K, k, w_ref, h, D, G, noise_price, self.price)
        index, merit = self.kernels.search(steps, merit, slope, curvature, ratio, path, self.constants, x, u, w)
        return index, merit, x, u, w


@functools.cache
def _undisturbed(nx):
    """The disturbance that never acts."""
    return np.empty((0, 0)), np.empty((0, 0)), np.empty((0, 0, nx)), np.empty((0, nx, 0))


@functools.lru_cache(maxsize=64)
def closed_loop_kernels(plant, cost):
    """Compiled closed loop of a plant under a cost."""
    noise = plant.noise
    sizes = plant.model.sizes | {"NW": noise.factor.shape[1], "NA": len(noise.control), "NB": len(noise.state)}
    functions = (literals(*STREAMS), *plant.model.functions[:1], *cost.functions[:2])
    templates = ("integrate", "feedback", "closed_loop")
    return build(f"rollouts of {plant.name}", ROLLOUT_LANES, sizes, functions, templates, contract=False)


@functools.lru_cache(maxsize=64)
def shooting_kernels(plant, cost):
    """Compiled line search of a plant under a cost; one lane, as its trials come one after the other."""
    functions = (*plant.model.functions[:1], *cost.functions[:2])
    return build(f"shooting of {plant.name}", 1, plant.model.sizes, functions, ("integrate", "feedback", "shooting"))
