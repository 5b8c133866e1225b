"""The commands `central`: the recursion on random tables, checked against what is known about it."""

import math
from dataclasses import dataclass, replace
from typing import Annotated

from ppi_robotics.cli.app import TABLES, command
from ppi_robotics.cli.options import weights_of
from ppi_robotics.cli.output import progress
from ppi_robotics.cli.problems import Out
from ppi_robotics.cli.report import Report, stop_if
from ppi_robotics.errors import ProblemError

MODES = {  # lambda_policy and lambda_transition of the named problems
    "SOC": (math.inf, 0.0),
    "RSOC seeking": (math.inf, 2.0),
    "RSOC averse": (math.inf, -2.0),
    "SP-SOC": (2.0, 0.0),
    "SP-RSOC seeking": (2.0, 1.0),
    "SP-RSOC averse": (2.0, -1.0),
    "synchronized": (2.0, 2.0),
}
LEVELS = 1e-2, 1e-4  # excesses over the optimum that iterations are counted to
COUNTS = 0, 10, 100, 1000  # iterations that the excess is told for

Weight = Annotated[float, "L", "Weight of policy and transitions alike, above 0."]
Iterations = Annotated[int, "N", range(1, 10**9), "Policies at most."]
Tolerance = Annotated[float, "TOL", "Change of the cost, relative to it, that ends it."]


@dataclass(frozen=True)
class Tables:
    """A random problem.

    Attributes:
      states, actions, stages: their number.
      seed: of the random tables.
    """

    states: Annotated[int, "S", range(1, 10_001)] = 5
    actions: Annotated[int, "A", range(1, 10_001)] = 3
    stages: Annotated[int, "T", range(1, 10_001)] = 6
    seed: Annotated[int, "N", range(2**64)] = 0

    def begin(self, report: Report):
        """The problem and its baseline, and a report that says what they are."""
        if (count := self.states**2 * self.actions * self.stages) > 10**8:
            raise ProblemError(
                f"{self.states} states, {self.actions} actions and {self.stages} stages have {count} "
                "transitions; give tables of at most 1e8"
            )
        from ppi_robotics.discrete import random_problem

        report.facts = dict(vars(self))
        report.title = "{states} states, {actions} actions, {stages} stages, seed {seed}".format(**vars(self))
        return random_problem(self.seed, self.states, self.actions, self.stages)


@command("central solve", TABLES)
def solve(
    report: Report,
    tables: Tables,
    lambda_policy: Annotated[float | None, "LP"] = None,
    lambda_transition: Annotated[float | None, "LS"] = None,
    out: Out = None,
):
    """Values of the seven named problems, or of one choice of weights; with --out also draw plane.png.

    Args:
      lambda_policy: 0 to inf; all named problems if left out.
      lambda_transition: any sign, 0 by default.
    """
    from ppi_robotics import discrete

    mdp, log_rho = tables.begin(report)
    report.write_to(out)
    modes, found = MODES, []
    if lambda_policy is not None or lambda_transition is not None:
        modes = {"chosen": (math.inf if lambda_policy is None else lambda_policy, lambda_transition or 0.0)}
    with report.until_interrupted():
        for name, weights in modes.items():
            solution = discrete.solve(mdp, *weights, log_rho)
            mean, variance = discrete.mean_and_variance(mdp, solution.log_policy)
            found.append(
                {"name": name, "lambda_policy": weights[0], "lambda_transition": weights[1]}
                | {"value": solution.value[0].tolist(), "mean": mean[0].tolist(), "variance": variance[0].tolist()}
            )
    if not found:
        return
    rows = [["problem", "lambda P", "lambda S", *(f"V({x})" for x in range(tables.states))]]
    rows += [[one["name"], *(f"{weight:g}" for weight in modes[one["name"]]), *digits(one["value"])] for one in found]
    report.add({"modes": found}, rows=rows)
    report.draw("plane.png", lambda plotting: plotting.tables.plane(mdp, log_rho)[0].figure)


