"""The commands `grid show | vi | psi | learn`: walks over a map by value iteration, Psi-iteration and learning."""

import math
import os
from dataclasses import dataclass
from typing import Annotated

from ppi_robotics.cli.app import TABLES, command
from ppi_robotics.cli.options import check_choice
from ppi_robotics.cli.output import progress, remark
from ppi_robotics.cli.problems import Out
from ppi_robotics.cli.report import Report, stop_if

LEVELS = (0.1, 0.05, 0.02)  # errors that learning is to get below
METHODS = {  # method, behavior, eta and c: tuned on the map rooms by 60 trials of seed 1000 to reach 0.02 soonest
    "Q": ("q", "uniform", 1.0, 3000.0),
    "Q online": ("q", "online", 10.0, 5000.0),
    "Psi": ("psi", "uniform", 0.3, 7000.0),
    "Psi online": ("psi", "online", 0.5, 2000.0),
    "DPP": ("dpp", "uniform", 10.0, 7000.0),
    "DPP online": ("dpp", "online", 1.0, 3000.0),
}
SHOWN = (1, 2, 5, 10, 20, 30, 40, 60, 100)  # iterations of a table, and every 100 after them
ARROWS = "^v<>"
RECORDS = 200  # of the error while learning


@dataclass(frozen=True)
class Walk:
    """A map, and how moves over it go.

    Attributes:
      map_name: rooms, cup, or a file of . free, # obstacle, * target.
      slip: what a failing move does.
      success: probability of a move to succeed.
    """

    map_name: Annotated[str, "--map", "NAME|FILE"] = "rooms"
    slip: Annotated[str, ("stay", "random")] = "stay"
    success: Annotated[float, "P"] = 0.8
    discount = 1.0

    def begin(self, report: Report):
        """The `GridWorld`, and a report that says what it is."""
        from plants.gridworld import MAPS, GridWorld
        from ppi_robotics.files import check_path, read_text

        text = self.map_name
        if text not in MAPS:
            path = check_path(text, "--map")
            if not os.path.exists(path) and not path.suffix:
                check_choice("map", text, MAPS)
            text = read_text(text, "--map")
        world = GridWorld(text, self.slip, self.success, discount=self.discount)
        report.facts = {
            "map": self.map_name,
            "slip": world.slip,
            "success": world.success,
            "discount": world.mdp.discount,
            "states": world.mdp.states,
            "targets": int(world.mdp.absorbing.sum()),
        }
        rows, columns = world.cells.shape
        discount = f", discount {world.mdp.discount:g}" if world.mdp.discount < 1.0 else ""
        report.title = (
            f"{self.map_name}: {rows} x {columns} cells, {world.mdp.states} free, "
            f"moves succeed at {world.success:g}, else {world.slip}{discount}"
        )
        return world


@dataclass(frozen=True)
class DiscountedWalk(Walk):
    """A map, how moves over it go, and a discount.

    Attributes:
      discount: of the future, above 0 and at most 1.
    """

    discount: Annotated[float, "G"] = 1.0


@command("grid show", TABLES)
def show(report: Report, walk: Walk):
    """Print a map with the optimal moves, ^ v < > where there is one best."""
    from ppi_robotics.discrete import iterate

    world = walk.begin(report)
    solution = iterate(world.mdp)
    lines = arrows(world, solution.policy)
    report.add({"map_lines": lines, "status": solution.status.name.lower()}, lines=lines)


@command("grid vi", TABLES)
def vi(report: Report, walk: DiscountedWalk, out: Out = None):
    """Solve a map exactly; with --out also draw value.png."""
    from ppi_robotics.discrete import iterate

    report.write_to(out)
    world = walk.begin(report)
    solution = iterate(world.mdp)
    status, largest, mean = solution.status.name.lower(), float(solution.value.max()), float(solution.value.mean())
    report.add({"status": status, "sweeps": solution.sweeps, "largest": largest, "mean": mean})
    rows = [["", "exact"], ["status", status.replace("_", " ")], ["passes over the states", str(solution.sweeps)]]
    rows += [["largest cost", f"{largest:.10g}"], ["mean cost", f"{mean:.10g}"]]
    if world.slip == "stay" and world.mdp.discount == 1.0:  # every move takes 1 / success trials on average
        error = float(abs(solution.value - world.cost / world.success * world.distance).max())
        report.add({"distance_error": error})
        rows.append(["largest difference to distance / success", f"{error:.2g}"])
    report.add(rows=rows)
    report.solved = solution.status.solved
    report.draw("value.png", lambda plotting: plotting.tables.value_map(world, solution.value, solution.policy).figure)


