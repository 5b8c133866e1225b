"""The risk dial: one problem solved at many weights of the cost, and the distribution of the cost at each of them.

    J(eta) = -(1/eta) log E exp(-eta C)          eta > 0 seeks risk, eta < 0 averts it, eta = 0 is the mean

K. Rawlik, M. Toussaint, S. Vijayakumar, *On stochastic optimal control and reinforcement learning by approximate
inference* (RSS 2012), Fig. 4: mean and variance of the cost grow with eta.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ppi_robotics.checks import check_function, check_label, check_number, check_sequence, shown
from ppi_robotics.errors import ProblemError
from ppi_robotics.evaluation import Difference, compare, difference_of
from ppi_robotics.interruption import Held
from ppi_robotics.methods import LEQG, PPI
from ppi_robotics.problem import Problem, check_problem
from ppi_robotics.solution import Iteration, Solution, Status
from ppi_robotics.solver import solve
from ppi_robotics.statistics import INTERVALS, Evaluation, notes
from ppi_robotics.texts import as_table, share, with_interval


def risk_sweep(
    problem: Problem,
    method: PPI | LEQG,
    *,
    eta: Sequence[float] | None = None,
    theta: Sequence[float] | None = None,
    seed: int = 0,
    starts: int | None = None,
    callback: Callable[[Iteration], bool | None] | None = None,
) -> tuple[Solution, ...]:
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
      callback: called with every `Iteration`; returning True stops.

    Returns:
      Tuple of one `Solution` per weight, in the order given. After Ctrl-C those that were not reached have the status
      INTERRUPTED, an answer of a weight before theirs, and no cost.

    Raises:
      ProblemError: if an argument cannot be used, or the method cannot solve the problem at one of the weights.
    """
    check_problem(problem)
    check_function(callback, "callback", "an Iteration")
    return solve_neighbors(problem, methods_at(method, eta, theta), seed, starts, lambda _: callback)


sweep = risk_sweep  # its other public name


def methods_at(method: PPI | LEQG, eta=None, theta=None) -> list[PPI] | list[LEQG]:
    """The method at every weight, for which a list `eta` or a list `theta` is given."""
    if (eta is None) == (theta is None):
        given = "neither eta nor theta is" if eta is None else "eta and theta are both"
        raise ProblemError(f"{given} given; give eta=[...] for PPI, or theta=[...] for LEQG")
    name, weights, owner = ("eta", eta, PPI) if theta is None else ("theta", theta, LEQG)
    if not isinstance(method, owner):
        raise ProblemError(f"method is {shown(method)}, which has no {name}; give {owner.__name__}({name}=0)")
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


def solve_neighbors(problem, methods, seed, starts, callback_of):
    """`Solution`s of methods that differ in their weights, each from its neighbor's; `callback_of` takes a method."""
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
            before = solutions[method] = solve(problem, method, seed, callback=callback_of(method), **warm)
            if before.status.solved and before.sweep is not None:
                nearest = nearest | {averse: before} if nearest else {True: before, False: before}
    return tuple(solutions[method] for method in methods)


