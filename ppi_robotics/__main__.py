"""The command line: `ppi-robotics plants | solve | evaluate | compare | swingup`, also `python -m ppi_robotics`.

Exit codes: 0 solved, 1 not solved, 2 bad usage, 130 interrupted. Results go to standard output, progress and errors to
standard error. Libraries load inside the functions that use them, so that help and errors come at once.
"""

import difflib
import io
import json
import logging
import math
import os
import signal
import sys
import warnings
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

import ppi_robotics as ppi
from ppi_robotics.errors import PPIError, ProblemError, SolveError

METHODS = ("ppi", "ilqg", "leqg")
ETA, THETA = 0.1, 0.05  # defaults of ppi and leqg [1/cost]
DRAWN = 500  # rollouts behind the bands of a figure
MOST_STAGES = 1_000_000
MOST_SEED = 2**64 - 1
USAGE_ERROR = typer.BadParameter.__base__  # what typer raises about arguments that it cannot parse
OUTPUT = Console(markup=False, highlight=False)
ERRORS = Console(stderr=True, markup=False, highlight=False)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help="Swing-ups by probabilistic inference.")


def whole(text):
    """A whole number from the command line."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is given, expected a whole number") from None


def real(text):
    """A number from the command line."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is given, expected a number") from None


def option(flag, metavar, text, parser):
    """An option that takes a number."""
    return typer.Option(flag, metavar=metavar, help=text, parser=parser)


PlantName = Annotated[str, typer.Argument(metavar="PLANT", help="A plant; `ppi-robotics plants` lists them.")]
MethodName = Annotated[str, typer.Option("--method", metavar="NAME", help="ppi, ilqg or leqg.")]
Eta = Annotated[float | None, option("--eta", "E", f"Weight of the cost for ppi; {ETA} by default.", real)]
Theta = Annotated[float | None, option("--theta", "TH", f"Risk aversion for leqg; {THETA} by default.", real)]
Horizon = Annotated[int | None, option("--horizon", "T", "Stages, not seconds; the plant's by default.", whole)]
NoiseLevel = Annotated[float | None, option("--noise", "S", "The plant's sigma; the plant's own by default.", real)]
Starts = Annotated[int | None, option("--starts", "K", "Number of initial guesses, of which the best is kept.", whole)]
Samples = Annotated[int, option("--samples", "N", "Number of noisy rollouts, at least 2.", whole)]
Seed = Annotated[int, option("--seed", "N", "Seed of initial guesses and noise.", whole)]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder for the files.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
PolicyFile = Annotated[Path, typer.Argument(metavar="POLICY.npz", help="A file written by solve or swingup.")]
PolicyFiles = Annotated[list[Path], typer.Argument(metavar="A.npz B.npz ...", help="Two policies or more.")]


# -- commands --------------------------------------------------------------------------------------------------------


@app.command()
def plants(as_json: Json = False):
    """List the plants: states, controls, limits and default horizon."""
    made = {name: make_plant(name) for name in catalog()}
    if as_json:
        return show_json({"plants": {name: describe(plant) for name, plant in made.items()}})
    table = Table("plant", "states", "controls", "limits", "noise", "horizon", show_lines=True)
    for name, plant in made.items():
        entries = [f"{entry} [{unit}]" for entry, unit in zip(names_of(plant), plant.units, strict=True)]
        states, controls = "\n".join(entries[: plant.nx]), "\n".join(entries[plant.nx :])
        limits = "\n".join(f"{entry} {low:g} to {high:g}" for entry, low, high in limits_of(plant)) or "none"
        horizon = f"{plant.default_horizon} stages\n{plant.default_horizon * plant.dt:g} s"
        table.add_row(name, states, controls, limits, f"sigma {plant.sigma:g}", horizon)
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
    method = make_method(method, eta, theta)
    problem = make_problem(make_plant(plant, noise), horizon)
    check_range("--starts", starts, 1)
    check_range("--seed", seed, 0, MOST_SEED)
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
    method = make_method(method, eta, theta)
    problem = make_problem(make_plant(plant, noise), horizon)
    check_range("--starts", starts, 1)
    check_range("--samples", samples, 2)
    check_range("--seed", seed, 0, MOST_SEED)
    methods, name = {label(m): m for m in (method, ppi.ILQG())}, label(method)
    with session(problem, out or Path("out", plant)) as files:
        solutions = {n: run_solve(problem, m, seed, starts, files if n == name else None) for n, m in methods.items()}
        results = {n: run_evaluate(problem, s.policy, n, samples, seed) for n, s in solutions.items()}
        draw_figures(problem, solutions[name].policy, name, results, files, animate=True)
    facts = setting(problem, method, seed) | files.facts()
    facts |= solve_facts(solutions[name]) | evaluate_facts(results[name])
    columns = {n: solve_rows(solutions[n]) | evaluate_rows(results[n]) for n in methods}
    if name != "iLQG":
        facts["ilqg"] = solve_facts(solutions["iLQG"]) | evaluate_facts(results["iLQG"])
        if not any(result.diverged for result in results.values()):
            # sample i meets the same noise under both policies
            paired = ppi.Evaluation(results[name].cost - results["iLQG"].cost)
            columns[name]["difference to iLQG"] = with_error(paired.mean, paired.standard_error)
            facts["difference"] = {"mean": paired.mean, "standard_error": paired.standard_error}
    if as_json:
        show_json(facts)
    else:
        show_table(heading(problem, seed, samples), columns, files)
    return exit_code(solutions[name])