@command("grid psi", TABLES)
def psi(
    report: Report,
    walk: DiscountedWalk,
    eta: Annotated[float, "E"] = 1.0,
    iterations: Annotated[int, "N", range(1, 10**9)] = 100,
    out: Out = None,
):
    """Psi-iteration from Psi = 0 beside value iteration and DPP; with --out also draw psi.png.

    Args:
      eta: weight of the cost, positive.
      iterations: number of iterations.
    """
    from ppi_robotics.discrete import iterate, psi_iteration, value_iteration

    report.write_to(out)
    world = walk.begin(report)
    truth, runs = iterate(world.mdp).value, {}
    how = {
        "Psi": lambda: psi_iteration(world.mdp, eta, iterations, truth=truth),
        "DPP": lambda: psi_iteration(world.mdp, eta, iterations, truth=truth, average="boltzmann"),
        "value iteration": lambda: value_iteration(world.mdp, iterations, truth=truth),
    }
    with report.until_interrupted():
        for name, run in how.items():
            runs[name] = run()
            stop_if(runs[name].interrupted)
    if not runs:
        return
    facts = {
        name: {"errors": run.error.tolist(), "iterations_to_1e-3": run.first_below(1e-3)} for name, run in runs.items()
    }
    shown = [n for n in range(1, iterations + 1) if n in SHOWN or n % 100 == 0 or n == iterations]
    errors = [[f"{error:.10g}" for error in run.error] + [""] * (iterations - len(run.error)) for run in runs.values()]
    rows = [["error after", *runs], *([str(n), *(column[n - 1] for column in errors)] for n in shown)]
    rows.append(["iterations to 1e-3", *(str(run.first_below(1e-3) or "never") for run in runs.values())])
    report.add({"eta": eta, "runs": facts}, f"{report.title}, eta {eta:g}", rows)
    report.draw("psi.png", lambda plotting: plotting.tables.iteration_errors(runs).figure)


@command("grid learn", TABLES)
def learn(
    report: Report,
    walk: DiscountedWalk,
    methods: Annotated[str | None, "NAME,..."] = None,
    eta: Annotated[float | None, "E"] = None,
    step: Annotated[float | None, "C"] = None,
    transitions: Annotated[int, "N", range(RECORDS, 10**9)] = 400_000,
    trials: Annotated[int, "N", range(1, 10**9)] = 10,
    seed: Annotated[int, "N", range(2**64)] = 0,
    out: Out = None,
):
    """Count the transitions that learning needs, beside Q-learning; with --out also draw learn.png.

    Args:
      methods: of Q, Q online, Psi, Psi online, DPP, DPP online; all by default.
      eta: weight of the cost; tuned for each method by default.
      step: c of the step sizes c / (c + k); tuned by default.
      transitions: number of transitions.
      trials: number of independent trials.
      seed: of the transitions.
    """
    from ppi_robotics import discrete

    report.write_to(out)
    names = names_of(methods)
    world = walk.begin(report)
    truth, every, results = discrete.iterate(world.mdp).value, transitions // RECORDS, {}
    with report.until_interrupted(), progress("learning") as say:
        for i, name in enumerate(names):
            say(f"{name}: learning", i, len(names))
            method, behavior, own_eta, own_step = METHODS[name]
            weight, slowness = own_eta if eta is None else eta, own_step if step is None else step
            count = every * RECORDS, every, trials, seed, truth, world.start
            found = discrete.learn(world.mdp, method, behavior, weight, slowness, *count)
            if not (found.interrupted and results):  # methods are compared trial by trial
                results[name] = found
            stop_if(found.interrupted)
    if not results:
        return
    facts = {name: learn_facts(result, results.get("Q")) for name, result in results.items()}
    report.add({"trials": trials, "seed": seed, "transitions": every * RECORDS, "every": every, "runs": facts})
    levels = [f"{level:g} (of Q, 90 % interval)" for level in LEVELS]
    rows = [["", "eta", "c", *levels, "error at the end, 95 % interval"]]
    rows += [learn_row(name, result, results.get("Q")) for name, result in results.items()]
    title = f"{report.title}, {trials} trials, seed {seed}: transitions to a mean error below a level"
    report.add(title=title, rows=rows)
    report.draw("learn.png", lambda plotting: plotting.tables.learning_curves(results).figure)
    usual = (walk.map_name, walk.slip, walk.success, walk.discount) == ("rooms", "stay", 0.8, 1.0)
    if not usual and (eta is None or step is None) and not report.interrupted:
        remark(
            "eta and c are tuned on the map rooms, where failing moves stay; other values may suit this problem better"
        )
    for name in ("Psi", "Psi online"):
        if name in results and "Q" in results and not report.interrupted:
            remark_where_not_better(name, results[name], results["Q"])


