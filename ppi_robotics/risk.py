"""The risk dial: one problem solved at many weights of the cost, and the distribution of the cost at each of them.

    J(eta) = -(1/eta) log E exp(-eta C)          eta > 0 seeks risk, eta < 0 averts it, eta = 0 is the mean

K. Rawlik, M. Toussaint, S. Vijayakumar, *On stochastic optimal control and reinforcement learning by approximate
inference* (RSS 2012), Fig. 4: mean and variance of the cost grow with eta.
"""

import math
from dataclasses import replace

from ppi_robotics.checks import check_function, check_sequence, shown
from ppi_robotics.errors import ProblemError
from ppi_robotics.interruption import Held
from ppi_robotics.methods import LEQG, PPI
from ppi_robotics.problem import check_problem
from ppi_robotics.solution import Status
from ppi_robotics.solver import solve


def sweep(problem, method, *, eta=None, theta=None, seed=0, starts=None, callback=None):
    """Solve a problem at many risk weights, from the one nearest 0 outward on either side of it.

    The first solve is a cold one, every other starts from the answer at the neighboring weight. A weight that is too
    averse, or fails otherwise, keeps its status, and the next one starts from the last answer before it.

    Args:
      problem: `Problem`.
      method: `PPI` or `LEQG`, whose other fields are kept; its own weight does not matter.
      eta: weights [1/cost] for `PPI`, in any order.
      theta: weights [1/cost] for `LEQG`, in any order.
      seed: of the initial guesses of cold solves.
      starts: number of initial guesses of cold solves, as in `solve`.
      callback: called with every `Iteration`; returning True stops the sweep.

    Returns:
      Tuple of one `Solution` per weight, in the order given. After Ctrl-C those that were not reached have the status
      INTERRUPTED, an answer of a weight before theirs, and no cost.

    Raises:
      ProblemError: if an argument cannot be used, or the method cannot solve the problem at one of the weights.
    """
    check_problem(problem)
    check_function(callback, "callback", "an Iteration")
    return sweep_methods(problem, methods_at(method, eta, theta), seed, starts, lambda _: callback)


def methods_at(method, eta=None, theta=None):
    """The method at every weight, for which a list `eta` or a list `theta` is given."""
    if (eta is None) == (theta is None):
        given = "neither eta nor theta is" if eta is None else "eta and theta are both"
        raise ProblemError(f"{given} given; give eta=[...] to sweep PPI, or theta=[...] to sweep LEQG")
    name, weights, owner = ("eta", eta, PPI) if theta is None else ("theta", theta, LEQG)
    if not isinstance(method, owner):
        raise ProblemError(f"method is {shown(method)}, which has no {name} to sweep; give {owner.__name__}({name}=0)")
    weights = check_sequence(weights, name, "numbers, such as [0, 0.1, 1]")
    methods = [replace(method, **{name: weight}) for weight in weights]
    if not methods:
        raise ProblemError(f"{name} holds no weight; expected a list of numbers such as [0, 0.1, 1]")
    seen = set()
    for weight in (float(getattr(method, name)) for method in methods):
        if weight in seen:
            raise ProblemError(f"{name} holds {weight:g} twice; give every weight once")
        seen.add(weight)
    return methods


def sweep_methods(problem, methods, seed, starts, follow):
    """`Solution`s of methods that differ in their weights; `follow` makes the callback of the solve of a method."""
    for method in methods:
        method.plan(problem)  # refuses what it cannot solve, before any work
    none = {"status": Status.INTERRUPTED, "breakdown": None, "trace": (), "starts": (), "seconds": 0.0}
    none |= {"cost": math.nan, "interrupted": True}
    solutions, nearest, before = {}, {}, None
    with Held() as stop:
        for method in sorted(methods, key=lambda method: abs(method.lambda_transition)):
            if before is not None and (before.interrupted or stop.pressed):
                before = solutions[method] = replace(before, method=method, **none)
                continue
            averse = method.lambda_transition < 0
            warm = {"trajectory": warm_path(nearest[averse], method)} if nearest else {"starts": starts}
            before = solutions[method] = solve(problem, method, seed, callback=follow(method), **warm)
            if before.status.solved and before.sweep is not None:
                nearest = nearest | {averse: before} if nearest else {True: before, False: before}
    return tuple(solutions[method] for method in methods)


def warm_path(solution, method):
    """States (T + 1, nx) and controls (T, nu) from which a method starts at a weight near that of a solution.

    PPI's multiple shooting starts from the smoothed path, which need not obey the dynamics. The closed loop without
    noise is farther away, and far away where the optimism is such that without helpful noise the swing-up fails.
    Averse weights, and expansions about rollouts, are solved by single shooting, which sees the controls alone.
    """
    about_belief = isinstance(method, PPI) and method.about == "belief" and method.baseline == "flat"
    if about_belief and method.lambda_transition >= 0:
        return solution.belief.mean, solution.policy.u_ref
    return solution.x, solution.u
