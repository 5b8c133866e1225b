"""The command `risk`: a sweep over the risk weight, evaluated on common noise beside iLQG."""

from pathlib import Path
from typing import Annotated

import ppi_robotics as ppi
from ppi_robotics.cli.app import command
from ppi_robotics.cli.methods import EXPANSIONS
from ppi_robotics.cli.options import choices_of, weights_of
from ppi_robotics.cli.output import progress, remark
from ppi_robotics.cli.problems import Out, Samples, Seed, Starts, SwingUp
from ppi_robotics.cli.report import Report, stop_if, write_csv
from ppi_robotics.cli.runs import (
    count_iterations,
    count_rollouts,
    heading,
    label,
    run_solve,
    setting,
    solve_facts,
    solve_rows,
)
from ppi_robotics.errors import ProblemError

ETAS = "-0.3,-0.1,-0.03,0,0.01,0.03,0.1,0.2,0.3,0.5,0.7,1"


@command("risk")
def risk(
    report: Report,
    task: SwingUp,
    eta: Annotated[str | None, "E1,E2,..."] = None,
    theta: Annotated[str | None, "TH1,TH2,..."] = None,
    expansion: Annotated[str, "NAME,..."] = "taylor",
    starts: Starts = None,
    samples: Samples = 10_000,
    seed: Seed = 0,
    out: Out = None,
):
    """Solve a swing-up at many risk weights, evaluate them beside iLQG, and draw risk.png and write risk.csv.

    Args:
      eta: weights of the cost for ppi; twelve from -0.3 to 1 by default.
      theta: risk aversions for leqg.
      expansion: local models of ppi, of taylor, cubature, unscented and gauss_hermite.
    """
    methods = chosen_methods(ETAS if eta is None and theta is None else eta, theta, expansion)
    problem = task.problem()
    report.begin(problem.plant.name, out or Path("out", task.name))
    solutions = []
    try:
        solve_all(problem, methods, seed, starts, solutions)
        ilqg = run_solve(problem, ppi.ILQG(), seed, starts)
        stop_if(ilqg.interrupted)
        profile = evaluate_all(problem, solutions, ilqg, samples, seed)
    except KeyboardInterrupt:
        add_solved(report, problem, [solution for solution in solutions if solution.trace], seed)
        raise
    facts = setting(problem, None, seed) | {"samples": samples}
    facts |= {"rows": profile.rows(), "ilqg": profile.ilqg.row()}
    report.add(facts, heading(problem, seed, samples), profile.texts(), lines=profile.notes())
    report.solved = all(solution.status.solved for solution in solutions)
    stop_if(profile.interrupted)
    write_table(profile, report)
    if all(point.evaluation.diverged == point.evaluation.samples for point in profile.points):
        remark("every rollout diverged, there is nothing to draw")
    else:
        report.draw("risk.png", lambda plotting: plotting.risk.risk_dial(profile)[0].figure)


def add_solved(report: Report, problem, solutions, seed):
    """Add how solves ended that were not evaluated."""
    rows = [setting(problem, solution.method, seed) | solve_facts(solution) for solution in solutions]
    columns = {label(solution.method): solve_rows(solution) for solution in solutions}
    report.add(setting(problem, None, seed) | {"rows": rows}, heading(problem, seed), columns=columns)


def chosen_methods(eta, theta, expansion):
    """PPI at every eta with every expansion and LEQG at every theta; one of both weights may be None."""
    from ppi_robotics.risk import methods_at

    methods, names = [], choices_of("expansion", expansion, EXPANSIONS)
    if eta is None and names != ["taylor"]:
        raise ProblemError(f"--expansion {expansion} is for ppi, and no weight of it is given; give --eta")
    for name in names if eta is not None else ():
        method = ppi.PPI(0) if name == "taylor" else ppi.PPI(0, expansion=ppi.SigmaPoints(name))
        methods += methods_at(method, eta=weights_of("--eta", eta))
    return methods if theta is None else methods + methods_at(ppi.LEQG(0), theta=weights_of("--theta", theta))


def solve_all(problem, methods, seed, starts, solutions):
    """Append the `Solution`s of the methods to a list, with a live line of progress."""
    from ppi_robotics.risk import expansion_name, solve_neighbors

    groups = {}
    for method in methods:
        groups.setdefault(expansion_name(method), []).append(method)
    with progress("solving") as say:
        for group in groups.values():
            solutions += solve_neighbors(problem, group, seed, starts, lambda m: count_iterations(say, label(m)))
            stop_if(any(solution.interrupted for solution in solutions))
    for solution in solutions:
        if not solution.status.solved:
            remark(f"{label(solution.method)} is not solved: {solution.explain()}")


def evaluate_all(problem, solutions, ilqg, samples, seed):
    """`RiskProfile`, with a live line of progress."""
    from ppi_robotics.risk import expansion_name

    eta, theta = {}, {}
    for solution in solutions:
        method = solution.method
        if method.name == "ppi":
            eta.setdefault(expansion_name(method), {})[method.eta] = solution
        else:
            theta[method.theta] = solution
    with progress("evaluating") as say:
        count = count_rollouts(say, "all policies")
        return ppi.risk_profile(problem, ilqg, eta=eta, theta=theta, samples=samples, seed=seed, progress=count)


def write_table(profile, report: Report):
    """Write risk.csv: a line for every weight and one for iLQG."""
    names = ["method", *profile.ilqg.row()]
    if len(profile.expansions) > 1:
        names += ["difference", "difference_se", "difference_low", "difference_high"]
    rows = [{"method": "ppi"} | row for row in profile.rows()] + [{"method": "ilqg"} | profile.ilqg.row()]
    report.write("risk.csv", lambda path: write_csv(path, rows, names))
