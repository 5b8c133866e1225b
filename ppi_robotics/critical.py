"""How risk-averse a policy can be before no finite expected cost exists: Whittle's breakdown."""

import math

import numpy as np

from ppi_robotics.beliefs import initial_value
from ppi_robotics.checks import shown
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import Gaussian
from ppi_robotics.messages import Breakdown, LocalModel, backward
from ppi_robotics.solution import Solution

HALVINGS = 60
LARGEST = 1e12


def critical_theta(solution):
    """Largest theta for which the risk-averse sweep along a solution's path has a finite value.

    It is found by bisection along the local model of the solution, for instance of ILQG; a solve with LEQG moves the
    path, and so its limit, by a little. Uncertainty of the initial state counts as one more risk step. Where limits
    act, their barriers are part of the model. (P. Whittle, *Risk-sensitive optimal control*, 1990.)

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
    start = Gaussian(np.zeros(len(spread)), spread)
    if not _finite(model, start, 0.0):
        raise ProblemError("the risk-neutral sweep along this path fails already; solve it with ILQG first")
    high = 1e-6
    while _finite(model, start, high):
        high *= 4.0
        if high > LARGEST:
            return math.inf
    low = 0.0
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if _finite(model, start, middle) else (low, middle)
    return low


def _finite(model, start, theta):
    sweep = backward(model, math.inf, -theta)
    return sweep.breakdown is None and not isinstance(initial_value(sweep, start), Breakdown)
