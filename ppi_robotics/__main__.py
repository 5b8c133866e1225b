"""The command line: `ppi-robotics plants | solve | evaluate | compare | swingup | ...`; `--help` lists all.

`python -m ppi_robotics` is the same.

Exit codes: 0 solved, 1 not solved, 2 bad usage, 130 interrupted. Results go to standard output, progress and errors to
standard error. Libraries load inside the functions that use them, so that help and errors come at once.
"""

import sys
import textwrap
from pathlib import Path

import typer
from rich.table import Table

import ppi_robotics as ppi
from ppi_robotics.command_arguments import (
    Eta,
    Horizon,
    Json,
    MethodName,
    NoiseLevel,
    Out,
    PlantName,
    PolicyFile,
    PolicyFiles,
    Samples,
    Seed,
    Starts,
    Theta,
    bodies,
    catalog,
    check_counts,
    load_policies,
    make_method,
    make_plant,
    make_problem,
    tasks_of,
)
from ppi_robotics.command_blocks import blocks
from ppi_robotics.command_central import central
from ppi_robotics.command_grid import grid
from ppi_robotics.command_mujoco import mujoco
from ppi_robotics.command_output import (
    describe,
    describe_body,
    evaluate_facts,
    evaluate_rows,
    heading,
    label,
    limits_of,
    names_of,
    print_table,
    progress,
    setting,
    show_json,
    show_table,
    solve_facts,
    solve_rows,
)
from ppi_robotics.command_risk import risk
from ppi_robotics.command_sampling import mppi
from ppi_robotics.command_stag import stag
from ppi_robotics.command_swingup import exit_code, swing_up
from ppi_robotics.command_work import (
    Interrupted,
    count_rollouts,
    draw_costs,
    draw_figures,
    run_evaluate,
    run_solve,
    session,
    stop_if,
)
from ppi_robotics.errors import PPIError, ProblemError, SimulationError, SolveError

USAGE_ERROR = typer.BadParameter.__base__  # what typer raises about arguments that it cannot parse

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help="Swing-ups by probabilistic inference.")


@app.command()
def plants(as_json: Json = False):
    """List the plants with states, controls, limits and default horizon, and the MuJoCo bodies with their tasks."""
    made = {name: make_plant(name) for name in catalog()}
    moving = {name: bodies().plant(name) for name in bodies().BODIES}
    tasks = {name: tasks_of(name) for name in moving}
    if as_json:
        facts = {"plants": {name: describe(plant) for name, plant in made.items()}}
        return show_json(facts | {"bodies": {name: describe_body(moving[name], tasks[name]) for name in moving}})
    table = Table("plant", "states", "controls", "limits", "noise", "horizon", show_lines=True)
    for name, plant in made.items():
        entries = [f"{entry} [{unit}]" for entry, unit in zip(names_of(plant), plant.units, strict=True)]
        states, controls = "\n".join(entries[: plant.nx]), "\n".join(entries[plant.nx :])
        limits = "\n".join(f"{entry} {low:g} to {high:g}" for entry, low, high in limits_of(plant)) or "none"
        horizon = f"{plant.default_horizon} stages\n{plant.default_horizon * plant.dt:g} s"
        table.add_row(name, states, controls, limits, f"sigma {plant.sigma:g}", horizon)
    print_table(table)
    table = Table("MuJoCo body", "states", "controls", "tasks", show_lines=True)
    for name, plant in moving.items():
        lines = [
            f"{task}: {facts.horizon} stages, {facts.horizon * plant.dt:g} s, noise {facts.noise:g}"
            + (f", goal {','.join(f'{part:g}' for part in facts.goal)}" if facts.goal else "")
            for task, facts in tasks[name].items()
        ]
        table.add_row(name, str(plant.nx), textwrap.fill(", ".join(plant.control_names), 40), "\n".join(lines))
    print_table(table)
    return 0


@app.command()
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
    with session(problem, out or Path("out", plant)) as files:
        solution = run_solve(problem, method, seed, starts, files)
    if as_json:
        show_json(setting(problem, method, seed) | solve_facts(solution) | files.facts())
    else:
        show_table(heading(problem, seed), {label(method): solve_rows(solution)}, files)
    return exit_code(solution)


