"""The risk dial: one problem solved at many weights of the cost, and the distribution of the cost at each of them.

    J(eta) = -(1/eta) log E exp(-eta C)          eta > 0 seeks risk, eta < 0 averts it, eta = 0 is the mean

K. Rawlik, M. Toussaint, S. Vijayakumar, *On stochastic optimal control and reinforcement learning by approximate
inference* (RSS 2012), Fig. 4: mean and variance of the cost grow with eta.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ppi_robotics.distribution import Evaluation, as_table, notes, with_error
from ppi_robotics.errors import ProblemError
from ppi_robotics.evaluation import compare
from ppi_robotics.gaussian import as_finite
from ppi_robotics.methods import LEQG, PPI
from ppi_robotics.problem import Problem
from ppi_robotics.solution import Solution, Status
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
    if not isinstance(problem, Problem):
        raise ProblemError(f"problem is {problem!r}; expected a Problem(plant, cost, initial, horizon)")
    return sweep_methods(problem, methods_at(method, eta, theta), seed, starts, lambda _: callback)


def methods_at(method, eta=None, theta=None):
    """The method at every weight, for which a list `eta` or a list `theta` is given."""
    if (eta is None) == (theta is None):
        given = "neither eta nor theta is" if eta is None else "eta and theta are both"
        raise ProblemError(f"{given} given; give eta=[...] to sweep PPI, or theta=[...] to sweep LEQG")
    name, weights, owner = ("eta", eta, PPI) if theta is None else ("theta", theta, LEQG)
    if not isinstance(method, owner):
        raise ProblemError(f"method is {method!r}, which has no {name} to sweep; give {owner.__name__}({name}=0)")
    if isinstance(weights, str | Mapping) or not isinstance(weights, Iterable):
        raise ProblemError(f"{name} is {weights!r}; expected a list of numbers such as [0, 0.1, 1]")
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
    none = {"breakdown": None, "trace": (), "starts": (), "seconds": 0.0}
    solutions, nearest, before = {}, {}, None
    for method in sorted(methods, key=lambda method: abs(method.lambda_transition)):
        if before is not None and interrupted(before):
            before = solutions[method] = replace(before, cost=math.nan, status=Status.INTERRUPTED, **none)
            continue
        averse = method.lambda_transition < 0
        warm = {"trajectory": warm_path(nearest[averse], method)} if nearest else {"starts": starts}
        before = solutions[method] = solve(problem, method, seed, callback=follow(method), **warm)
        if before.status.solved and before.sweep is not None:
            nearest = nearest | {averse: before} if nearest else {True: before, False: before}
    return tuple(solutions[method] for method in methods)


def interrupted(solution):
    """Whether Ctrl-C or a callback stopped a solve, which may have had its answer from an earlier start."""
    statuses = (solution.status, *(start.status for start in solution.starts))
    return Status.INTERRUPTED in statuses


def warm_path(solution, method):
    """States (T + 1, nx) and controls (T, nu) from which a method starts at a weight near that of a solution.

    PPI's multiple shooting starts from the smoothed path, which need not obey the dynamics. The closed loop without
    noise is farther away, and far away where the optimism is such that without helpful noise the swing-up fails.
    Averse weights are solved by single shooting, which sees the controls alone and so needs a rollout.
    """
    if isinstance(method, PPI) and method.lambda_transition >= 0:
        return solution.belief.mean, solution.policy.u_ref
    return solution.x, solution.u


@dataclass(frozen=True, eq=False)
class RiskPoint:
    """A weight, the answer at it, and the distribution of its cost.

    Attributes:
      eta: weight [1/cost], 0 for iLQG.
      solution: `Solution`.
      evaluation: `Evaluation` of its policy.
      theta: weight of LEQG, which is -eta; None for other methods.
    """

    eta: float
    solution: Solution
    evaluation: Evaluation
    theta: float | None = None

    def row(self):
        """The numbers of a table, a dict.

        "merit" is what the solver minimized: for PPI with eta >= 0 its merit, for averse weights the prediction of the
        entropic cost, which also holds the log-determinants that a merit leaves out; "entropic" is that cost sampled.
        """
        result = self.evaluation
        row = {
            "eta": self.eta,
            "mean": result.mean,
            "mean_se": result.standard_error,
            "variance": result.variance,
            "variance_se": result.variance_standard_error,
            "cvar95": result.cvar(0.95),
            "entropic": result.entropic(self.eta),
            "merit": self.solution.cost,
            "iterations": self.solution.iterations,
            "status": self.solution.status.name.lower(),
        }
        return row if self.theta is None else row | {"theta": self.theta, "method": "leqg"}

    def texts(self):
        """The row as texts with standard errors, by the heading of their column."""
        result = self.evaluation
        entropic = with_error(result.entropic(self.eta), result.entropic_standard_error(self.eta))
        return {
            "η": f"{self.eta:g}",
            "mean ± se": with_error(result.mean, result.standard_error),
            "variance ± se": with_error(result.variance, result.variance_standard_error),
            "CVaR 95 % ± se": with_error(result.cvar(0.95), result.cvar_standard_error(0.95)),
            "entropic ± se": entropic,
            "merit": f"{self.solution.cost:.6g}",
            "iterations": str(self.solution.iterations),
            "status": self.solution.status.name.lower().replace("_", " "),
        }


@dataclass(frozen=True, eq=False)
class RiskProfile:
    """Distributions of the cost over the risk weight, all on the same noise; as a string, a table.

    Attributes:
      points: tuple of `RiskPoint`, by rising eta.
      ilqg: `RiskPoint` of the risk-neutral reference.
      interrupted: whether Ctrl-C cut the evaluation short; all points have the same samples then as well.
    """

    points: tuple
    ilqg: RiskPoint
    interrupted: bool = False

    def rows(self):
        """`RiskPoint.row` of every point."""
        return [point.row() for point in self.points]

    def texts(self):
        """Table as lists of texts, headings first and iLQG last."""
        named = [("LEQG" if point.theta is not None else "PPI", point.texts()) for point in self.points]
        named.append(("iLQG", self.ilqg.texts()))
        return [["method", *named[0][1]], *([name, *texts.values()] for name, texts in named)]

    def __str__(self):
        first = self.ilqg.evaluation
        names = [f"η = {point.eta:g}" for point in self.points]
        evaluations = {"iLQG": first} | {n: p.evaluation for n, p in zip(names, self.points, strict=True)}
        note = f"{first.samples} common samples, seed {first.seed}"
        return "\n".join([*as_table(self.texts()), note, *notes(evaluations)])


def risk_profile(problem, ilqg, *, eta=None, theta=None, samples=1000, seed=0, threads=None, progress=None):
    """Evaluate the answers of a sweep on common random numbers, beside iLQG's.

    Args:
      problem: `Problem`.
      ilqg: `Solution` of `ILQG`, the risk-neutral reference.
      eta: dict from weights to `Solution`s of `PPI`.
      theta: dict from weights to `Solution`s of `LEQG`.
      samples, seed, threads, progress: as for `evaluate`.

    Returns:
      `RiskProfile`.

    Raises:
      ProblemError: as `evaluate`, or if there is no weight.
      KeyboardInterrupt: if it comes before every policy has finished its first chunk.
    """
    for name, solutions in (("eta", eta), ("theta", theta)):
        if solutions is not None and not isinstance(solutions, Mapping):
            raise ProblemError(f"{name} is {solutions!r}; expected dict(zip(weights, sweep(...)))")
    keyed = [(float(as_finite(e, "eta", ())) + 0.0, None, solution) for e, solution in (eta or {}).items()]
    averse = [(float(as_finite(th, "theta", ())), solution) for th, solution in (theta or {}).items()]
    keyed += [(0.0 - th, th, solution) for th, solution in averse]  # an eta of 0 is not to be -0
    if not keyed:
        raise ProblemError("eta and theta hold no weight; give eta=dict(zip(weights, sweep(...)))")
    for solution in (ilqg, *(solution for _, _, solution in keyed)):
        if not isinstance(solution, Solution):
            raise ProblemError(f"a {type(solution).__name__} is given for a Solution; give what solve or sweep returns")
    policies = {"iLQG": ilqg.policy} | {str(i): solution.policy for i, (_, _, solution) in enumerate(keyed)}
    table = compare(problem, policies, samples, seed, threads=threads, progress=progress)
    results = table.evaluations
    points = [RiskPoint(e, solution, results[str(i)], th) for i, (e, th, solution) in enumerate(keyed)]
    points.sort(key=lambda point: point.eta)
    return RiskProfile(tuple(points), RiskPoint(0.0, ilqg, results["iLQG"]), table.interrupted)
