"""The commands `plants`, `solve`, `evaluate`, `compare`, `swingup` and `mppi`."""

import math
import textwrap
from pathlib import Path
from typing import Annotated

import ppi_robotics as ppi
from ppi_robotics.cli.app import command
from ppi_robotics.cli.methods import Method, Sampled
from ppi_robotics.cli.output import progress
from ppi_robotics.cli.problems import Out, PolicyFile, Samples, Seed, Solving, SwingUp, catalog, load_policies, tasks_of
from ppi_robotics.cli.report import Report, stop_if
from ppi_robotics.cli.runs import (
    add_trace,
    count_rollouts,
    draw_figures,
    evaluate_facts,
    evaluate_rows,
    gaps,
    heading,
    label,
    run_evaluate,
    run_solve,
    setting,
    solve_facts,
    solve_rows,
)
from ppi_robotics.errors import ProblemError


@command("plants")
def plants(report: Report):
    """List the plants with states, controls, limits and default horizon, and the MuJoCo bodies with their tasks."""
    from plants import mujoco_bodies

    made = {name: kind() for name, kind in catalog().items()}
    moving = {name: mujoco_bodies.plant(name) for name in mujoco_bodies.BODIES}
    tasks = {name: tasks_of(name) for name in moving}
    report.facts = {
        "plants": {name: plant_facts(plant) for name, plant in made.items()},
        "bodies": {name: body_facts(plant, tasks[name]) for name, plant in moving.items()},
    }
    rows = [["plant", "states", "controls", "limits", "noise", "horizon"]]
    for name, plant in made.items():
        names = (*plant.state_names, *plant.control_names)
        entries = [f"{entry} [{unit}]" for entry, unit in zip(names, plant.units, strict=True)]
        bounds = zip(names, (*plant.state_limits, *plant.control_limits), strict=True)
        limits = [
            f"{entry} {low:g} to {high:g}" for entry, (low, high) in bounds if math.isfinite(low) or math.isfinite(high)
        ]
        horizon = f"{plant.default_horizon} stages\n{plant.default_horizon * plant.dt:g} s"
        texts = ("\n".join(part) for part in (entries[: plant.nx], entries[plant.nx :], limits or ["none"]))
        rows.append([name, *texts, f"sigma {plant.sigma:g}", horizon])
    report.add(rows=rows)
    rows = [["MuJoCo body", "states", "controls", "tasks"]]
    for name, plant in moving.items():
        lines = [
            f"{task}: {facts.horizon} stages, {facts.horizon * plant.dt:g} s, noise {facts.noise:g}"
            + (f", goal {','.join(f'{part:g}' for part in facts.goal)}" if facts.goal else "")
            for task, facts in tasks[name].items()
        ]
        rows.append([name, str(plant.nx), textwrap.fill(", ".join(plant.control_names), 40), "\n".join(lines)])
    report.tables.append(("", rows))


@command("solve")
def solve(
    report: Report,
    task: SwingUp,
    method: Method,
    how: Solving,
):
    """Find a feedback policy for a swing-up and write it to policy.npz."""
    problem, method = begin(report, task, method, how)
    solution = run_solve(problem, method, how.seed, how.starts, report)
    facts = setting(problem, method, how.seed) | solve_facts(solution) | {"policy": policy_of(report)}
    report.add(facts, heading(problem, how.seed), columns={label(method): solve_rows(solution)})
    if how.trace:
        add_trace(report, solution, label(method))
    report.solved = solution.status.solved
    stop_if(solution.interrupted)


@command("evaluate")
def evaluate(
    report: Report,
    task: SwingUp,
    policy: PolicyFile,
    samples: Samples = 1000,
    seed: Seed = 0,
    out: Out = None,
):
    """Estimate the cost of a policy under noise; with --out also draw trajectory.png and cost.png."""
    problem, loaded = load_policies(task, [policy])
    ((name, loaded),) = loaded.items()
    report.begin(problem.plant.name, out)
    result = run_evaluate(problem, loaded, name, samples, seed)
    facts = {"policy": str(policy)} | setting(problem, None, seed) | evaluate_facts(result)
    title, columns = heading(problem, seed, result.samples), {name: evaluate_rows(result)}
    report.add(facts, title, columns=columns, lines=gaps({"": result}))
    stop_if(result.interrupted)
    if out is not None:
        draw_figures(problem, loaded, name, {name: result}, report)


