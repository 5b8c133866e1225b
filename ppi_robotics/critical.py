"""How risk-averse a policy can be before no finite expected cost exists: Whittle's breakdown."""

import math
from dataclasses import fields, replace

import numpy as np

from ppi_robotics.checks import shown
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import Gaussian, covariance_factor
from ppi_robotics.recursion import Breakdown, LocalModel, backward, initial_value
from ppi_robotics.solution import Solution, Status

HALVINGS = 60
LARGEST = 1e12  # over the bound that the risk-neutral value gives
SOLVES, PRECISION = 12, 5e-3  # of the search among solves: at most as many, and to this relative error


def critical_theta(solution):
    """Largest theta for which the risk-averse sweep along a solution's path has a finite value.

    It is found by bisection along the local model of the solution, for instance of ILQG. A solve with LEQG moves the
    path, and may break down sooner: its own limit is `largest_theta`. Uncertainty of the initial state counts as one
    more risk step. Where limits act, their barriers are part of the model. (P. Whittle, *Risk-sensitive optimal
    control*, 1990.)

    Args:
      solution: `Solution`, or a `LocalModel`, whose initial state is certain.

    Returns:
      theta [1/cost] (float); inf where nothing breaks down, as without noise.

    Raises:
      ProblemError: if there is no local model, or the risk-neutral sweep fails already.
    """
    if isinstance(solution, LocalModel):
        model, spread = solution, np.zeros((solution.A.shape[1],) * 2)
    elif isinstance(solution, Solution) and solution.model is not None:
        model, spread = solution.model, solution.initial.cov
    else:
        raise ProblemError(f"solution is {shown(solution)}; expected a Solution with feedback, or a LocalModel")
    return _along(model, spread)


def largest_theta(problem, method, model, path, stopped):
    """Largest theta = -eta at which a method's averse phase, from the risk-neutral path, does not break down.

    It is found by bisection between 0 and the critical theta along that path, and does not depend on the method's own
    weight. The method converges at it, and breaks down 0.5 % above.

    Args:
      problem: `Problem`.
      method: with a field theta, eta or lambda_transition; its last phase is the averse one.
      model: `LocalModel` about the risk-neutral path.
      path: its states (T + 1, nx) and controls (T, nu).
      stopped: function that tells whether to give up.

    Returns:
      theta [1/cost] (float); None if none is found, or the search is stopped.
    """
    low, high = 0.0, _along(model, problem.initial.cov)
    if not math.isfinite(high):
        return None
    for _ in range(SOLVES):
        if high - low <= PRECISION * high:
            break
        middle = 0.5 * (low + high)
        finite = _survives(problem, _averse(method, middle), path, stopped)
        if stopped():
            return None
        low, high = (middle, high) if finite else (low, middle)
    return low or None


def _averse(method, theta):
    """The method at a risk weight."""
    weights = {"theta": theta, "eta": -theta, "lambda_transition": -theta}
    name = next(field.name for field in fields(method) if field.name in weights)
    return replace(method, **{name: weights[name]})


def _survives(problem, method, path, stopped):
    """Whether the last phase of a method ends without a breakdown, from the path of the phase before it."""
    phase = method.plan(problem).phases[-1]
    iterate = phase.begin(problem, *path)
    for _ in range(method.max_iterations):
        if iterate.status is not None or stopped():
            break
        iterate, _ = phase.advance(problem, iterate, 1)
    return iterate.status in (None, Status.CONVERGED, Status.NO_DESCENT)


def _along(model, spread):
    """Largest theta with a finite value along a local model, whose initial state has this covariance."""
    start = Gaussian(np.zeros(len(spread)), spread)
    if not _finite(model, start, 0.0):
        raise ProblemError("the risk-neutral sweep along this path fails already; solve it with ILQG first")
    low, high = 0.0, _bound(model, spread)
    if high == math.inf:
        return math.inf
    farthest = LARGEST * high
    while _finite(model, start, high):  # never, but for values that are not convex, and rounding
        low, high = high, 4.0 * high
        if not high < farthest:
            return math.inf
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _finite(model, start, middle) else (low, middle)
    return low


def _bound(model, spread):
    """1 over the largest curvature of the risk-neutral value along the noise, which averse weights only raise."""
    P = backward(model).value.P
    factor = covariance_factor(spread)
    curved = (np.swapaxes(model.G, 1, 2) @ P[1:] @ model.G, factor.T @ P[0] @ factor)
    largest = max((float(np.linalg.eigvalsh(part).max()) for part in curved if part.size), default=0.0)
    return 1.0 / largest if largest > 0.0 else math.inf


def _finite(model, start, theta):
    sweep = backward(model, math.inf, -theta)
    return sweep.breakdown is None and not isinstance(initial_value(sweep, start), Breakdown)