# -- parts -------------------------------------------------------------------------------------------------------------


def names_of(methods: str | None) -> list[str]:
    """Names of learning methods of a list that is separated by commas."""
    if methods is None:
        return list(METHODS)
    names, known = [], {name.lower(): name for name in METHODS}
    for part in methods.split(","):
        check_choice("method", part.lower(), known)
        names.append(known[part.lower()])
    return list(dict.fromkeys(names))


def arrows(world, policy) -> list[str]:
    """Lines of the map with the move of every cell that has one best."""
    cells = world.cells.copy()
    cells[cells == "S"] = "."
    for (row, column), pi, ends in zip(world.position, policy, world.mdp.absorbing, strict=True):
        if not ends and pi.max() > 0.5:
            cells[row, column] = ARROWS[pi.argmax()]
    return ["".join(line) for line in cells]


def learn_facts(result, reference) -> dict:
    """A learning method for JSON."""
    ratios = {level: ratio_to(result, reference, level) for level in LEVELS}
    return {
        "eta": result.eta,
        "step": result.step,
        "transitions_to": {f"{level:g}": result.reached(level) for level in LEVELS},
        "transitions_to_each": {f"{level:g}": result.reached_each(level) for level in LEVELS},
        "ratio_to_q": {f"{level:g}": part[0] for level, part in ratios.items()},
        "ratio_interval": {f"{level:g}": part[1:] for level, part in ratios.items()},
        "error": result.mean.tolist(),
        "error_standard_error": result.standard_error.tolist(),
        "error_interval": error_interval(result),
    }


def learn_row(name: str, result, reference) -> list[str]:
    """A learning method for a table."""
    from ppi_robotics.texts import with_interval

    texts = []
    for level in LEVELS:
        count, (share, low, high) = result.reached(level), ratio_to(result, reference, level)
        known = count is not None and share is not None and result is not reference
        texts.append(
            ("never" if count is None else str(count)) + (f" ({share:.2f}, {low:.2f}-{high:.2f})" if known else "")
        )
    weight = "-" if result.method == "q" and result.behavior == "uniform" else f"{result.eta:g}"
    end = with_interval(float(result.mean[-1]), error_interval(result))
    return [name, weight, f"{result.step:g}", *texts, end]


def error_interval(result) -> tuple[float, float] | None:
    """95 % interval of the mean error at the end over the trials; None of a single trial."""
    from ppi_robotics import intervals

    found = intervals.of_mean(result.error[:, -1], 0.95) if len(result.error) > 1 else ""
    return None if isinstance(found, str) else found


def ratio_to(result, reference, level: float) -> tuple:
    """Transitions to a level relative to those of a reference, with an interval; three None without a reference."""
    from ppi_robotics.discrete import ratio

    return (None, None, None) if reference is None else ratio(result, reference, level)


def remark_where_not_better(name: str, result, reference) -> None:
    """Say at which levels a method needs as many transitions as Q-learning or more."""
    counts = {level: (result.reached(level) or math.inf, reference.reached(level) or math.inf) for level in LEVELS}
    worse = [f"{level:g}" for level, (own, other) in counts.items() if own >= other and own + other < math.inf]
    if worse:
        remark(f"{name} needs no fewer transitions than Q to an error of {', '.join(worse)}")