@command("compare")
def compare(
    report: Report,
    task: SwingUp,
    policies: Annotated[list[Path], "A.npz B.npz ..."],
    samples: Samples = 1000,
    seed: Seed = 0,
    out: Out = None,
):
    """Compare policies on the same noise, the first being the reference; with --out also draw cost.png."""
    from ppi_robotics.texts import share, with_interval

    if len(policies) < 2:
        raise ProblemError(f"one policy, '{policies[0]}', is given; compare needs two or more, evaluate takes one")
    problem, loaded = load_policies(task, list(policies))
    report.begin(problem.plant.name, out)
    with progress("evaluating") as say:
        table = ppi.compare(problem, loaded, samples, seed, progress=count_rollouts(say, "all policies"))
    columns = {name: evaluate_rows(result) for name, result in table.evaluations.items()}
    for name, difference in table.differences.items():
        columns[name][f"difference to {table.reference}"] = with_interval(difference.mean, difference.interval)
        columns[name]["cheaper in"] = share(difference.wins)
    evaluations = {name: evaluate_facts(result) for name, result in table.evaluations.items()}
    differences = {name: vars(difference) for name, difference in table.differences.items()}
    facts = {"reference": table.reference, "evaluations": evaluations, "differences": differences}
    title = heading(problem, seed, table.evaluations[table.reference].samples)
    report.add(setting(problem, None, seed) | facts, title, columns=columns, lines=gaps(table.evaluations))
    stop_if(table.interrupted)
    report.draw("cost.png", lambda plotting: plotting.cost_distribution(table.evaluations).figure)


@command("swingup")
def swingup(
    report: Report,
    task: SwingUp,
    method: Method,
    how: Solving,
    samples: Samples = 1000,
):
    """Solve a swing-up, evaluate it under noise beside iLQG, and draw trajectory.png, cost.png and animation.gif."""
    problem, method = begin(report, task, method, how)
    swing_up(report, problem, method, how, samples)


@command("mppi")
def mppi(
    report: Report,
    task: SwingUp,
    method: Sampled,
    how: Solving,
    samples: Samples = 1000,
):
    """Solve a swing-up by model-predictive path integrals, and evaluate and draw it beside iLQG."""
    problem, method = begin(report, task, method, how)
    solution = swing_up(report, problem, method, how, samples)
    report.draw("fan.png", lambda plotting: plotting.sampling.fan(problem, solution, seed=how.seed)[0].figure)
    report.draw("samples.png", lambda plotting: plotting.sampling.samples(solution)[0].figure)


# -- parts -------------------------------------------------------------------------------------------------------------


def begin(report: Report, task: SwingUp, chosen: Method, how: Solving):
    """The problem, and the method, which knows that it can solve it."""
    problem = task.problem()
    method = chosen.make(problem.horizon, task.given.get("method"))
    method.plan(problem)  # refuses what it cannot solve
    report.begin(problem.plant.name, how.out or Path("out", task.name))
    return problem, method


def policy_of(report: Report) -> str | None:
    """Path of the policy of a solve, None where it was not written."""
    path = str(report.folder / "policy.npz")
    return path if path in report.written else None


def swing_up(report: Report, problem, method, how: Solving, samples: int):
    """Solve, evaluate beside iLQG, and draw; returns the `Solution`."""
    methods, name, seed = {label(m): m for m in (method, ppi.ILQG())}, label(method), how.seed
    solutions, results = {}, {}
    report.title = heading(problem, seed, samples)
    for n, m in methods.items():
        solutions[n] = run_solve(problem, m, seed, how.starts, report if n == name else None)
        facts = solve_facts(solutions[n])
        report.add(
            setting(problem, method, seed) | {"policy": policy_of(report)} | facts if n == name else {"ilqg": facts}
        )
        report.add(columns={n: solve_rows(solutions[n])})
        report.solved = solutions[name].status.solved
        stop_if(solutions[n].interrupted)
    if how.trace:
        add_trace(report, solutions[name], name)
    for n, solution in solutions.items():
        results[n] = run_evaluate(problem, solution.policy, n, samples, seed)
        facts = evaluate_facts(results[n])
        report.add(
            facts if n == name else {"ilqg": report.facts["ilqg"] | facts}, columns={n: evaluate_rows(results[n])}
        )
        report.lines = gaps(results)
        stop_if(results[n].interrupted)
    if name != "iLQG":
        add_difference(report, results[name], results["iLQG"], name)
    draw_figures(problem, solutions[name].policy, name, results, report, animate=True)
    return solutions[name]


def add_difference(report: Report, result, reference, name: str) -> None:
    """Add the difference in cost to iLQG, where sample i meets the same noise under both policies."""
    if result.diverged or reference.diverged or result.samples != reference.samples:
        return
    from ppi_robotics.evaluation import difference_of
    from ppi_robotics.texts import with_interval

    paired = difference_of(result.cost, reference.cost)
    report.add(
        {"difference": {key: getattr(paired, key) for key in ("mean", "standard_error", "interval")}},
        columns={name: {"difference to iLQG": with_interval(paired.mean, paired.interval)}},
    )


def plant_facts(plant) -> dict:
    """A plant for JSON."""
    facts = {"states": plant.state_names, "controls": plant.control_names, "units": plant.units, "dt": plant.dt}
    limits = {name: getattr(plant, name).tolist() for name in ("state_limits", "control_limits")}
    return facts | limits | {"default_horizon": plant.default_horizon, "noise": plant.sigma}


def body_facts(plant, tasks) -> dict:
    """A MuJoCo body and its tasks by name, for JSON."""
    facts = {
        name: {"horizon": task.horizon, "noise": task.noise, "goal": task.goal and list(task.goal)}
        for name, task in tasks.items()
    }
    limits, names = plant.control_limits.tolist(), {"states": plant.state_names, "controls": plant.control_names}
    return names | {"control_limits": limits, "dt": plant.dt, "tasks": facts}
