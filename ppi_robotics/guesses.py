"""Where a solve starts: seeded random controls, the closed loop of a policy, or a given trajectory."""

import math

import numpy as np

from ppi_robotics.checks import as_finite, check_instance
from ppi_robotics.errors import ProblemError
from ppi_robotics.interruption import check
from ppi_robotics.policy import LinearGaussianPolicy
from ppi_robotics.rollouts import nominal_rollout, shooting
from ppi_robotics.scales import far

CANDIDATES = 1024  # swings tried for a guess
SMALL = 0.02  # scales of small random controls
FAR = 1e4  # scales of a state beyond which a guess is of no use


def cold_guess(problem, seed, index):
    """Guess number `index`: the rollout of small random controls for even ones, of the cheapest of many swings for odd.

    A motor too weak to lift a load in one go succeeds by pumping, so a swing drives every control sinusoidally near an
    eigenfrequency of the plant at its start, which large swings lower, with random strength, phase and length.

    Returns:
      x (T + 1, nx), u (T, nu).
    """
    rng = np.random.default_rng([seed, index])
    T, plant = problem.horizon, problem.plant
    small = SMALL * problem.scales.control * rng.standard_normal((T, plant.nu))
    return from_controls(problem, small + cheapest_swing(problem, rng) if index % 2 else small)


def cheapest_swing(problem, rng):
    """Controls (T, nu) of the candidate whose rollout costs least."""
    T, plant, N = problem.horizon, problem.plant, CANDIDATES
    rhythm = rng.choice(eigenfrequencies(problem), (N, 1)) * rng.uniform(0.4, 1.1, (N, 1))
    phase = rng.uniform(0.0, 2 * np.pi, (N, plant.nu))
    strength = problem.scales.control * rng.uniform(0.05, 1.0, (N, 1))
    last = T * rng.uniform(0.3, 1.0, (N, 1))
    limits = plant.control_limits

    def controls(t):
        swing = strength * np.sin(rhythm * t + phase) * (t < last)
        return np.clip(swing, limits[:, 0], limits[:, 1])

    x, cost = np.tile(problem.initial.mean, (N, 1)), np.zeros(N)
    for t in range(T):
        check()
        u = controls(t)
        cost += problem.cost.stage(x, u, t)
        x = plant.step(x, u)
    cost += problem.cost.terminal(x)
    best = int(np.argmin(np.where(np.isfinite(cost), cost, np.inf)))
    return np.stack([controls(t)[best] for t in range(T)])


def eigenfrequencies(problem):
    """Angular frequencies [rad per stage] of the linearized plant at its start; two swings a horizon if none."""
    plant = problem.plant
    A, _ = plant.linearize(problem.initial.mean[None], np.zeros((1, plant.nu)))
    rhythms = np.abs(np.angle(np.linalg.eigvals(A[0])))
    slowest = 2 * np.pi / problem.horizon
    rhythms = np.unique(rhythms[(rhythms > slowest) & (rhythms < 0.5)].round(9))
    return rhythms if len(rhythms) else np.array([2 * slowest])


def still_guess(problem):
    """The guess without any control, which takes no time to find."""
    return from_controls(problem, np.zeros((problem.horizon, problem.plant.nu)))


def from_controls(problem, u):
    """Rollout of controls u (T, nu), clipped to the limits; where it diverges, states stay at the start."""
    plant = problem.plant
    still = np.zeros((problem.horizon, plant.nx))
    u = np.clip(u, plant.control_limits[:, 0], plant.control_limits[:, 1])
    x, _, cost = shooting(problem, plant.control_limits).rollout(still, u)
    if not math.isfinite(cost) or far(problem, x, FAR):
        x = np.tile(problem.initial.mean, (problem.horizon + 1, 1))
    return x, u


def warm_guess(problem, policy, trajectory):
    """Guess from the closed loop of a policy, or from a given trajectory."""
    if policy is not None and trajectory is not None:
        raise ProblemError("policy and trajectory are both given; give one warm start")
    plant, T = problem.plant, problem.horizon
    if policy is not None:
        check_instance(policy, "policy", LinearGaussianPolicy)
        policy.check(problem)
        x, u, cost = nominal_rollout(problem, policy)
        if not math.isfinite(cost):
            raise ProblemError("the warm-start policy diverges on this problem; start cold or from a trajectory")
        return x, u
    if not isinstance(trajectory, tuple | list) or len(trajectory) != 2:
        raise ProblemError("trajectory needs to be a pair (states or None, controls)")
    u = np.array(as_finite(trajectory[1], "trajectory controls", (T, plant.nu)))
    if trajectory[0] is None:
        return from_controls(problem, u)
    x = np.array(as_finite(trajectory[0], "trajectory states", (T + 1, plant.nx)))
    x[0] = problem.initial.mean
    return x, u
