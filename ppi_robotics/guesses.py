"""Where a solve starts, and when enough starts were made.

Guesses are seeded and of several kinds, or the closed loop of a policy, or a given trajectory. The rules about starts
ask a run for its `outcome` (`status`, `nominal` cost, `rank`, `worst` violation, `policy`, path), `trace` and `kind`.
"""

import math

import numpy as np

from ppi_robotics.checks import as_finite, check_instance
from ppi_robotics.errors import ProblemError
from ppi_robotics.interruption import check
from ppi_robotics.policy import LinearGaussianPolicy
from ppi_robotics.rollouts import nominal_rollout, shooting
from ppi_robotics.scales import far
from ppi_robotics.solution import Status
from ppi_robotics.streams import USELESS

CANDIDATES = 1024  # swings tried for a guess
SMALL = 0.02  # scales of small random controls
HELD = 0.5  # of the cost of small random controls, which holding still is to save
AROUND, NEAR = 0.2, 0.2  # scales about the start where the way to a goal begins; longest step on it
ALIKE = 0.75  # how often a goal is sought with all coordinates moved alike
GOAL_STEPS = 100
HOLDING = 3  # number of the guess that holds the start
OUTSIDE = 8  # starts that leave the limits, after which none is likely to keep them
LEAST = 4  # starts, so that there are steps of both kinds
EASY = 50  # iterations that are few
PATIENCE, GRACE = 3, 50  # times as many iterations as the best start's and more, before one that costs more is given up


def cold_guess(problem, seed, index, free=True):
    """Guess number `index`, x (T + 1, nx) and u (T, nu), of the kind that `cold_kind` says."""
    return GUESSES[cold_kind(index, free)](problem, np.random.default_rng([seed, index]))


def cold_kind(index, free=True):
    """Name in `GUESSES` of guess number `index`.

    Lines are for solvers `free` of the dynamics on their way: their controls alone say nothing.
    """
    if index == HOLDING:
        return "hold"
    if index % 2:
        return "swing"
    return "line" if free and index % 6 else "random"


def random_guess(problem, rng):
    """The rollout of small random controls about those that hold the start, or of the latter where they are better.

    Where a plant rests at what is wanted nothing is to be done; where it does not, rest may be a stationary point that
    nothing leads away from.
    """
    T, plant = problem.horizon, problem.plant
    line = shooting(problem, plant.control_limits)
    x, u, cost = rolled(problem, held_controls(problem), line)
    small = SMALL * problem.scales.control * rng.standard_normal((T, plant.nu))
    moved_x, moved_u, moved_cost = rolled(problem, u + small, line)
    return (x, u) if math.isfinite(cost) and cost <= HELD * moved_cost else (moved_x, moved_u)


def hold_guess(problem, rng=None):  # noqa: ARG001
    """The rollout of the controls that hold the plant where it starts, or of none where nothing does."""
    return from_controls(problem, held_controls(problem))


def held_controls(problem):
    """The controls (T, nu) that hold the plant where it starts, or none where nothing does."""
    return np.tile(problem.plant.hold_controls(problem.initial.mean), (problem.horizon, 1))


def swing_guess(problem, rng):
    """The rollout of the cheapest of many swings, with small random controls on top.

    A motor too weak to lift a load in one go succeeds by pumping, so a swing drives every control sinusoidally near an
    eigenfrequency of the plant at its start, which large swings lower, with random strength, phase and length.
    """
    small = SMALL * problem.scales.control * rng.standard_normal((problem.horizon, problem.plant.nu))
    return from_controls(problem, small + cheapest_swing(problem, rng))


def line_guess(problem, rng):
    """A straight line in the space of states, from the start to a state that costs little, and small random controls.

    Such a path need not obey the dynamics: it says where to go, and leaves it to the solver how.
    """
    T, plant, start = problem.horizon, problem.plant, problem.initial.mean
    x = plant.retract(np.tile(start, (T + 1, 1)), np.linspace(0.0, 1.0, T + 1)[:, None] * way_to_goal(problem, rng))
    if not plant.quaternions:
        x[1:] = np.clip(x[1:], plant.state_limits[:, 0], plant.state_limits[:, 1])
    u = plant.hold_controls(start) + SMALL * problem.scales.control * rng.standard_normal((T, plant.nu))
    return x, np.clip(u, plant.control_limits[:, 0], plant.control_limits[:, 1])


GUESSES = {"random": random_guess, "hold": hold_guess, "swing": swing_guess, "line": line_guess}


def way_to_goal(problem, rng):
    """Tangent (ndx,) from the start to a state where it costs least to stay, a local minimum near a random state.

    Damped Newton steps, downhill also where the cost is concave; directions that cost nothing are left alone. Of
    several goals, such as turns of an angle, the random state decides, more often than not with all angles turning
    alike: links that turn against each other seldom find a cheap way.
    """
    plant, start = problem.plant, problem.initial.mean[None]
    size = np.where(problem.scales.state > 0.0, problem.scales.state, 1.0)
    away = rng.standard_normal(plant.ndx)
    if rng.random() < ALIKE:
        away = np.abs(away) * rng.choice((-1.0, 1.0))
    u, x = plant.hold_controls(start[0])[None], plant.retract(start, AROUND * size * away)
    value, gradient, hessian = staying(problem, x, u, size)
    curved, damping = hessian, 0.0
    for _ in range(GOAL_STEPS):
        eigenvalues, vectors = np.linalg.eigh(hessian)
        most = np.abs(eigenvalues).max()
        if not most > 0.0 or not np.abs(gradient).max() > 1e-9 * most:
            break
        bent = np.maximum(np.abs(eigenvalues), 1e-9 * most) + damping * most
        step = -vectors @ (vectors.T @ gradient / bent)
        step *= min(1.0, NEAR / np.abs(step).max())  # not over a hill into another valley
        there = plant.retract(x, step * size)
        found = staying(problem, there, u, size)
        if found[0] < value:
            x, (value, gradient, hessian), damping = there, found, damping / 4.0
            curved = hessian
        else:
            damping = max(4.0 * damping, 1e-3)
    way = plant.difference(x, start)[0] / size
    eigenvalues, vectors = np.linalg.eigh(curved)
    told = np.abs(eigenvalues) > 1e-9 * np.abs(eigenvalues).max()
    way = size * (vectors[:, told] @ (vectors[:, told].T @ way))
    return way if np.isfinite(way).all() else np.zeros(plant.ndx)


