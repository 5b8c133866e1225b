"""The command `swingup`, and what it does like `mppi`: solve a swing-up, evaluate it beside iLQG, and draw both."""

from pathlib import Path

import ppi_robotics as ppi
from ppi_robotics.cli.arguments import (
    Eta,
    Horizon,
    Json,
    MethodName,
    NoiseLevel,
    Out,
    PlantName,
    Samples,
    Seed,
    Starts,
    Theta,
    check_counts,
    make_method,
    make_plant,
    make_problem,
)
from ppi_robotics.cli.output import (
    evaluate_facts,
    evaluate_rows,
    gaps,
    heading,
    label,
    setting,
    show_json,
    show_table,
    solve_facts,
    solve_rows,
)
from ppi_robotics.cli.work import draw_figures, exit_code, run_evaluate, run_solve, session, stop_if


def swingup(
    plant: PlantName,
    method: MethodName = "ppi",
    eta: Eta = None,
    theta: Theta = None,
    horizon: Horizon = None,
    noise: NoiseLevel = None,
    starts: Starts = None,
    samples: Samples = 1000,
    seed: Seed = 0,
    out: Out = None,
    as_json: Json = False,
):
    """Solve a swing-up, evaluate it under noise beside iLQG, and draw trajectory.png, cost.png and animation.gif."""
    problem = make_problem(make_plant(plant, noise), horizon)
    method = make_method(method, eta, theta, problem.horizon)
    check_counts(seed, starts, samples)
    return swing_up(problem, method, seed, starts, samples, out or Path("out", plant), as_json)


def swing_up(problem, method, seed, starts, samples, folder, as_json, draw_more=None):
    """Solve, evaluate and draw, and print the results.

    Args:
      problem, method, seed, starts, samples: as for `solve` and `evaluate`.
      folder: of the files.
      as_json: whether to print JSON in place of a table.
      draw_more: function of the solution and the `Files` that writes further pictures.

    Returns:
      0 if solved, else 1.
    """
    methods, name = {label(m): m for m in (method, ppi.ILQG())}, label(method)
    solutions, results = {}, {}
    with session(problem, folder) as files:
        for n, m in methods.items():
            solutions[n] = run_solve(problem, m, seed, starts, files if n == name else None)
            stop_if(solutions[n].interrupted)
        for n, solution in solutions.items():
            results[n] = run_evaluate(problem, solution.policy, n, samples, seed)
            stop_if(results[n].interrupted)
        draw_figures(problem, solutions[name].policy, name, results, files, animate=True)
        if draw_more is not None:
            draw_more(solutions[name], files)
    if not solutions:
        return files.end(1)
    facts, columns = tell(solutions, results, name)
    if as_json:
        show_json(setting(problem, method, seed) | {"policy": files.policy} | files.facts() | facts)
    else:
        show_table(heading(problem, seed, samples), columns, files, gaps(results))
    return files.end(exit_code(solutions[name]))


def tell(solutions, results, name):
    """What is known about the method of this name beside iLQG, for JSON and for a table; each may be missing."""
    found, columns = {}, {}
    for n, solution in solutions.items():
        found[n], columns[n] = solve_facts(solution), solve_rows(solution)
        if n in results:
            found[n] |= evaluate_facts(results[n])
            columns[n] |= evaluate_rows(results[n])
    facts = found[name]
    if name != "iLQG" and "iLQG" in found:
        facts["ilqg"] = found["iLQG"]
        alike = len(results) == 2 and len({result.samples for result in results.values()}) == 1
        if alike and not any(result.diverged for result in results.values()):
            from ppi_robotics.evaluation import difference_of
            from ppi_robotics.texts import with_interval

            # sample i meets the same noise under both policies
            paired = difference_of(results[name].cost, results["iLQG"].cost)
            columns[name]["difference to iLQG"] = with_interval(paired.mean, paired.interval)
            told = ("mean", "standard_error", "interval")
            facts["difference"] = {key: getattr(paired, key) for key in told}
    return facts, columns
