"""The command line: `ppi-robotics plants | solve | evaluate | compare | swingup`, also `python -m ppi_robotics`.

Exit codes: 0 solved, 1 not solved, 2 bad usage, 130 interrupted. Results go to standard output, progress and errors to
standard error. Libraries load inside the commands that use them, so that `--help` and errors come at once.
"""

import difflib
import io
import json
import logging
import math
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

import ppi_robotics as ppi
from ppi_robotics.errors import PPIError, ProblemError, SolveError

METHODS = ("ppi", "ilqg", "leqg")
ETA, THETA = 0.1, 0.05  # defaults of ppi and leqg [1/cost]
DRAWN = 500  # rollouts behind the bands of a figure
MOST_STAGES = 1_000_000
USAGE_ERROR = typer.BadParameter.__base__  # what typer raises about arguments that it cannot parse

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help="Trajectory optimization by inference.")

PlantName = Annotated[str, typer.Argument(metavar="PLANT", help="A plant; `ppi-robotics plants` lists them.")]
MethodName = Annotated[str, typer.Option("--method", help="ppi, ilqg or leqg.")]
Eta = Annotated[float | None, typer.Option(help=f"Weight of the cost of ppi [1/cost]; {ETA} by default.", metavar="E")]
Theta = Annotated[float | None, typer.Option(help=f"Risk aversion of leqg [1/cost]; {THETA} by default.", metavar="TH")]
Horizon = Annotated[int | None, typer.Option(help="Number of stages, not seconds; the plant's by default.", metavar="T")]
NoiseLevel = Annotated[float | None, typer.Option("--noise", help="The plant's sigma.", metavar="S")]
Starts = Annotated[int | None, typer.Option(help="Number of initial guesses, the best is kept.", metavar="K")]
Samples = Annotated[int, typer.Option(help="Number of noisy rollouts, at least 2.", metavar="N")]
Seed = Annotated[int, typer.Option(help="Of initial guesses and noise.")]
Out = Annotated[Path | None, typer.Option(help="Folder for the files.", metavar="DIR")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


# -- commands --------------------------------------------------------------------------------------------------------


@app.command()
def plants(as_json: Json = False):
    """List the plants: states, controls, limits and default horizon."""
    made = {name: make_plant(name, None) for name in catalog()}
    if as_json:
        return show_json({"plants": {name: describe(plant) for name, plant in made.items()}})
    table = Table("plant", "states", "controls", "limits", "noise", "horizon", title="plants", show_lines=True)
    for name, plant in made.items():
        entries = [f"{label} [{unit}]" for label, unit in zip(names_of(plant), plant.units, strict=True)]
        limits = "\n".join(f"{label} {low:g} to {high:g}" for label, low, high in limits_of(plant)) or "none"
        horizon = f"{plant.default_horizon} stages\n{plant.default_horizon * plant.dt:g} s"
        states, controls = "\n".join(entries[: plant.nx]), "\n".join(entries[plant.nx :])
        table.add_row(name, states, controls, limits, f"sigma {plant.sigma:g}", horizon)
    console().print(table)
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
    problem = make_problem(plant, noise, horizon)
    method = make_method(method, eta, theta)
    check_whole("--starts", starts, 1)
    check_whole("--seed", seed, 0, 2**64 - 1)
    files = Files(out or Path("out") / problem.plant.name)
    solution = run_solve(problem, method, seed, starts)
    files.write("policy.npz", solution.policy.save)
    stop_if_interrupted(solution, files)
    facts = setting(problem, method, seed) | solve_facts(solution) | {"files": files.written}
    facts["policy"] = str(files.folder / "policy.npz")
    if as_json:
        show_json(facts)
    else:
        show_table(title(problem, seed), {label(method): solve_rows(solution)}, files)
    return exit_code(solution)


@app.command()
def evaluate(
    plant: PlantName,
    policy: Annotated[Path, typer.Argument(metavar="POLICY.npz", help="A file written by solve or swingup.")],
    samples: Samples = 1000,
    noise: NoiseLevel = None,
    seed: Seed = 0,
    out: Out = None,
    as_json: Json = False,
):
    """Estimate a policy's cost under noise; with --out also draw trajectory.png and cost.png."""
    check_sampling(samples, seed)
    files = None if out is None else Files(out)
    known = make_plant(plant, noise)
    loaded = ppi.LinearGaussianPolicy.load(policy)
    problem = make_problem(plant, noise, loaded.horizon, known)
    loaded.check(problem)
    result = run_evaluate(problem, loaded, policy.stem, samples, seed)
    stop_if_interrupted(result, files)
    if files is not None:
        draw_figures(problem, loaded, policy.stem, {policy.stem: result}, files)
    if as_json:
        facts = {"plant": problem.plant.name, "policy": str(policy), "horizon": problem.horizon, "seed": seed}
        facts |= {"noise": problem.plant.sigma} | evaluate_facts(result)
        return show_json(facts | {"files": files.written if files else []})
    show_table(title(problem, seed, samples), {policy.stem: evaluate_rows(result)}, files)
    return 0


@app.command()
def compare(
    plant: PlantName,
    policies: Annotated[list[Path], typer.Argument(metavar="A.npz B.npz ...", help="At least two policies.")],
    samples: Samples = 1000,
    noise: NoiseLevel = None,
    seed: Seed = 0,
    out: Out = None,
    as_json: Json = False,
):
    """Compare policies on the same noise, the first being the reference; with --out also draw cost.png."""
    check_sampling(samples, seed)
    files = None if out is None else Files(out)
    known = make_plant(plant, noise)
    loaded = {name: ppi.LinearGaussianPolicy.load(path) for name, path in name_policies(policies).items()}
    problem = make_problem(plant, noise, next(iter(loaded.values())).horizon, known)
    for policy in loaded.values():
        policy.check(problem)
    with progress("evaluating") as say:
        table = ppi.compare(problem, loaded, samples, seed, progress=rollouts_done(say, "all policies"))
    stop_if_interrupted(table, files)
    if files is not None:
        with progress("drawing cost.png"):
            files.write("cost.png", draw_costs(table.evaluations))
    differences = {name: vars(difference) for name, difference in table.differences.items()}
    if as_json:
        facts = {"plant": problem.plant.name, "horizon": problem.horizon, "seed": seed, "noise": problem.plant.sigma}
        facts |= {"reference": table.reference, "differences": differences}
        facts["evaluations"] = {name: evaluate_facts(result) for name, result in table.evaluations.items()}
        return show_json(facts | {"files": files.written if files else []})
    columns = {name: evaluate_rows(result) for name, result in table.evaluations.items()}
    for name, difference in table.differences.items():
        low, high = difference.interval
        columns[name] |= {
            f"difference to {table.reference}": with_error(difference.mean, difference.standard_error),
            "95 % interval": f"{low:.4g} to {high:.4g}",
            "cheaper in": f"{100 * difference.wins:.4g} %",
        }
    show_table(title(problem, seed, samples), columns, files)
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
    problem = make_problem(plant, noise, horizon)
    method = make_method(method, eta, theta)
    check_whole("--starts", starts, 1)
    check_sampling(samples, seed)
    files = Files(out or Path("out") / problem.plant.name)
    methods = {label(m): m for m in (method, ppi.ILQG())}
    solutions, results = {}, {}
    for name, which in methods.items():
        solutions[name] = run_solve(problem, which, seed, starts)
        if which is method:
            files.write("policy.npz", solutions[name].policy.save)
        stop_if_interrupted(solutions[name], files)
    for name, solution in solutions.items():
        results[name] = run_evaluate(problem, solution.policy, name, samples, seed)
        stop_if_interrupted(results[name], files)
    solution, result = solutions[label(method)], results[label(method)]
    draw_figures(problem, solution.policy, label(method), results, files, animate=True)
    columns = {name: solve_rows(solutions[name]) | evaluate_rows(results[name]) for name in methods}
    facts = setting(problem, method, seed) | {"starts": len(solution.starts)} | solve_facts(solution)
    facts |= evaluate_facts(result) | {"policy": str(files.folder / "policy.npz"), "files": files.written}
    if len(methods) > 1:
        reference = results["iLQG"]
        # sample i meets the same noise under both policies
        paired = ppi.Evaluation(result.cost - reference.cost)
        columns[label(method)]["difference to iLQG"] = with_error(paired.mean, paired.standard_error)
        facts["ilqg"] = solve_facts(solutions["iLQG"]) | evaluate_facts(reference)
        facts["difference"] = {"mean": paired.mean, "standard_error": paired.standard_error}
    if as_json:
        show_json(facts)
    else:
        show_table(title(problem, seed, samples), columns, files)
    return exit_code(solution)


# -- from arguments to objects ---------------------------------------------------------------------------------------


def catalog():
    """Plant classes by name."""
    from plants import BY_NAME

    return BY_NAME


def make_plant(name, noise):
    """The plant of a name, with another noise level if one is given."""
    known = catalog()
    check_choice("plant", name, known)
    if noise is None:
        return known[name]()
    if not (math.isfinite(noise) and 0 <= noise < 1e100):
        raise ProblemError(f"--noise is {noise:g}; expected a finite number, 0 or more, for the plant's sigma")
    return known[name](sigma=noise)


def make_problem(name, noise, horizon, plant=None):
    """The swing-up of a plant."""
    plant = plant or make_plant(name, noise)
    if horizon is not None and not 1 <= horizon <= MOST_STAGES:
        raise ProblemError(
            f"--horizon is {horizon}; expected a number of stages from 1 to {MOST_STAGES}, of {plant.dt:g} s each"
        )
    return ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, horizon or plant.default_horizon)