def staying(problem, x, u, size):
    """Cost of staying at a state x (1, nx) under controls u (1, nu), gradient and Hessian in the scaled tangent."""
    _, (c0, cx, _, Cxx, *_) = problem.cost.expand(problem.plant, np.repeat(x, 2, axis=0), u)
    T = problem.horizon
    value, gradient, hessian = T * c0[0] + c0[1], T * cx[0] + cx[1], T * Cxx[0] + Cxx[1]
    if not np.isfinite(value) or not np.isfinite(hessian).all():
        return np.inf, np.zeros_like(size), np.zeros((len(size), len(size)))
    return float(value), size * gradient, size[:, None] * hessian * size


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
    """Rollout x (T + 1, nx), u (T, nu) of controls clipped to the limits, see `rolled`."""
    return rolled(problem, u)[:2]


def rolled(problem, u, line=None):
    """Rollout of controls u (T, nu), clipped to the limits, and its cost; where it diverges, it stays at the start.

    Args:
      problem, u: see above.
      line: `shooting` of the problem within its limits, if there is one already.
    """
    plant, line = problem.plant, line or shooting(problem, problem.plant.control_limits)
    still = np.zeros((problem.horizon, plant.nx))
    u = np.clip(u, plant.control_limits[:, 0], plant.control_limits[:, 1])
    x, _, cost = line.rollout(still, u)
    if not math.isfinite(cost) or far(problem, x, USELESS):
        x = np.tile(problem.initial.mean, (problem.horizon + 1, 1))
    return x, u, cost


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


# -- starts ------------------------------------------------------------------------------------------------------------


def lowest(runs):
    """The runs whose answer is the best, to one part in a million, in their order.

    Of answers within one part in a thousand those that converged come first.
    """
    lost, nominal = min(run.outcome.rank for run in runs)
    near = [run for run in runs if run.outcome.rank <= (lost, nominal + 1e-3 * abs(nominal))]
    near = [run for run in near if run.outcome.status.solved] or near
    best = min(run.outcome.nominal for run in near)
    return [run for run in near if run.outcome.nominal <= best + 1e-6 * abs(best)]


def agreed(problem, runs):
    """Whether enough runs found the best answer, to one part in a thousand, and it succeeds without noise.

    At least two, which began at guesses of different kinds or took steps of different kinds, or three; in all so many
    that both kinds of steps were tried, and another optimum would hardly have been missed: the more of them there are,
    the more. Where there is one kind of steps alone, problems that take few iterations hardly have other optima.
    """
    best = lowest(runs)[0].outcome
    if best.policy is None or not best.status.solved:
        return False
    if problem.success is not None and not problem.success(best.x[-1:])[0]:
        return False
    near = [run for run in runs if run.outcome.nominal <= best.nominal + 1e-3 * abs(best.nominal)]
    if len(near) < 2 or (len(near) == 2 and near[0].kind == near[1].kind):
        return False
    costs = np.sort([run.outcome.nominal for run in runs if run.outcome.status.solved])
    optima = 1 + int((np.diff(costs) > 1e-3 * np.abs(costs[1:])).sum())
    if optima == 1:
        easy = not runs[0].schedule.other and all(len(run.trace) <= EASY for run in runs)
        return not problem.plant.second_derivatives or len(runs) >= LEAST or easy
    return len(runs) >= (optima**2 + 5 if problem.plant.second_derivatives else 2 * optima)


def rival(runs):
    """Iterations and cost of the best run so far, for others to give up by; None before any has converged.

    What costs more after several times as many iterations would not have become better.
    """
    solved = [run for run in runs if run.outcome.status.solved]
    if not solved:
        return None
    best = min(solved, key=lambda run: run.outcome.nominal)
    return PATIENCE * len(best.trace) + GRACE, best.outcome.nominal * (1 + 1e-3)


def in_vain(runs):
    """Whether two runs used up their iterations at the same best cost, or the limits can hardly be kept.

    Two runs have proved that they cannot, or all have left them: four with a proof among them, or eight.
    """
    if any(run.outcome.status.solved for run in runs):
        return False
    best, proofs = lowest(runs), sum(run.outcome.status is Status.INFEASIBLE for run in runs)
    status = best[0].outcome.status
    if status is Status.MAX_ITERATIONS and len(best) >= 2 or status is Status.INFEASIBLE and proofs >= 2:
        return True
    return len(runs) >= (OUTSIDE // 2 if proofs else OUTSIDE) and all(run.outcome.worst is not None for run in runs)