@app.command()
def evaluate(
    plant: PlantName,
    policy: PolicyFile,
    samples: Samples = 1000,
    noise: NoiseLevel = None,
    seed: Seed = 0,
    out: Out = None,
    as_json: Json = False,
):
    """Estimate the cost of a policy under noise; with --out also draw trajectory.png and cost.png."""
    problem, loaded = load_policies(plant, noise, [policy], samples, seed)
    ((name, loaded),) = loaded.items()
    with session(problem, out) as files:
        results = {name: run_evaluate(problem, loaded, name, samples, seed)}
        if out is not None:
            draw_figures(problem, loaded, name, results, files)
    if as_json:
        facts = {"policy": str(policy)} | setting(problem, None, seed)
        return show_json(facts | evaluate_facts(results[name]) | {"files": files.written})
    show_table(heading(problem, seed, samples), {name: evaluate_rows(results[name])}, files)
    return 0


@app.command()
def compare(
    plant: PlantName,
    policies: PolicyFiles,
    samples: Samples = 1000,
    noise: NoiseLevel = None,
    seed: Seed = 0,
    out: Out = None,
    as_json: Json = False,
):
    """Compare policies on the same noise, the first being the reference; with --out also draw cost.png."""
    if len(policies) < 2:
        raise ProblemError(f"one policy, '{policies[0]}', is given; compare needs two or more, evaluate takes one")
    problem, loaded = load_policies(plant, noise, policies, samples, seed)
    with session(problem, out) as files:
        with progress("evaluating") as say:
            table = ppi.compare(problem, loaded, samples, seed, progress=count_rollouts(say, "all policies"))
        stop_if(table.interrupted)
        if out is not None:
            draw_costs(table.evaluations, files)
    if as_json:
        evaluations = {name: evaluate_facts(result) for name, result in table.evaluations.items()}
        differences = {name: vars(difference) for name, difference in table.differences.items()}
        facts = {"reference": table.reference, "evaluations": evaluations, "differences": differences}
        return show_json(setting(problem, None, seed) | facts | {"files": files.written})
    from ppi_robotics.distribution import with_error

    columns = {name: evaluate_rows(result) for name, result in table.evaluations.items()}
    for name, difference in table.differences.items():
        columns[name][f"difference to {table.reference}"] = with_error(difference.mean, difference.standard_error)
        columns[name]["95 % interval"] = "{:.4g} to {:.4g}".format(*difference.interval)
        columns[name]["cheaper in"] = f"{100 * difference.wins:.4g} %"
    show_table(heading(problem, seed, samples), columns, files)
    return 0


@app.command()
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


app.command()(mppi)
app.command()(risk)
app.command()(mujoco)
app.add_typer(grid)
app.add_typer(central, name="central")
app.add_typer(stag)
app.add_typer(blocks)


# -- the program -----------------------------------------------------------------------------------------------------


def main(arguments=None):
    """Run the command line and return the exit code."""
    try:
        code = app(args=arguments, prog_name="ppi-robotics", standalone_mode=False)
    except USAGE_ERROR as error:
        return fail(usage_message(error), 2)
    except (SolveError, SimulationError) as error:
        return fail(f"error: {error}", 1)
    except PPIError as error:
        return fail(f"error: {error}", 2)
    except MemoryError:
        return fail("error: there is not enough memory for this; give fewer stages, starts or samples", 2)
    except Interrupted as error:
        return fail(error, 130)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    return fail("interrupted; nothing is written", 130) if code == 130 else code or 0


def fail(message, code):
    """Print one line on standard error and return the exit code."""
    sys.stderr.write(" ".join(str(message).split()) + "\n")
    return code


def usage_message(error):
    """typer's message about arguments, and where to read on."""
    message = error.format_message().strip().removesuffix(".")
    if message.startswith(("Missing command", "No such command")):
        names = ", ".join(error.ctx.command.commands)
        message += f"{' C' if message.endswith('?') else '; c'}hoose from {names}"
    command = error.ctx.command_path if error.ctx else "ppi-robotics"
    return f"error: {message[0].lower()}{message[1:]}; see '{command} --help'"


if __name__ == "__main__":
    sys.exit(main())