def make_method(name, eta, theta):
    """The method of a name."""
    check_choice("method", name, METHODS)
    for option, value, owner in (("--eta", eta, "ppi"), ("--theta", theta, "leqg")):
        if value is not None and name != owner:
            raise ProblemError(f"{option} belongs to method {owner}, the method is {name}; leave it out or give --method {owner}")
    if name == "ppi":
        return ppi.PPI(ETA if eta is None else eta)
    return ppi.ILQG() if name == "ilqg" else ppi.LEQG(THETA if theta is None else theta)


def check_choice(what, name, choices):
    """Raise `ProblemError` unless the name is one of the choices."""
    if name not in choices:
        close = difflib.get_close_matches(name.lower().replace("-", "_"), choices, 1)
        guess = f"; did you mean {close[0]}?" if close else ""
        raise ProblemError(f"unknown {what} '{name}'; choose from {', '.join(choices)}{guess}")


def check_whole(option, value, least, most=math.inf):
    """Raise `ProblemError` if a number is given and out of range."""
    if value is not None and not least <= value <= most:
        upper = "" if math.isinf(most) else f" and at most {most}"
        raise ProblemError(f"{option} is {value}; expected a whole number, at least {least}{upper}")


def check_sampling(samples, seed):
    """Raise `ProblemError` unless the numbers of an evaluation can be used."""
    check_whole("--samples", samples, 2)
    check_whole("--seed", seed, 0, 2**64 - 1)