def warm_path(solution: Solution, method: PPI | LEQG) -> tuple[np.ndarray, np.ndarray]:
    """States (T + 1, nx) and controls (T, nu) from which a method starts at a weight near that of a solution.

    PPI's multiple shooting starts from the smoothed path, which need not obey the dynamics. The closed loop without
    noise is farther away, and far away where the optimism is such that without helpful noise the swing-up fails.
    Averse weights, and expansions about rollouts, are solved by single shooting, which sees the controls alone.
    """
    about_belief = isinstance(method, PPI) and method.about == "belief" and method.baseline == "flat"
    if about_belief and method.lambda_transition >= 0:
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
      expansion: "taylor", the rule of sigma points, or the name that was given.
      difference: `Difference` to the first expansion at the same eta, None for that expansion itself.
    """

    eta: float
    solution: Solution
    evaluation: Evaluation
    theta: float | None = None
    expansion: str = "taylor"
    difference: Difference | None = None

    def row(self) -> dict:
        """The numbers of a table, a dict.

        Keys that end in "_low" and "_high" hold 95 % intervals, None where there is none.
        "merit" is the objective of the path and of the disturbances that the solver chose; "entropic", sampled, is the
        objective of the policy, from which the merit differs by the log-determinants that it leaves out.
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
            "expansion": self.expansion,
            "success_rate": result.success_rate,
        }
        for name, interval in self._intervals().items():
            row |= dict(zip((f"{name}_low", f"{name}_high"), interval or (None, None), strict=True))
        if self.difference is not None:
            row |= {"difference": self.difference.mean, "difference_se": self.difference.standard_error}
            row |= dict(zip(("difference_low", "difference_high"), self.difference.interval, strict=True))
        return row if self.theta is None else row | {"theta": self.theta, "method": "leqg"}

    def _intervals(self):
        """95 % intervals, None where there is none, by the key of their estimate."""
        result = self.evaluation
        return {
            "mean": result.mean_interval(),
            "variance": result.variance_interval(),
            "cvar95": result.cvar_interval(0.95),
            "entropic": result.entropic_interval(self.eta),
            "success": result.success_interval(),
        }

    def texts(self) -> dict[str, str]:
        """The row as texts with 95 % intervals, by the heading of their column."""
        result, intervals = self.evaluation, self._intervals()
        texts = {
            "η": f"{self.eta:g}",
            "mean": with_interval(result.mean, intervals["mean"]),
            "variance": with_interval(result.variance, intervals["variance"]),
            "CVaR 95 %": with_interval(result.cvar(0.95), intervals["cvar95"]),
            "entropic": with_interval(result.entropic(self.eta), intervals["entropic"]),
            "merit": f"{self.solution.cost:.6g}",
            "iterations": str(self.solution.iterations),
            "status": self.solution.status.name.lower().replace("_", " "),
        }
        if result.success is not None:
            texts["success"] = share(result.success_rate, intervals["success"])
        return texts


@dataclass(frozen=True, eq=False)
class RiskProfile:
    """Distributions of the cost over the risk weight, all on the same noise; as a string, a table.

    Attributes:
      points: tuple of `RiskPoint`, by rising eta.
      ilqg: `RiskPoint` of the risk-neutral reference.
      interrupted: whether Ctrl-C cut the evaluation short; all points have the same samples then as well.
      expansions: their names, the first being the reference of the differences.
    """

    points: tuple[RiskPoint, ...]
    ilqg: RiskPoint
    interrupted: bool = False
    expansions: tuple[str, ...] = ("taylor",)

    def of(self, expansion: str) -> list[RiskPoint]:
        """The points of PPI with an expansion, by rising eta."""
        return [point for point in self.points if point.theta is None and point.expansion == expansion]

    def rows(self) -> list[dict]:
        """`RiskPoint.row` of every point."""
        return [point.row() for point in self.points]

    def texts(self) -> list[list[str]]:
        """Table as lists of texts, headings first and iLQG last."""
        rows = [{"method": "PPI" if p.theta is None else "LEQG"} | self._texts(p) for p in self.points]
        rows.append({"method": "iLQG"} | self._texts(self.ilqg))
        return [list(rows[0]), *(list(row.values()) for row in rows)]

    def _texts(self, point):
        if self.expansions == ("taylor",):
            return point.texts()
        texts = {"expansion": point.expansion} | point.texts()
        if len(self.expansions) > 1:
            d = point.difference
            difference = "-" if d is None else with_interval(d.mean, d.interval)
            texts[f"difference to {self.expansions[0]}"] = difference
        return texts

    def notes(self) -> list[str]:
        """Lines about samples that diverged or are missing, and about missing intervals."""
        several = len(self.expansions) > 1
        names = [f"η = {p.eta:g}" + (f" ({p.expansion})" if several else "") for p in self.points]
        points = {"iLQG": self.ilqg} | dict(zip(names, self.points, strict=True))
        etas = {name: point.eta for name, point in points.items()}
        return notes({name: point.evaluation for name, point in points.items()}, etas)

    def __str__(self) -> str:
        first = self.ilqg.evaluation
        note = f"{first.samples} common samples, seed {first.seed}; {INTERVALS}"
        return "\n".join([*as_table(self.texts()), note, *self.notes()])