# -- from arguments to objects ---------------------------------------------------------------------------------------


def catalog():
    """Plant classes by name."""
    from plants import BY_NAME

    return BY_NAME


def make_plant(name, noise=None):
    """The plant of a name, with another noise level if one is given."""
    known = catalog()
    check_choice("plant", name, known)
    if noise is None:
        return known[name]()
    if not 0 <= noise < 1e100:
        raise ProblemError(f"--noise is {noise:g}; expected a finite number, 0 or more, for the plant's sigma")
    return known[name](sigma=noise)


def make_problem(plant, horizon):
    """The swing-up of a plant."""
    if horizon is not None and not 1 <= horizon <= MOST_STAGES:
        raise ProblemError(
            f"--horizon is {horizon}; expected a number of stages from 1 to {MOST_STAGES}, of {plant.dt:g} s each"
        )
    return ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, horizon or plant.default_horizon)


def make_method(name, eta, theta):
    """The method of a name."""
    check_choice("method", name, METHODS)
    for flag, value, owner in (("--eta", eta, "ppi"), ("--theta", theta, "leqg")):
        if value is not None and name != owner:
            raise ProblemError(
                f"{flag} belongs to method {owner}, the method is {name}; leave it out or give --method {owner}"
            )
    if name == "ppi":
        return ppi.PPI(ETA if eta is None else eta)
    return ppi.ILQG() if name == "ilqg" else ppi.LEQG(THETA if theta is None else theta)


def load_policies(plant, noise, paths, samples, seed):
    """The problem that policies were made for, and the policies by a short name each."""
    check_range("--samples", samples, 2)
    check_range("--seed", seed, 0, MOST_SEED)
    plant = make_plant(plant, noise)
    twice = next((path for i, path in enumerate(paths) if path in paths[:i]), None)
    if twice is not None:
        raise ProblemError(f"policy '{twice}' is given twice; give every file once")
    stems = [path.stem for path in paths]
    names = [path.stem if stems.count(path.stem) == 1 else str(path) for path in paths]
    policies = {name: ppi.LinearGaussianPolicy.load(path) for name, path in zip(names, paths, strict=True)}
    problem = make_problem(plant, policies[names[0]].horizon)
    for policy in policies.values():
        policy.check(problem)
    return problem, policies


def check_choice(what, name, choices):
    """Raise `ProblemError` unless the name is one of the choices."""
    if name not in choices:
        close = difflib.get_close_matches(name.lower().replace("-", "_"), choices, 1)
        guess = f"; did you mean {close[0]}?" if close else ""
        raise ProblemError(f"unknown {what} '{name}'; choose from {', '.join(choices)}{guess}")


def check_range(flag, value, least, most=math.inf):
    """Raise `ProblemError` if a number is given and out of range."""
    if value is not None and not least <= value <= most:
        upper = "" if math.isinf(most) else f" and at most {most}"
        raise ProblemError(f"{flag} is {value}; expected a whole number, at least {least}{upper}")


# -- work ------------------------------------------------------------------------------------------------------------


class Interrupted(Exception):
    """Ctrl-C in a session; the message says what is written."""