def name_policies(paths):
    """Policy files by a short name each."""
    if len(paths) < 2:
        raise ProblemError(f"one policy, '{paths[0]}', is given; compare needs at least two, evaluate takes one")
    twice = next((path for i, path in enumerate(paths) if path in paths[:i]), None)
    if twice is not None:
        raise ProblemError(f"policy '{twice}' is given twice; give every file once")
    stems = [path.stem for path in paths]
    return {path.stem if stems.count(path.stem) == 1 else str(path): path for path in paths}


class Files:
    """The folder for output, made when the first file is written.

    Attributes:
      folder: path.
      written: paths of the files so far.

    Raises:
      ProblemError: if the folder cannot be made or written to.
    """

    current = None  # of the running command, for the message after Ctrl-C

    def __init__(self, folder):
        self.folder, self.written = folder, []
        Files.current = self
        try:
            nearest = next(p for p in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(p))
            usable = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
        except OSError as error:
            raise ProblemError(f"--out is '{folder}', which cannot be used: {error.strerror}; give a folder") from error
        if not usable:
            reason = "is not writable" if nearest.is_dir() else "is not a folder"
            raise ProblemError(f"--out is '{folder}', but '{nearest}' {reason}; give a folder that can be written to")

    def write(self, name, save):
        """Write a file by a function of its path."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ProblemError(f"cannot make the folder '{self.folder}': {error.strerror}; give another --out") from error
        save(self.folder / name)
        self.written.append(str(self.folder / name))


# -- work ------------------------------------------------------------------------------------------------------------


def run_solve(problem, method, seed, starts):
    """`Solution`, with a live line of progress."""
    with progress(f"{label(method)}: solving", problem.plant.name) as say:

        def follow(row):
            start = f"start {row.start + 1}, " if row.start else ""
            say(f"{label(method)}: {start}iteration {row.index}, cost {row.cost:.6g}, change {row.change:.2g}")

        solution = ppi.solve(problem, method, seed=seed, starts=starts, callback=follow)
    if not solution.status.solved:
        error_console().print(f"{label(method)} not solved: {solution.explain()}", soft_wrap=True)
    return solution


def run_evaluate(problem, policy, name, samples, seed):
    """`Evaluation`, with a live line of progress."""
    with progress(f"{name}: evaluating", problem.plant.name) as say:
        return ppi.evaluate(problem, policy, samples, seed, progress=rollouts_done(say, name))


def rollouts_done(say, name):
    """The progress function of evaluations."""
    return lambda done, total: say(f"{name}: {done} of {total} rollouts")


def draw_figures(problem, policy, name, results, files, animate=False):
    """Write trajectory.png, cost.png and, if wanted, animation.gif of the rollout of median cost."""
    import numpy as np

    from ppi_robotics.rollouts import nominal_rollout

    result = results[name]
    rollouts = ppi.rollout(problem, policy, min(result.samples, DRAWN), result.seed)
    finite = np.flatnonzero(np.isfinite(rollouts.cost))
    if not len(finite):
        error_console().print("every rollout diverged: no pictures", soft_wrap=True)
        return
    from ppi_robotics import animation, plotting

    with progress("drawing trajectory.png") as say:
        nominal = nominal_rollout(problem, policy)[:2]
        axes = plotting.trajectory(problem.plant, rollouts, nominal, name)
        files.write("trajectory.png", save_figure(axes[0].figure))
        say("drawing cost.png")
        files.write("cost.png", draw_costs(results))
        if animate:
            say("drawing animation.gif")
            middle = finite[np.argsort(rollouts.cost[finite])[len(finite) // 2]]
            shown = problem.plant, rollouts.x[middle], rollouts.u[middle], f"{problem.plant.name} · {name}"
            files.write("animation.gif", lambda path: animation.save(path, *shown))


def draw_costs(results):
    """A function that writes the figure of cost distributions to a path."""
    from ppi_robotics import plotting

    return save_figure(plotting.cost_distribution(results).figure)


def save_figure(figure):
    """A function that writes a figure to a path."""
    from ppi_robotics.animation import write_atomically

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return lambda path: write_atomically(path, buffer.getvalue())


def stop_if_interrupted(outcome, files):
    """Go on with Ctrl-C where a solve or an evaluation returned what it had."""
    cut = getattr(outcome, "interrupted", False)
    if cut or any(start.status is ppi.Status.INTERRUPTED for start in getattr(outcome, "starts", ())):
        raise KeyboardInterrupt


def exit_code(solution):
    """0 if solved, else 1."""
    return 0 if solution.status.solved else 1


# -- output ----------------------------------------------------------------------------------------------------------


def console():
    """Standard output; where it is no terminal, lines are not cut at 80 characters."""
    return Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 120)


def error_console():
    """Standard error."""
    return Console(stderr=True, markup=False, highlight=False)


@contextmanager
def progress(text, plant=""):
    """A live line on a terminal, and one line on standard error when kernels are compiled; yields a function of text."""
    screen = error_console()
    notice = CompileNotice(screen, plant)
    log = logging.getLogger("ppi_robotics")
    log.addHandler(notice)
    try:
        if not screen.is_terminal:
            yield lambda text: None
            return
        with screen.status(text) as status:
            yield lambda text: status.update(text)
    finally:
        log.removeHandler(notice)


class CompileNotice(logging.Handler):
    """Shows the library's messages, and those about compiling as one line per plant."""

    announced = set()

    def __init__(self, screen, plant):
        super().__init__()
        self.screen, self.plant = screen, plant

    def emit(self, record):
        """Print a message once."""
        message = record.getMessage()
        if message.startswith("compiling"):
            message = f"compiling kernels for {self.plant or 'figures'} (first run only, up to a minute) ..."
        if message not in self.announced:
            self.announced.add(message)
            self.screen.print(message, soft_wrap=True)