@command("central compose", TABLES)
def compose(
    report: Report,
    tables: Tables,
    weight: Weight = 2.0,
    shares: Annotated[str, "W,..."] = "0.2,0.5,0.3",
):
    """Policies for several terminal costs mixed into one, against the direct solution, and where that fails.

    Args:
      shares: of the terminal costs, 0 or more.
    """
    import numpy as np

    from ppi_robotics.discrete import compose_tables, soft_minimum, solve, solve_linear

    mdp, log_rho = tables.begin(report)
    w = weights_of("--shares", shares)
    terminals = np.random.default_rng(tables.seed + 1).uniform(0.0, 3.0, (len(w), tables.states))
    several = replace(mdp, terminal=soft_minimum(terminals, w, weight))
    direct = solve(several, weight, weight, log_rho)
    mixed = compose_tables(solve_linear(mdp, weight, log_rho, terminals=terminals), w)
    facts = {"value_error": largest(mixed.value - direct.value), "policy_error": largest(mixed.policy - direct.policy)}
    names = [f"{name}, weights ({weight:g}, {weight:g})" for name in ("values", "policies")]
    rows = [["mixture against direct solution", "largest difference"]]
    rows += [[name, f"{error:.2g}"] for name, error in zip(names, facts.values(), strict=True)]
    title = f"{report.title}, {len(w)} terminal costs, seed {tables.seed + 1}"
    report.add({"weight": weight, "shares": w} | facts, title, rows)
    parts = [solve(replace(mdp, terminal=one), weight, weight / 2, log_rho).value for one in terminals]
    error = largest(soft_minimum(parts, w, weight) - solve(several, weight, weight / 2, log_rho).value)
    control = {"lambda_policy": weight, "lambda_transition": weight / 2, "value_error": error}
    report.add(
        {"control": control}, rows=[[f"values, weights ({weight:g}, {weight / 2:g}), not linear", f"{error:.2g}"]]
    )


@command("central linear", TABLES)
def linear(report: Report, tables: Tables, weight: Weight = 2.0):
    """The linear Bellman equation against the recursion."""
    from ppi_robotics.discrete import solve, solve_linear

    mdp, log_rho = tables.begin(report)
    one, other = solve_linear(mdp, weight, log_rho), solve(mdp, weight, weight, log_rho)
    error, values = largest(one.value - other.value), one.value[0].tolist()
    facts = {"weight": weight, "value": values, "value_error": error}
    rows = [["", *(f"V({x})" for x in range(tables.states)), "difference to the recursion"]]
    rows.append(["linear equation", *digits(values), f"{error:.2g}"])
    report.add(facts | {"policy_error": largest(one.policy - other.policy)}, f"{report.title}, weight {weight:g}", rows)


@command("central mm", TABLES)
def mm(
    report: Report,
    tables: Tables,
    lambda_policy: Annotated[str, "LP,..."] = "2,10",
    lambda_transition: Annotated[str, "LS,..."] = "0,2,-2",
    iterations: Iterations = 5000,
    tolerance: Tolerance = 1e-9,
    out: Out = None,
):
    """Soft steps about the last policy, for every pair of weights; with --out also draw descent.png.

    Args:
      lambda_policy: weights above 0.
      lambda_transition: risk weights, any sign.
    """
    risks, steps = weights_of("--lambda-transition", lambda_transition), weights_of("--lambda-policy", lambda_policy)
    pairs = {f"λP = {lP:g}, λS = {lS:g}".replace("-", "\N{MINUS SIGN}"): (lP, lS) for lS in risks for lP in steps}
    descend(report, "soft steps", tables, pairs, iterations, tolerance, out)


@command("central ppi", TABLES)
def ppi(
    report: Report,
    tables: Tables,
    eta: Annotated[str, "E,..."] = "2,0.5",
    iterations: Iterations = 5000,
    tolerance: Tolerance = 1e-9,
    out: Out = None,
):
    """Posterior policy iteration for every weight; with --out also draw descent.png.

    Args:
      eta: weights above 0.
    """
    pairs = {f"PPI, η = {value:g}": (value, value) for value in weights_of("--eta", eta)}
    descend(report, "posterior policy iteration", tables, pairs, iterations, tolerance, out)


@command("central path-integral", TABLES)
def path_integral(
    report: Report,
    tables: Tables,
    weight: Weight = 2.0,
    state: Annotated[int, "X"] = 0,
    samples: Annotated[int, "--samples", "--N", "N", range(2, 10**9)] = 100_000,
    repeats: Annotated[int, "K", range(1, 10_001)] = 20,
    out: Out = None,
):
    """Value and first action from sampled trajectories, against the exact ones; with --out also draw estimate.png.

    Args:
      state: to start from.
      samples: number of trajectories.
      repeats: number of estimates, of noise seeds 0 to K - 1.
    """
    import numpy as np

    from ppi_robotics.discrete import sample_integral, solve
    from ppi_robotics.texts import with_interval

    mdp, log_rho = tables.begin(report)
    report.write_to(out)
    exact, found = solve(mdp, weight, weight, log_rho), []
    with report.until_interrupted(), progress("sampling") as say:
        for k in range(repeats):
            one = sample_integral(mdp, weight, state, 0, samples, k, log_rho)
            if not one.interrupted:  # estimates of as many trajectories each
                found.append(one)
            stop_if(one.interrupted)
            say(f"sampling: {k + 1} of {repeats} estimates", k + 1, repeats)
    if not found:
        return
    values, errors, ess = np.array([(one.value, one.standard_error, one.ess) for one in found]).T
    interval = interval_of(values, weight) if len(found) > 1 else found[0].interval
    policy, target = np.mean([one.policy for one in found], axis=0), exact.policy[0, state]
    facts = {
        "weight": weight,
        "state": state,
        "samples": samples,
        "repeats": len(found),
        "exact": float(exact.value[0, state]),
        "mean": float(values.mean()),
        "mean_standard_error": math.sqrt(float(np.mean(errors**2)) / len(found)),
        "mean_interval": interval,
        "standard_error": float(errors.mean()),
        "values": values.tolist(),
        "ess": float(ess.mean()),
        "policy": policy.tolist(),
        "policy_exact": target.tolist(),
    }
    rows = [
        ["", "estimate, 95 % interval", "exact"],
        [f"value, mean of {len(found)}", with_interval(facts["mean"], interval), f"{facts['exact']:.6f}"],
        ["standard error of one", f"{facts['standard_error']:.2g}", ""],
        ["first action", *(", ".join(f"{p:.4f}" for p in one) for one in (policy, target))],
        ["effective samples of one", f"{facts['ess']:.0f}", ""],
    ]
    report.add(facts, f"{report.title}, weight {weight:g}, {samples} trajectories from state {state}", rows)
    how = mdp, log_rho, weight, state, samples, min(len(found), 20)
    report.draw("estimate.png", lambda plotting: plotting.tables.estimates(*how)[0].figure)


