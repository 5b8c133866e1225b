"""What the command line shows: tables and JSON on standard output, progress and remarks on standard error."""

import json
import logging
import math
import os
import sys
import threading
import time
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.table import Table
from rich.text import Text

WEIGHTS = {"eta": "η", "theta": "θ"}  # as methods and their labels call them
NAMES = {"ilqg": "iLQG", "psi": "Psi", "predictive_sampling": "Predictive sampling"}  # where not in capitals
SAMPLED = {"sequences": "samples"} | {  # options of methods that sample, as the command line and Python call them
    name: name for name in ("temperature", "spread", "smoothing", "noise_draws", "feedback", "covariance")
}
STATISTICS = ("mean", "variance", "cvar")  # of which every evaluation gives intervals
EVERY = 5.0  # seconds between lines of progress where there is no terminal
OUTPUT = Console(markup=False, highlight=False)
ERRORS = Console(stderr=True, markup=False, highlight=False)


def remark(message):
    """Print one line on standard error."""
    ERRORS.print(message, soft_wrap=True)


@contextmanager
def progress(text):
    """A live line on a terminal, elsewhere a line every few seconds; yields a function that changes its text."""
    if ERRORS.is_terminal:
        with ERRORS.status(Text(text)) as status:
            yield lambda text: status.update(Text(text))
        return
    teller = Teller(text)
    try:
        yield teller.change
    finally:
        teller.stop()


class Teller:
    """Says from a thread, every few seconds, what is being done and for how long, also where that is silent.

    It writes past the console of `rich`, whose lock a copy of the process would take over as the thread left it.
    """

    def __init__(self, text):
        self.text, self.began, self.over = text, time.monotonic(), threading.Event()
        self.thread = threading.Thread(target=self._tell, name="progress", daemon=True)
        self.thread.start()

    def change(self, text):
        """Say this from now on."""
        self.text = text

    def stop(self):
        """Say nothing more."""
        self.over.set()
        self.thread.join()

    def _tell(self):
        while not self.over.wait(EVERY):
            with suppress(OSError, ValueError):  # nobody reads it any more
                sys.stderr.write(f"{self.text} ({time.monotonic() - self.began:.0f} s)\n")
                sys.stderr.flush()


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
            remark(message)


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


def show_table(title, columns, files, remarks=()):
    """Print a table with one column per method or policy, lines about it, and where the files are."""
    rows = dict.fromkeys(row for column in columns.values() for row in column)
    texts = [[row, *(column.get(row, "") for column in columns.values())] for row in rows]
    show_rows(title, [["", *columns], *texts], files, remarks)


def show_rows(title, rows, files, remarks=()):
    """Print a table from rows of texts, headings first, lines about it, and where the files are."""
    OUTPUT.print(title, soft_wrap=True)
    table = Table(*rows[0])
    for column in table.columns:
        column.overflow = "fold"  # on a narrow terminal; nothing is cut off
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows[1:]:
        table.add_row(*row)
    print_table(table)
    for line in remarks:
        OUTPUT.print(line, soft_wrap=True)
    if files.interrupted:
        OUTPUT.print("interrupted: these are the results until then", soft_wrap=True)
    if files.written:
        inside = f"{files.folder}{os.sep}"
        names = [path.removeprefix(inside) for path in files.written if path.startswith(inside)]
        places = [f"to {files.folder}: {', '.join(names)}"] if names else []
        places += [path for path in files.written if not path.startswith(inside)]
        OUTPUT.print(f"written {', and '.join(places)}", soft_wrap=True)


def print_table(table):
    """Print a table; where there is no terminal, at the width that it needs."""
    console = OUTPUT if OUTPUT.is_terminal else Console(markup=False, highlight=False, width=1000)
    console.print(table)


def heading(problem, seed, samples=None):
    """What a table is about."""
    plant, T = problem.plant, problem.horizon
    about = f"{plant.name}: {T} stages, {T * plant.dt:g} s"
    if samples is None:
        return f"{about}, {noise_words(plant)}, seed {seed}"
    return f"{about}, {samples} noisy rollouts, {noise_words(plant)}, seed {seed}; 95 % intervals in brackets"


def noise_level(plant):
    """A plant's sigma; of a MuJoCo plant the largest noise of a control relative to its size."""
    return plant.sigma if hasattr(plant, "sigma") else float(plant.noise.control.max(initial=0.0))


def noise_words(plant):
    """The noise level of a plant, for a heading."""
    level = noise_level(plant)
    return f"sigma {level:g}" if hasattr(plant, "sigma") else f"{100 * level:g} % noise on the controls"


def label(method):
    """Name of a method in tables and figures."""
    name = NAMES.get(method.name, method.name.upper())
    weights = [f"{sign} = {getattr(method, key):g}" for key, sign in WEIGHTS.items() if hasattr(method, key)]
    rule = getattr(getattr(method, "expansion", None), "rule", None)
    details = [*weights, rule] if rule else weights
    return f"{name} ({', '.join(details)})" if details else name


def setting(problem, method, seed):
    """What was asked for, for JSON."""
    facts = {"plant": problem.plant.name, "horizon": problem.horizon, "noise": noise_level(problem.plant), "seed": seed}
    if method is None:
        return facts
    facts |= {"method": method.name, "eta": getattr(method, "eta", None), "theta": getattr(method, "theta", None)}
    if not hasattr(method, "smoothing"):
        return facts
    chosen = {name: getattr(method, field) for name, field in SAMPLED.items()}
    return facts | {name: value if isinstance(value, int | str) else repr(value) for name, value in chosen.items()}


def solve_facts(solution):
    """How a solve ended, for JSON."""
    return {
        "status": solution.status.name.lower(),
        "iterations": solution.iterations,
        "starts": len(solution.starts),
        "nominal_cost": solution.nominal_cost,
        "critical_theta": None if solution.breakdown is None else solution.breakdown.critical,
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
        "mean_interval": result.mean_interval(),
        "variance_interval": result.variance_interval(),
        "cvar_interval": result.cvar_interval(),
        "success_interval": result.success_interval(),
        "no_interval": {name: why for name in STATISTICS if (why := result.why_no_interval(name)) is not None},
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


def gaps(results):
    """Lines about the intervals that a table leaves out, from `Evaluation`s by name."""
    from ppi_robotics.statistics import missing_intervals

    return missing_intervals(results)


def evaluate_rows(result):
    """Statistics of the cost, for a table."""
    from ppi_robotics.texts import share, with_interval

    rows = {
        "mean cost": with_interval(result.mean, result.mean_interval()),
        "std": f"{result.std:.4g}",
        "variance": with_interval(result.variance, result.variance_interval()),
        "CVaR 95 %": with_interval(result.cvar(), result.cvar_interval()),
    }
    if result.success_rate is not None:
        rows["success rate"] = share(result.success_rate, result.success_interval())
    if result.diverged:
        rows["diverged"] = str(result.diverged)
    return rows | {"seconds to evaluate": f"{result.seconds:.3f}"}


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


def describe_body(plant, tasks):
    """A MuJoCo body and its tasks by name, for JSON."""
    facts = {
        name: {"horizon": task.horizon, "noise": task.noise, "goal": task.goal and list(task.goal)}
        for name, task in tasks.items()
    }
    limits = plant.control_limits.tolist()
    return {"states": plant.state_names, "controls": plant.control_names, "control_limits": limits, "dt": plant.dt} | {
        "tasks": facts
    }