def show_json(facts):
    """Print one JSON object; numbers that JSON does not know are null."""
    sys.stdout.write(json.dumps(plain(facts), allow_nan=False) + "\n")
    return 0


def plain(value):
    """The value in types that JSON knows."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def show_table(heading, columns, files):
    """Print a table with one column per method or policy, and where the files are."""
    table = Table("", *columns, title=heading, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    rows = dict.fromkeys(row for column in columns.values() for row in column)
    for row in rows:
        table.add_row(row, *(column.get(row, "") for column in columns.values()))
    screen = console()
    screen.print(table)
    if files is not None and files.written:
        screen.print(f"written to {files.folder}: {', '.join(Path(f).name for f in files.written)}", soft_wrap=True)


def title(problem, seed, samples=None):
    """Heading of a table."""
    plant, T = problem.plant, problem.horizon
    rollouts = "" if samples is None else f", {samples} rollouts"
    return f"{plant.name}: {T} stages, {T * plant.dt:g} s{rollouts}, sigma {plant.sigma:g}, seed {seed}"


def label(method):
    """Name of a method in tables and figures."""
    return {
        "ppi": lambda: f"PPI (η = {method.eta:g})",
        "leqg": lambda: f"LEQG (θ = {method.theta:g})",
        "ilqg": lambda: "iLQG",
    }[method.name]()


def setting(problem, method, seed):
    """What was asked for, for JSON."""
    eta, theta = getattr(method, "eta", None), getattr(method, "theta", None)
    facts = {"plant": problem.plant.name, "method": method.name, "eta": eta, "theta": theta}
    return facts | {"horizon": problem.horizon, "noise": problem.plant.sigma, "seed": seed}


def solve_facts(solution):
    """How a solve ended, for JSON."""
    return {
        "status": solution.status.name.lower(),
        "iterations": solution.iterations,
        "nominal_cost": solution.nominal_cost,
        "solve_seconds": solution.seconds,
        "starts": len(solution.starts),
    }


def evaluate_facts(result):
    """Statistics of the cost, for JSON."""
    return {
        "samples": result.samples,
        "mean": result.mean,
        "standard_error": result.standard_error,
        "std": result.std,
        "variance": result.variance,
        "variance_standard_error": result.variance_standard_error,
        "cvar": result.cvar(),
        "success_rate": result.success_rate,
        "diverged": result.diverged,
        "evaluate_seconds": result.seconds,
    }


def solve_rows(solution):
    """How a solve ended, for a table."""
    starts = f", best of {len(solution.starts)} starts" if len(solution.starts) > 1 else ""
    return {
        "status": solution.status.name.lower().replace("_", " "),
        "iterations": f"{solution.iterations}{starts}",
        "nominal cost": f"{solution.nominal_cost:.6g}",
        "seconds to solve": f"{solution.seconds:.2f}",
    }


def evaluate_rows(result):
    """Statistics of the cost, for a table."""
    success = "" if result.success_rate is None else f"{100 * result.success_rate:.4g} %"
    return {
        "mean cost": with_error(result.mean, result.standard_error),
        "std": f"{result.std:.4g}",
        "variance": with_error(result.variance, result.variance_standard_error),
        "CVaR 95 %": f"{result.cvar():.5g}",
        "success rate": success,
        "diverged": str(result.diverged),
        "seconds to evaluate": f"{result.seconds:.3f}",
    }


def with_error(value, error):
    """Value and standard error, both to the second digit of the error."""
    if not (math.isfinite(value) and math.isfinite(error)) or error <= 0:
        return f"{value:.6g} ± {error:.2g}"
    decimals = max(1 - math.floor(math.log10(error)), 0)
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def names_of(plant):
    """Names of states and controls."""
    return (*plant.state_names, *plant.control_names)


def limits_of(plant):
    """Name, lower and upper limit of every entry that has one."""
    bounds = (*plant.state_limits, *plant.control_limits)
    return [(name, *pair) for name, pair in zip(names_of(plant), bounds, strict=True) if not all(map(math.isinf, pair))]


def describe(plant):
    """A plant for JSON."""
    return {
        "states": list(plant.state_names),
        "controls": list(plant.control_names),
        "units": list(plant.units),
        "state_limits": plant.state_limits.tolist(),
        "control_limits": plant.control_limits.tolist(),
        "dt": plant.dt,
        "default_horizon": plant.default_horizon,
        "sigma": plant.sigma,
    }


# -- the program -----------------------------------------------------------------------------------------------------


def main(arguments=None):
    """Run the command line and return the exit code."""
    try:
        code = app(args=arguments, prog_name="ppi-robotics", standalone_mode=False)
    except USAGE_ERROR as error:
        return fail(usage_message(error), 2)
    except SolveError as error:
        return fail(error, 1)
    except PPIError as error:
        return fail(error, 2)
    except MemoryError:
        return fail("there is not enough memory for this; give fewer stages, starts or samples", 2)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    if code == 130:
        done = Files.current.written if Files.current else []
        return fail(f"interrupted; written so far: {', '.join(done) or 'nothing'}", 130)
    return code or 0


def fail(message, code):
    """Print one line about an error and return the exit code."""
    line = " ".join(str(message).split())
    sys.stderr.write(f"{line}\n" if code == 130 else f"error: {line}\n")
    return code


def usage_message(error):
    """typer's message about arguments, and where to read on."""
    command = error.ctx.command_path if error.ctx else "ppi-robotics"
    message = error.format_message().strip()
    commands = ", ".join(command.name or command.callback.__name__ for command in app.registered_commands)
    if message.startswith(("Missing command", "No such command")):
        message = f"{message} Choose from {commands}."
    return f"{message[0].lower()}{message[1:]} See '{command} --help'."


if __name__ == "__main__":
    sys.exit(main())
