"""The command `central`: the recursion on tables, checked against what is known about it."""

import math
from typing import Annotated

import typer

from ppi_robotics.command_arguments import Json, Out, check_range, option, real, weights_of, whole
from ppi_robotics.command_output import progress, show_json, show_rows
from ppi_robotics.command_work import Files, write_figure
from ppi_robotics.errors import ProblemError

central = typer.Typer(
    add_completion=False, help="The recursion on random tables, for any weights of policy and transitions."
)

States = Annotated[int, option("--states", "S", "Number of states.", whole)]
Actions = Annotated[int, option("--actions", "A", "Number of actions.", whole)]
Stages = Annotated[int, option("--stages", "T", "Number of stages.", whole)]
Seed = Annotated[int, option("--seed", "N", "Seed of the random tables.", whole)]
Weight = Annotated[float, option("--weight", "L", "Weight of policy and transitions alike, above 0.", real)]
LambdaPolicy = Annotated[
    float | None, option("--lambda-policy", "LP", "0 to inf; all named problems if left out.", real)
]
LambdaTransition = Annotated[float | None, option("--lambda-transition", "LS", "Any sign, 0 by default.", real)]
PolicyWeights = Annotated[str, typer.Option("--lambda-policy", metavar="LP,...", help="Weights above 0.")]
RiskWeights = Annotated[str, typer.Option("--lambda-transition", metavar="LS,...", help="Risk weights, any sign.")]
Etas = Annotated[str, typer.Option("--eta", metavar="E,...", help="Weights above 0.")]
Shares = Annotated[str, typer.Option("--shares", metavar="W,...", help="Shares of the terminal costs, 0 or more.")]
Tolerance = Annotated[float, option("--tolerance", "TOL", "Change of the cost, relative to it, that ends it.", real)]
Iterations = Annotated[int, option("--iterations", "N", "Policies at most.", whole)]
Samples = Annotated[int, option("--samples", "N", "Number of trajectories; also --N.", whole)]
Samples.__metadata__[0].param_decls += ("--N",)
Repeats = Annotated[int, option("--repeats", "K", "Number of estimates, of noise seeds 0 to K - 1.", whole)]
State = Annotated[int, option("--state", "X", "State to start from.", whole)]