# -- parts -------------------------------------------------------------------------------------------------------------


def largest(difference) -> float:
    """Largest absolute entry of an array."""
    return float(abs(difference).max())


def digits(values) -> list[str]:
    """Numbers with the ten decimals that they are compared to."""
    return [f"{value:.10f}" for value in values]


def interval_of(values, weight: float) -> tuple[float, float] | None:
    """95 % interval of a value from independent estimates -(1/l) log m of it; None where they are too skewed.

    The means m have no bias, so that their interval is taken and its ends are transformed.
    """
    import numpy as np

    from ppi_robotics import intervals

    found = intervals.of_mean(np.exp(-weight * (values - values[0])), 0.95)
    if isinstance(found, str) or found[0] <= 0.0:
        return None
    return tuple(float(values[0] - math.log(end) / weight) for end in reversed(found))


def descend(report: Report, title, tables, pairs, iterations, tolerance, out):
    """Iterate for every pair of weights by name, and show how the excess over the optimum falls."""
    from ppi_robotics.discrete import majorize, solve
    from ppi_robotics.solution import Status

    mdp, log_rho = tables.begin(report)
    if not tolerance >= 0.0:
        raise ProblemError(f"--tolerance is {tolerance:g}; expected a number, 0 or more")
    report.write_to(out)
    found = {}
    with report.until_interrupted(), progress("iterating") as say:
        for i, (name, (lP, lS)) in enumerate(pairs.items()):
            say(name, i, len(pairs))
            descent = majorize(mdp, lP, lS, log_rho, tolerance=tolerance, max_iterations=iterations)
            found[name] = descent, solve(mdp, math.inf, lS, log_rho).value[0]
            stop_if(descent.status is Status.INTERRUPTED)
    if not found:
        return
    facts = [descent_facts(name, *pair) for name, pair in found.items()]
    heads = ["", "iterations", *(f"to {level:g}" for level in LEVELS), *(f"gap of V({k})" for k in COUNTS)]
    rows = [[*heads, "last gap", "largest rise"], *map(descent_row, facts)]
    report.add({"rows": facts}, f"{title}, {report.title}", rows)
    report.solved = all(descent.status.solved for descent, _ in found.values())
    report.draw("descent.png", lambda plotting: plotting.tables.descents(found)[0].figure)


def descent_facts(name: str, descent, optimum) -> dict:
    """How a descent went, for JSON."""
    import numpy as np

    gap, excess = descent.gap(optimum), (descent.bound - optimum).max(axis=1)
    return {
        "name": name,
        "lambda_policy": descent.solution.lambda_policy,
        "lambda_transition": descent.solution.lambda_transition,
        "status": descent.status.name.lower(),
        "iterations": descent.iterations,
        "rise": descent.rise,
        "to_gap": {f"{level:g}": int(np.argmax(gap < level)) if gap.min() < level else None for level in LEVELS},
        "bound_gap": {k: float(excess[k]) for k in COUNTS if k < len(excess)},
        "gap": float(gap[-1]),
    }


def descent_row(row: dict) -> list[str]:
    """How a descent went, for a table."""
    counts = ["" if count is None else str(count) for count in row["to_gap"].values()]
    gaps = [f"{row['bound_gap'][k]:.3g}" if k in row["bound_gap"] else "" for k in COUNTS]
    ended = f"{row['iterations']} ({row['status'].replace('_', ' ')})"
    return [row["name"], ended, *counts, *gaps, f"{row['gap']:.2g}", f"{row['rise']:.2g}"]