def risk_profile(
    problem: Problem,
    ilqg: Solution,
    *,
    eta: Mapping[float, Solution] | Mapping[str, Mapping[float, Solution]] | None = None,
    theta: Mapping[float, Solution] | Mapping[str, Mapping[float, Solution]] | None = None,
    samples: int = 1000,
    seed: int = 0,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> RiskProfile:
    """Evaluate the answers of `risk_sweep`, for one expansion or several, on common random numbers, beside iLQG's.

    Args:
      problem: `Problem`.
      ilqg: `Solution` of `ILQG`, the risk-neutral reference.
      eta: dict from weights to `Solution`s of `PPI`; or a dict from names of expansions to such dicts, of which the
        first is the reference of the others at the same weight.
      theta: dict from weights to `Solution`s of `LEQG`.
      samples, seed, threads, progress: as for `evaluate`.

    Returns:
      `RiskProfile`.

    Raises:
      ProblemError: as `evaluate`, or if there is no weight.
      KeyboardInterrupt: as `evaluate`.
    """
    points = [RiskPoint(e, solution, None, None, name) for name, e, solution in _weighed("eta", _by_expansion(eta))]
    expansions = tuple(dict.fromkeys(point.expansion for point in points))
    averse = _weighed("theta", [(None, {} if theta is None else theta)])
    points += [RiskPoint(0.0 - th, solution, None, th) for _, th, solution in averse]  # an eta of 0 is not to be -0
    if not points:
        raise ProblemError("eta and theta hold no weight; give eta=dict(zip(weights, risk_sweep(...)))")
    points = [RiskPoint(0.0, ilqg, None), *sorted(points, key=lambda point: point.eta)]
    for point in points:
        if not isinstance(point.solution, Solution):
            given = type(point.solution).__name__
            raise ProblemError(f"a {given} is given for a Solution; give what solve or risk_sweep returns")
    policies = {str(i): point.solution.policy for i, point in enumerate(points)}
    table = compare(problem, policies, samples, seed, threads=threads, progress=progress)
    results = table.evaluations.values()
    reference, *points = (replace(p, evaluation=result) for p, result in zip(points, results, strict=True))
    first = {p.eta: p.evaluation for p in points if p.theta is None and p.expansion == expansions[0]}
    points = tuple(_beside(point, first) for point in points)
    return RiskProfile(points, reference, table.interrupted, expansions or ("taylor",))


def _by_expansion(eta):
    """Pairs of the name of an expansion, None where the solution knows it, and solutions by weight."""
    if isinstance(eta, Mapping) and any(isinstance(value, Mapping) for value in eta.values()):
        for name in eta:
            check_label(name, "an expansion")
        return list(eta.items())
    return [(None, {} if eta is None else eta)]


def _weighed(what, groups):
    """Triples of expansion, weight and solution."""
    for name, solutions in groups:
        if not isinstance(solutions, Mapping):
            raise ProblemError(f"{what} is a {type(solutions).__name__}; expected dict(zip(weights, risk_sweep(...)))")
        for weight, solution in solutions.items():
            method = getattr(solution, "method", None)
            yield name or expansion_name(method), check_number(weight, what) + 0.0, solution


def _beside(point, first):
    """The point with its difference to the first expansion's evaluation at the same weight."""
    reference = first.get(point.eta)
    if point.theta is not None or reference is None or point.evaluation is reference:
        return point
    return replace(point, difference=difference_of(point.evaluation.cost, reference.cost))


def expansion_name(method: object) -> str:
    """The rule of a method's sigma points, or "taylor"."""
    expansion = getattr(method, "expansion", "taylor")
    return expansion if isinstance(expansion, str) else expansion.rule