MODES = {
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


@central.command("solve")
def solve_tables(
    states: States = 5,
    actions: Actions = 3,
    stages: Stages = 6,
    seed: Seed = 0,
    lambda_policy: LambdaPolicy = None,
    lambda_transition: LambdaTransition = None,
    out: Out = None,
    as_json: Json = False,
):
    """Values of the seven named problems, or of one choice of weights; with --out also draw plane.png."""
    from ppi_robotics.discrete import mean_and_variance, solve

    mdp, log_rho, facts = tables(states, actions, stages, seed)
    modes, files = MODES, Files(out)
    if lambda_policy is not None or lambda_transition is not None:
        lP = math.inf if lambda_policy is None else lambda_policy
        modes = {"chosen": (lP, lambda_transition or 0.0)}
    found = []
    for name, weights in modes.items():
        solution = solve(mdp, *weights, log_rho)
        mean, variance = mean_and_variance(mdp, solution.log_policy)
        found.append(
            {"name": name, "lambda_policy": weights[0], "lambda_transition": weights[1]}
            | {"value": solution.value[0].tolist(), "mean": mean[0].tolist(), "variance": variance[0].tolist()}
        )
    if out is not None:
        with progress("drawing the picture"):
            from ppi_robotics import plotting_central

            write_figure(plotting_central.plane(mdp, log_rho)[0].figure, "plane.png", files)
    if as_json:
        return show_json(facts | {"modes": found, "files": files.written})
    rows = [["problem", "lambda P", "lambda S", *(f"V({x})" for x in range(states))]]
    for one in found:
        weights = [f"{one[key]:g}" for key in ("lambda_policy", "lambda_transition")]
        rows.append([one["name"], *weights, *(f"{value:.10f}" for value in one["value"])])
    show_rows(about(facts), rows, files)
    return 0


@central.command()
def compose(
    states: States = 5,
    actions: Actions = 3,
    stages: Stages = 6,
    seed: Seed = 0,
    weight: Weight = 2.0,
    shares: Shares = "0.2,0.5,0.3",
    as_json: Json = False,
):
    """Policies for several terminal costs mixed into one, against the direct solution, and where that fails."""
    from dataclasses import replace

    import numpy as np

    from ppi_robotics.discrete import compose_tables, soft_minimum, solve, solve_linear

    mdp, log_rho, facts = tables(states, actions, stages, seed)
    w = weights_of("--shares", shares)
    terminals = np.random.default_rng(seed + 1).uniform(0.0, 3.0, (len(w), states))
    several = replace(mdp, terminal=soft_minimum(terminals, w, weight))
    direct = solve(several, weight, weight, log_rho)
    mixed = compose_tables(solve_linear(mdp, weight, log_rho, terminals=terminals), w)
    parts = [solve(replace(mdp, terminal=one), weight, weight / 2, log_rho).value for one in terminals]
    other = solve(several, weight, weight / 2, log_rho).value
    facts |= {
        "weight": weight,
        "shares": w,
        "value_error": float(np.abs(mixed.value - direct.value).max()),
        "policy_error": float(np.abs(mixed.policy - direct.policy).max()),
        "control": {
            "lambda_policy": weight,
            "lambda_transition": weight / 2,
            "value_error": float(np.abs(soft_minimum(parts, w, weight) - other).max()),
        },
    }
    if as_json:
        return show_json(facts)
    rows = [
        ["mixture against direct solution", "largest difference"],
        [f"values, weights ({weight:g}, {weight:g})", f"{facts['value_error']:.2g}"],
        [f"policies, weights ({weight:g}, {weight:g})", f"{facts['policy_error']:.2g}"],
        [f"values, weights ({weight:g}, {weight / 2:g}), not linear", f"{facts['control']['value_error']:.2g}"],
    ]
    show_rows(f"{about(facts)}, {len(w)} terminal costs, seed {seed + 1}", rows, Files(None))
    return 0


@central.command("linear")
def linear_equation(
    states: States = 5,
    actions: Actions = 3,
    stages: Stages = 6,
    seed: Seed = 0,
    weight: Weight = 2.0,
    as_json: Json = False,
):
    """The linear Bellman equation against the recursion."""
    import numpy as np

    from ppi_robotics.discrete import solve, solve_linear

    mdp, log_rho, facts = tables(states, actions, stages, seed)
    one, other = solve_linear(mdp, weight, log_rho), solve(mdp, weight, weight, log_rho)
    facts |= {
        "weight": weight,
        "value": one.value[0].tolist(),
        "value_error": float(np.abs(one.value - other.value).max()),
        "policy_error": float(np.abs(one.policy - other.policy).max()),
    }
    if as_json:
        return show_json(facts)
    rows = [["", *(f"V({x})" for x in range(states)), "difference to the recursion"]]
    rows.append(["linear equation", *(f"{value:.10f}" for value in facts["value"]), f"{facts['value_error']:.2g}"])
    show_rows(f"{about(facts)}, weight {weight:g}", rows, Files(None))
    return 0


@central.command()
def mm(
    states: States = 5,
    actions: Actions = 3,
    stages: Stages = 6,
    seed: Seed = 0,
    lambda_policy: PolicyWeights = "2,10",
    lambda_transition: RiskWeights = "0,2,-2",
    iterations: Iterations = 5000,
    tolerance: Tolerance = 1e-9,
    out: Out = None,
    as_json: Json = False,
):
    """Soft steps about the last policy, for every pair of weights; with --out also draw descent.png."""
    risks, steps = weights_of("--lambda-transition", lambda_transition), weights_of("--lambda-policy", lambda_policy)
    pairs = [(lP, lS) for lS in risks for lP in steps]
    names = [f"λP = {lP:g}, λS = {lS:g}".replace("-", "\N{MINUS SIGN}") for lP, lS in pairs]
    found = descend(tables(states, actions, stages, seed), names, pairs, iterations, tolerance)
    return show_descents("soft steps", found, out, as_json)


@central.command()
def ppi(
    states: States = 5,
    actions: Actions = 3,
    stages: Stages = 6,
    seed: Seed = 0,
    eta: Etas = "2,0.5",
    iterations: Iterations = 5000,
    tolerance: Tolerance = 1e-9,
    out: Out = None,
    as_json: Json = False,
):
    """Posterior policy iteration for every weight; with --out also draw descent.png."""
    pairs = [(value, value) for value in weights_of("--eta", eta)]
    names = [f"PPI, η = {value:g}" for value, _ in pairs]
    found = descend(tables(states, actions, stages, seed), names, pairs, iterations, tolerance)
    return show_descents("posterior policy iteration", found, out, as_json)


@central.command("path-integral")
def path_integral(
    states: States = 5,
    actions: Actions = 3,
    stages: Stages = 6,
    seed: Seed = 0,
    weight: Weight = 2.0,
    state: State = 0,
    samples: Samples = 100_000,
    repeats: Repeats = 20,
    out: Out = None,
    as_json: Json = False,
):
    """Value and first action from sampled trajectories, against the exact ones; with --out also draw estimate.png."""
    import numpy as np

    from ppi_robotics.discrete import sample_integral, solve
    from ppi_robotics.distribution import with_error

    mdp, log_rho, facts = tables(states, actions, stages, seed)
    check_range("--repeats", repeats, 1, 10_000)
    check_range("--samples", samples, 2)
    files, exact = Files(out), solve(mdp, weight, weight, log_rho)
    with progress("sampling"):
        found = [sample_integral(mdp, weight, state, 0, samples, k, log_rho) for k in range(repeats)]
    values, errors, ess = np.array([(one.value, one.standard_error, one.ess) for one in found]).T
    pooled = math.sqrt(float(np.mean(errors**2)) / repeats)
    policy, target = np.mean([one.policy for one in found], axis=0), exact.policy[0, state]
    facts |= {
        "weight": weight,
        "state": state,
        "samples": samples,
        "repeats": repeats,
        "exact": float(exact.value[0, state]),
        "mean": float(values.mean()),
        "mean_standard_error": pooled,
        "standard_error": float(errors.mean()),
        "values": values.tolist(),
        "ess": float(ess.mean()),
        "policy": policy.tolist(),
        "policy_exact": target.tolist(),
    }
    if out is not None:
        with progress("drawing the picture"):
            from ppi_robotics import plotting_central

            axes = plotting_central.estimates(mdp, log_rho, weight, state, samples, min(repeats, 20))
            write_figure(axes[0].figure, "estimate.png", files)
    if as_json:
        return show_json(facts | {"files": files.written})
    policies = [", ".join(f"{p:.4f}" for p in one) for one in (policy, target)]
    rows = [
        ["", "estimate", "exact"],
        [f"value, mean of {repeats}", with_error(facts["mean"], pooled), f"{facts['exact']:.6f}"],
        ["standard error of one", f"{facts['standard_error']:.2g}", ""],
        ["first action", *policies],
        ["effective samples of one", f"{facts['ess']:.0f}", ""],
    ]
    show_rows(f"{about(facts)}, weight {weight:g}, {samples} trajectories from state {state}", rows, files)
    return 0


# -- what several of them do -------------------------------------------------------------------------------------------


def tables(states, actions, stages, seed):
    """The random problem, its baseline, and what it is, for JSON."""
    for flag, value in (("--states", states), ("--actions", actions), ("--stages", stages)):
        check_range(flag, value, 1, 10_000)
    check_range("--seed", seed, 0)
    if states**2 * actions * stages > 10**8:
        raise ProblemError(
            f"{states} states, {actions} actions and {stages} stages have {states**2 * actions * stages} "
            "transitions; give tables of at most 1e8"
        )
    from ppi_robotics.discrete import random_problem

    facts = {"states": states, "actions": actions, "stages": stages, "seed": seed}
    return *random_problem(seed, states, actions, stages), facts


def about(facts):
    """Heading of a table."""
    return "{states} states, {actions} actions, {stages} stages, seed {seed}".format(**facts)


def descend(problem, names, pairs, iterations, tolerance):
    """What the tables are, for JSON, and by name the `Descent` of every pair of weights with the optimum it goes to."""
    from ppi_robotics.discrete import majorize, solve

    mdp, log_rho, facts = problem
    check_range("--iterations", iterations, 1)
    if not tolerance >= 0.0:
        raise ProblemError(f"--tolerance is {tolerance:g}; expected a number, 0 or more")
    found = {}
    with progress("iterating") as say:
        for name, (lP, lS) in zip(names, pairs, strict=True):
            say(name)
            descent = majorize(mdp, lP, lS, log_rho, tolerance=tolerance, max_iterations=iterations)
            found[name] = descent, solve(mdp, math.inf, lS, log_rho).value[0]
    return facts, found


def descent_facts(name, descent, optimum):
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


def show_descents(title, found, out, as_json):
    """Print how the excess over the optimum falls, and draw it if there is a folder; the exit code."""
    (facts, found), files = found, Files(out)
    rows = [descent_facts(name, *pair) for name, pair in found.items()]
    if out is not None:
        with progress("drawing the picture"):
            from ppi_robotics import plotting_central

            write_figure(plotting_central.descents(found)[0].figure, "descent.png", files)
    code = 0 if all(descent.status.solved for descent, _ in found.values()) else 1
    if as_json:
        show_json(facts | {"rows": rows, "files": files.written})
        return code
    heads = ["", "iterations", *(f"to {level:g}" for level in LEVELS), *(f"gap of V({k})" for k in COUNTS)]
    texts = [[*heads, "last gap", "largest rise"]]
    for row in rows:
        counts = ["" if count is None else str(count) for count in row["to_gap"].values()]
        gaps = [f"{row['bound_gap'][k]:.3g}" if k in row["bound_gap"] else "" for k in COUNTS]
        ended = f"{row['iterations']} ({row['status'].replace('_', ' ')})"
        texts.append([row["name"], ended, *counts, *gaps, f"{row['gap']:.2g}", f"{row['rise']:.2g}"])
    show_rows(f"{title}, {about(facts)}", texts, files)
    return code