class Files:
    """The folder for output, made when the first file is written.

    Attributes:
      folder: path, or None if nothing is to be written.
      written: paths of the files so far.

    Raises:
      ProblemError: if the folder cannot be made or written to.
    """

    def __init__(self, folder):
        self.folder, self.written = folder, []
        if folder is None:
            return
        try:
            nearest = next(p for p in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(p))
            usable = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
        except OSError as error:
            raise ProblemError(f"--out is '{folder}', which fails ({error.strerror}); give a folder") from error
        if not usable:
            reason = "cannot be written to" if nearest.is_dir() else "is no folder"
            raise ProblemError(f"--out is '{folder}', but '{nearest}' {reason}; give a folder that can be made")

    def write(self, name, save):
        """Write a file by a function of its path."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ProblemError(f"cannot make folder '{self.folder}' ({error.strerror}); give another --out") from error
        save(self.folder / name)
        self.written.append(str(self.folder / name))

    def facts(self):
        """The files, for JSON."""
        return {"policy": str(self.folder / "policy.npz"), "files": self.written}


@contextmanager
def session(problem, folder):
    """The `Files` of a command; within, compiling is announced and Ctrl-C says what is written."""
    files, notice, log = Files(folder), CompileNotice(problem.plant.name), logging.getLogger("ppi_robotics")
    log.addHandler(notice)
    try:
        yield files
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; written so far: {', '.join(files.written) or 'nothing'}") from None
    finally:
        log.removeHandler(notice)


def run_solve(problem, method, seed, starts, files=None):
    """`Solution`, with a live line of progress; its policy is written at once if there are files."""
    name = label(method)
    with progress(f"{name}: solving") as say:

        def follow(row):
            start = f"start {row.start + 1}, " if row.start else ""
            say(f"{name}: {start}iteration {row.index}, cost {row.cost:.6g}, change {row.change:.2g}")

        solution = ppi.solve(problem, method, seed=seed, starts=starts, callback=follow)
    if files is not None:
        files.write("policy.npz", solution.policy.save)
    stop_if(any(start.status is ppi.Status.INTERRUPTED for start in solution.starts))
    if not solution.status.solved:
        ERRORS.print(f"{name} is not solved: {solution.explain()}", soft_wrap=True)
    return solution


def run_evaluate(problem, policy, name, samples, seed):
    """`Evaluation`, with a live line of progress."""
    with progress(f"{name}: evaluating") as say:
        result = ppi.evaluate(problem, policy, samples, seed, progress=count_rollouts(say, name))
    stop_if(result.interrupted)
    return result


def count_rollouts(say, name):
    """The progress function of an evaluation."""
    return lambda done, total: say(f"{name}: {done} of {total} rollouts")


def stop_if(interrupted):
    """Go on with Ctrl-C where a solve or an evaluation returned what it had."""
    if interrupted:
        raise KeyboardInterrupt


def draw_figures(problem, policy, name, results, files, animate=False):
    """Write trajectory.png, cost.png and, if wanted, animation.gif of the rollout of median cost."""
    import numpy as np

    from ppi_robotics.rollouts import nominal_rollout

    rollouts = ppi.rollout(problem, policy, min(results[name].samples, DRAWN), results[name].seed)
    finite = np.flatnonzero(np.isfinite(rollouts.cost))
    if not len(finite):
        ERRORS.print(f"{name}: every rollout diverged, there is nothing to draw", soft_wrap=True)
        return
    middle = finite[np.argsort(rollouts.cost[finite])[len(finite) // 2]]

    def write_animation():
        from ppi_robotics import animation

        shown = problem.plant, rollouts.x[middle], rollouts.u[middle], f"{problem.plant.name} · {name}"
        files.write("animation.gif", lambda path: animation.save(path, *shown))

    with progress("drawing the pictures"), alongside(write_animation) if animate else nullcontext():
        from ppi_robotics import plotting

        axes = plotting.trajectory(problem.plant, rollouts, nominal_rollout(problem, policy)[:2], name)
        write_figure(axes[0].figure, "trajectory.png", files)
        draw_costs(results, files)
    if animate and str(files.folder / "animation.gif") not in files.written:
        files.written.append(str(files.folder / "animation.gif"))


@contextmanager
def alongside(work):
    """Do work in a process of its own while the body runs; where that is impossible or fails, do it here afterwards."""
    child = fork(work)
    try:
        yield
        done = child is not None and os.waitpid(child, 0)[1] == 0
    except BaseException:
        if child is not None:
            os.kill(child, signal.SIGINT)  # lets it remove what it has half written
            os.waitpid(child, 0)
        raise
    if not done:
        work()


def fork(work):
    """Start work in a copy of this process, which ends with it: the id of the copy, None where none can be made."""
    if not sys.platform.startswith("linux"):
        return None
    # Ctrl-C is held back until each process knows which it is
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with warnings.catch_warnings():
            # Python warns because of sleeping threads of numpy; the copy runs none of their code
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            code = 1
            try:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
                work()
                code = 0
            finally:
                os._exit(code)  # without a word: the parent repeats what failed, and reports it
    except OSError:
        return None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return child


def draw_costs(results, files):
    """Write cost.png."""
    from ppi_robotics import plotting

    write_figure(plotting.cost_distribution(results).figure, "cost.png", files)


def write_figure(figure, name, files):
    """Write a figure, all of it or nothing."""
    from ppi_robotics.animation import write_atomically

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    files.write(name, lambda path: write_atomically(path, buffer.getvalue()))


def exit_code(solution):
    """0 if solved, else 1."""
    return 0 if solution.status.solved else 1


# -- output ----------------------------------------------------------------------------------------------------------


@contextmanager
def progress(text):
    """A live line on a terminal; yields a function that changes its text."""
    if not ERRORS.is_terminal:
        yield lambda _text: None
        return
    with ERRORS.status(Text(text)) as status:
        yield lambda text: status.update(Text(text))


class CompileNotice(logging.Handler):
    """Shows each message of the library once, and all those about compiling as a single line."""

    def __init__(self, plant):
        super().__init__()
        self.plant, self.shown = plant, set()

    def emit(self, record):
        """Print a message unless it was shown."""
        message = record.getMessage()
        if message.startswith("compiling"):
            message = f"compiling kernels for {self.plant} (first run only, up to a minute) ..."
        if message not in self.shown:
            self.shown.add(message)
            ERRORS.print(message, soft_wrap=True)


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


def show_table(title, columns, files):
    """Print a table with one column per method or policy, and where the files are."""
    OUTPUT.print(title, soft_wrap=True)
    table = Table("", *columns)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in dict.fromkeys(row for column in columns.values() for row in column):
        table.add_row(row, *(column.get(row, "") for column in columns.values()))
    print_table(table)
    if files.written:
        names = ", ".join(Path(path).name for path in files.written)
        OUTPUT.print(f"written to {files.folder}: {names}", soft_wrap=True)


def print_table(table):
    """Print a table; where there is no terminal, at the width that it needs."""
    console = OUTPUT if OUTPUT.is_terminal else Console(markup=False, highlight=False, width=1000)
    console.print(table)


def heading(problem, seed, samples=None):
    """What a table is about."""
    plant, T = problem.plant, problem.horizon
    rollouts = "" if samples is None else f", {samples} noisy rollouts"
    return f"{plant.name}: {T} stages, {T * plant.dt:g} s{rollouts}, sigma {plant.sigma:g}, seed {seed}"


def label(method):
    """Name of a method in tables and figures."""
    if method.name == "ilqg":
        return "iLQG"
    return f"PPI (η = {method.eta:g})" if method.name == "ppi" else f"LEQG (θ = {method.theta:g})"


def setting(problem, method, seed):
    """What was asked for, for JSON."""
    facts = {"plant": problem.plant.name, "horizon": problem.horizon, "noise": problem.plant.sigma, "seed": seed}
    if method is None:
        return facts
    return facts | {"method": method.name, "eta": getattr(method, "eta", None), "theta": getattr(method, "theta", None)}


def solve_facts(solution):
    """How a solve ended, for JSON."""
    return {
        "status": solution.status.name.lower(),
        "iterations": solution.iterations,
        "starts": len(solution.starts),
        "nominal_cost": solution.nominal_cost,
        "solve_seconds": solution.seconds,
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
        "seconds to solve": f"{solution.seconds:.2f}",
        "nominal cost": f"{solution.nominal_cost:.6g}",
    }


def evaluate_rows(result):
    """Statistics of the cost, for a table."""
    rows = {
        "mean cost": with_error(result.mean, result.standard_error),
        "std": f"{result.std:.4g}",
        "variance": with_error(result.variance, result.variance_standard_error),
        "CVaR 95 %": f"{result.cvar():.5g}",
    }
    if result.success_rate is not None:
        rows["success rate"] = f"{100 * result.success_rate:.4g} %"
    if result.diverged:
        rows["diverged"] = str(result.diverged)
    return rows | {"seconds to evaluate": f"{result.seconds:.3f}"}


def with_error(value, error):
    """Value and standard error as text."""
    from ppi_robotics.evaluation import _with_error

    return _with_error(value, error)


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
        "states": plant.state_names,
        "controls": plant.control_names,
        "units": plant.units,
        "state_limits": plant.state_limits.tolist(),
        "control_limits": plant.control_limits.tolist(),
        "dt": plant.dt,
        "default_horizon": plant.default_horizon,
        "noise": plant.sigma,
    }


# -- the program -----------------------------------------------------------------------------------------------------


def main(arguments=None):
    """Run the command line and return the exit code."""
    try:
        code = app(args=arguments, prog_name="ppi-robotics", standalone_mode=False)
    except USAGE_ERROR as error:
        return fail(usage_message(error), 2)
    except SolveError as error:
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
        names = ", ".join(command.callback.__name__ for command in app.registered_commands)
        message += f"{' C' if message.endswith('?') else '; c'}hoose from {names}"
    command = error.ctx.command_path if error.ctx else "ppi-robotics"
    return f"error: {message[0].lower()}{message[1:]}; see '{command} --help'"


if __name__ == "__main__":
    sys.exit(main())
