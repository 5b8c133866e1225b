"""The sub-commands `central mm` and `central ppi`: soft steps about the last policy, and how their costs fall."""

import math
from typing import Annotated

import typer

from ppi_robotics.cli.arguments import Json, Out, check_range, option, real, weights_of, whole
from ppi_robotics.cli.central_tables import Actions, Seed, Stages, States, about, tables
from ppi_robotics.cli.output import progress, show_json, show_rows
from ppi_robotics.cli.work import Files, stop_if, write_figure
from ppi_robotics.errors import ProblemError

PolicyWeights = Annotated[str, typer.Option("--lambda-policy", metavar="LP,...", help="Weights above 0.")]
RiskWeights = Annotated[str, typer.Option("--lambda-transition", metavar="LS,...", help="Risk weights, any sign.")]
Etas = Annotated[str, typer.Option("--eta", metavar="E,...", help="Weights above 0.")]
Iterations = Annotated[int, option("--iterations", "N", "Policies at most.", whole)]
Tolerance = Annotated[float, option("--tolerance", "TOL", "Change of the cost, relative to it, that ends it.", real)]
LEVELS = 1e-2, 1e-4  # excesses over the optimum that iterations are counted to
COUNTS = 0, 10, 100, 1000  # iterations that the excess is told for


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
    found = descend(tables(states, actions, stages, seed), names, pairs, iterations, tolerance, out)
    return show_descents("soft steps", *found, as_json)


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
    found = descend(tables(states, actions, stages, seed), names, pairs, iterations, tolerance, out)
    return show_descents("posterior policy iteration", *found, as_json)


def descend(problem, names, pairs, iterations, tolerance, out):
    """What the tables are, for JSON; by name the `Descent` of every pair of weights with its optimum; the `Files`."""
    from ppi_robotics.discrete import majorize, solve
    from ppi_robotics.solution import Status

    mdp, log_rho, facts = problem
    check_range("--iterations", iterations, 1)
    if not tolerance >= 0.0:
        raise ProblemError(f"--tolerance is {tolerance:g}; expected a number, 0 or more")
    found, files = {}, Files(out)
    with files.until_interrupted(), progress("iterating") as say:
        for name, (lP, lS) in zip(names, pairs, strict=True):
            say(name)
            descent = majorize(mdp, lP, lS, log_rho, tolerance=tolerance, max_iterations=iterations)
            found[name] = descent, solve(mdp, math.inf, lS, log_rho).value[0]
            stop_if(descent.status is Status.INTERRUPTED)
    return facts, found, files


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


def show_descents(title, facts, found, files, as_json):
    """Print how the excess over the optimum falls, and draw it if there is a folder; the exit code."""
    if not found:
        return files.end(1)
    rows = [descent_facts(name, *pair) for name, pair in found.items()]
    if files.folder is not None and not files.interrupted:
        with progress("drawing the picture"):
            from ppi_robotics import plotting

            write_figure(plotting.tables.descents(found)[0].figure, "descent.png", files)
    code = 0 if all(descent.status.solved for descent, _ in found.values()) else 1
    if as_json:
        show_json(facts | {"rows": rows} | files.facts())
        return files.end(code)
    heads = ["", "iterations", *(f"to {level:g}" for level in LEVELS), *(f"gap of V({k})" for k in COUNTS)]
    texts = [[*heads, "last gap", "largest rise"]]
    for row in rows:
        counts = ["" if count is None else str(count) for count in row["to_gap"].values()]
        gaps = [f"{row['bound_gap'][k]:.3g}" if k in row["bound_gap"] else "" for k in COUNTS]
        ended = f"{row['iterations']} ({row['status'].replace('_', ' ')})"
        texts.append([row["name"], ended, *counts, *gaps, f"{row['gap']:.2g}", f"{row['rise']:.2g}"])
    show_rows(f"{title}, {about(facts)}", texts, files)
    return files.end(code)
