"""The command `risk`: a sweep over the risk weight, evaluated on common noise beside iLQG."""

import csv
import io
from pathlib import Path

import ppi_robotics as ppi
from ppi_robotics.cli.arguments import (
    Etas,
    Expansions,
    Horizon,
    Json,
    NoiseLevel,
    Out,
    PlantName,
    Samples,
    Seed,
    Starts,
    Thetas,
    check_counts,
    expansions_of,
    make_plant,
    make_problem,
    weights_of,
)
from ppi_robotics.cli.output import (
    heading,
    label,
    progress,
    remark,
    setting,
    show_json,
    show_rows,
    show_table,
    solve_facts,
    solve_rows,
)
from ppi_robotics.cli.work import (
    count_iterations,
    count_rollouts,
    remark_unless_solved,
    run_solve,
    session,
    stop_if,
    write_figure,
)
from ppi_robotics.errors import ProblemError
from ppi_robotics.files import write_whole

ETAS = "-0.3,-0.1,-0.03,0,0.01,0.03,0.1,0.2,0.3,0.5,0.7,1"


def risk(
    plant: PlantName,
    eta: Etas = None,
    theta: Thetas = None,
    expansion: Expansions = "taylor",
    horizon: Horizon = None,
    noise: NoiseLevel = None,
    starts: Starts = None,
    samples: Samples = 10_000,
    seed: Seed = 0,
    out: Out = None,
    as_json: Json = False,
):
    """Solve a swing-up at many risk weights, evaluate them beside iLQG, and draw risk.png and write risk.csv."""
    check_counts(seed, starts, samples)
    plant = make_plant(plant, noise)
    methods = chosen_methods(ETAS if eta is None and theta is None else eta, theta, expansion)
    problem = make_problem(plant, horizon)
    solutions, profile = [], None
    with session(problem, out or Path("out", plant.name)) as files:
        solve_all(problem, methods, seed, starts, solutions)
        ilqg = run_solve(problem, ppi.ILQG(), seed, starts)
        stop_if(ilqg.interrupted)
        profile = evaluate_all(problem, solutions, ilqg, samples, seed)
        stop_if(profile.interrupted)
        write_csv(profile, files)
        draw_risk(profile, files)
    if profile is None:
        show_solved(problem, [solution for solution in solutions if solution.trace], seed, files, as_json)
    elif as_json:
        facts = setting(problem, None, seed) | {"samples": samples}
        show_json(facts | {"rows": profile.rows(), "ilqg": profile.ilqg.row()} | files.facts())
    else:
        show_rows(heading(problem, seed, samples), profile.texts(), files, profile.notes())
    return files.end(0 if all(solution.status.solved for solution in solutions) else 1)


def show_solved(problem, solutions, seed, files, as_json):
    """Print how solves ended that were not evaluated."""
    if as_json and solutions:
        rows = [setting(problem, solution.method, seed) | solve_facts(solution) for solution in solutions]
        show_json(setting(problem, None, seed) | {"rows": rows} | files.facts())
    elif solutions:
        columns = {label(solution.method): solve_rows(solution) for solution in solutions}
        show_table(heading(problem, seed), columns, files)


def chosen_methods(eta, theta, expansion):
    """PPI at every eta with every expansion and LEQG at every theta; one of both weights may be None."""
    from ppi_robotics.risk import methods_at

    methods, names = [], expansions_of(expansion)
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
        remark_unless_solved(solution, label(solution.method))


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


def write_csv(profile, files):
    """Write risk.csv: a line for every weight and one for iLQG."""
    rows = [{"method": "ppi"} | row for row in profile.rows()] + [{"method": "ilqg"} | profile.ilqg.row()]
    text = io.StringIO(newline="")
    names = ["method", *profile.ilqg.row()]
    if len(profile.expansions) > 1:
        names += ["difference", "difference_se", "difference_low", "difference_high"]
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    files.write("risk.csv", lambda path: write_whole(path, text.getvalue().encode()))


def draw_risk(profile, files):
    """Write risk.png, if there is a cost to draw."""
    if all(point.evaluation.diverged == point.evaluation.samples for point in profile.points):
        remark("every rollout diverged, there is nothing to draw")
        return
    with progress("drawing the picture"):
        from ppi_robotics import plotting

        write_figure(plotting.risk.risk_dial(profile)[0].figure, "risk.png", files)
