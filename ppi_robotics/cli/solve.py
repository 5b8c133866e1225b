"""The command `solve`: a policy, and the file that it is written to."""

from pathlib import Path

from ppi_robotics.cli.arguments import (
    Eta,
    Horizon,
    Json,
    MethodName,
    NoiseLevel,
    Out,
    PlantName,
    Seed,
    Starts,
    Theta,
    check_counts,
    make_method,
    make_plant,
    make_problem,
)
from ppi_robotics.cli.output import heading, label, setting, show_json, show_table, solve_facts, solve_rows
from ppi_robotics.cli.work import exit_code, run_solve, session, stop_if


def solve(
    plant: PlantName,
    method: MethodName = "ppi",
    eta: Eta = None,
    theta: Theta = None,
    horizon: Horizon = None,
    noise: NoiseLevel = None,
    starts: Starts = None,
    seed: Seed = 0,
    out: Out = None,
    as_json: Json = False,
):
    """Find a feedback policy for a swing-up and write it to policy.npz."""
    problem = make_problem(make_plant(plant, noise), horizon)
    method = make_method(method, eta, theta, problem.horizon)
    check_counts(seed, starts)
    solution = None
    with session(problem, out or Path("out", plant)) as files:
        solution = run_solve(problem, method, seed, starts, files)
        stop_if(solution.interrupted)
    if solution is None:
        return files.end(1)
    if as_json:
        facts = setting(problem, method, seed) | solve_facts(solution)
        show_json(facts | {"policy": files.policy} | files.facts())
    else:
        show_table(heading(problem, seed), {label(method): solve_rows(solution)}, files)
    return files.end(exit_code(solution))
