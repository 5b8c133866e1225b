"""What the commands `swingup` and `mppi` do: solve a swing-up, evaluate it beside iLQG, and draw both."""

import ppi_robotics as ppi
from ppi_robotics.command_output import (
    evaluate_facts,
    evaluate_rows,
    heading,
    label,
    setting,
    show_json,
    show_table,
    solve_facts,
    solve_rows,
)
from ppi_robotics.command_work import draw_figures, run_evaluate, run_solve, session


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
    with session(problem, folder) as files:
        solutions = {n: run_solve(problem, m, seed, starts, files if n == name else None) for n, m in methods.items()}
        results = {n: run_evaluate(problem, s.policy, n, samples, seed) for n, s in solutions.items()}
        draw_figures(problem, solutions[name].policy, name, results, files, animate=True)
        if draw_more is not None:
            draw_more(solutions[name], files)
    facts = setting(problem, method, seed) | files.facts()
    facts |= solve_facts(solutions[name]) | evaluate_facts(results[name])
    columns = {n: solve_rows(solutions[n]) | evaluate_rows(results[n]) for n in methods}
    if name != "iLQG":
        facts["ilqg"] = solve_facts(solutions["iLQG"]) | evaluate_facts(results["iLQG"])
        if not any(result.diverged for result in results.values()):
            from ppi_robotics.distribution import with_error

            # sample i meets the same noise under both policies
            paired = ppi.Evaluation(results[name].cost - results["iLQG"].cost)
            columns[name]["difference to iLQG"] = with_error(paired.mean, paired.standard_error)
            facts["difference"] = {"mean": paired.mean, "standard_error": paired.standard_error}
    if as_json:
        show_json(facts)
    else:
        show_table(heading(problem, seed, samples), columns, files)
    return exit_code(solutions[name])


def exit_code(solution):
    """0 if solved, else 1."""
    return 0 if solution.status.solved else 1
