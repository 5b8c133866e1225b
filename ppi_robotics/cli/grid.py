"""The commands `grid show | vi | psi | learn`: walks over a map by value iteration, Psi-iteration and learning."""

import math
import os
from typing import Annotated

import typer

from ppi_robotics.cli.arguments import Json, Out, check_choice, check_counts, check_range, option, real, whole
from ppi_robotics.cli.output import OUTPUT, progress, remark, show_json, show_rows
from ppi_robotics.cli.work import Files, stop_if, write_figure
from ppi_robotics.files import check_path, read_text

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

grid = typer.Typer(name="grid", help="Walks over a map to a target: exact values, Psi-iteration, learning.")

Map = Annotated[
    str, typer.Option("--map", metavar="NAME|FILE", help="rooms, cup, or a file of . free, # obstacle, * target.")
]
Slip = Annotated[str, typer.Option("--slip", metavar="NAME", help="What a failing move does: stay or random.")]
Success = Annotated[float, option("--success", "P", "Probability of a move to succeed.", real)]
Discount = Annotated[float, option("--discount", "G", "Of the future, above 0 and at most 1.", real)]
Weight = Annotated[float, option("--eta", "E", "Weight of the cost, positive.", real)]
Weights = Annotated[float | None, option("--eta", "E", "Weight of the cost; tuned for each method by default.", real)]
Step = Annotated[float | None, option("--step", "C", "c of the step sizes c / (c + k); tuned by default.", real)]
Methods = Annotated[
    str | None, typer.Option("--methods", metavar="NAME,...", help=f"Of {', '.join(METHODS)}; all by default.")
]
IterationCount = Annotated[int, option("--iterations", "N", "Number of iterations.", whole)]
Transitions = Annotated[int, option("--transitions", "N", "Number of transitions.", whole)]
Trials = Annotated[int, option("--trials", "N", "Number of independent trials.", whole)]
RandomSeed = Annotated[int, option("--seed", "N", "Seed of the transitions.", whole)]


@grid.command()
def show(map_name: Map = "rooms", slip: Slip = "stay", success: Success = 0.8, as_json: Json = False):
    """Print a map with the optimal moves, ^ v < > where there is one best."""
    from ppi_robotics.discrete import iterate

    world = make_world(map_name, slip, success)
    solution = iterate(world.mdp)
    lines = arrows(world, solution.policy)
    if as_json:
        return show_json(setting(world, map_name) | {"map_lines": lines, "status": solution.status.name.lower()})
    OUTPUT.print(heading(world, map_name))
    OUTPUT.print("\n".join(lines))
    return 0


@grid.command()
def vi(
    map_name: Map = "rooms",
    slip: Slip = "stay",
    success: Success = 0.8,
    discount: Discount = 1.0,
    out: Out = None,
    as_json: Json = False,
):
    """Solve a map exactly; with --out also draw value.png."""
    from ppi_robotics.discrete import iterate

    files, world = Files(out), make_world(map_name, slip, success, discount)
    solution = iterate(world.mdp)
    facts = setting(world, map_name) | {
        "status": solution.status.name.lower(),
        "sweeps": solution.sweeps,
        "largest": float(solution.value.max()),
        "mean": float(solution.value.mean()),
    }
    if slip == "stay" and discount == 1.0:  # every move takes 1 / success trials on average
        facts["distance_error"] = float(abs(solution.value - world.cost / world.success * world.distance).max())
    if out is not None:
        with progress("drawing the picture"):
            from ppi_robotics import plotting

            write_figure(plotting.tables.value_map(world, solution.value, solution.policy).figure, "value.png", files)
    if as_json:
        show_json(facts | files.facts())
    else:
        rows = [
            ["status", facts["status"].replace("_", " ")],
            ["passes over the states", str(solution.sweeps)],
            ["largest cost", f"{facts['largest']:.10g}"],
            ["mean cost", f"{facts['mean']:.10g}"],
        ]
        if "distance_error" in facts:
            rows.append(["largest difference to distance / success", f"{facts['distance_error']:.2g}"])
        show_rows(heading(world, map_name), [["", "exact"], *rows], files)
    return 0 if solution.status.solved else 1


@grid.command()
def psi(
    map_name: Map = "rooms",
    slip: Slip = "stay",
    success: Success = 0.8,
    discount: Discount = 1.0,
    eta: Weight = 1.0,
    iterations: IterationCount = 100,
    out: Out = None,
    as_json: Json = False,
):
    """Psi-iteration from Psi = 0 beside value iteration and DPP; with --out also draw psi.png."""
    from ppi_robotics.discrete import iterate, psi_iteration, value_iteration

    check_range("--iterations", iterations, 1)
    files, world = Files(out), make_world(map_name, slip, success, discount)
    truth, runs = iterate(world.mdp).value, {}
    how = {
        "Psi": lambda: psi_iteration(world.mdp, eta, iterations, truth=truth),
        "DPP": lambda: psi_iteration(world.mdp, eta, iterations, truth=truth, average="boltzmann"),
        "value iteration": lambda: value_iteration(world.mdp, iterations, truth=truth),
    }
    with files.until_interrupted():
        for name, run in how.items():
            runs[name] = run()
            stop_if(runs[name].interrupted)
    if not runs:
        return files.end(1)
    if out is not None and not files.interrupted:
        with progress("drawing the picture"):
            from ppi_robotics import plotting

            write_figure(plotting.tables.iteration_errors(runs).figure, "psi.png", files)
    if as_json:
        facts = {
            name: {"errors": run.error.tolist(), "iterations_to_1e-3": run.first_below(1e-3)}
            for name, run in runs.items()
        }
        show_json(setting(world, map_name) | {"eta": eta, "runs": facts} | files.facts())
        return files.end(0)
    shown = [n for n in range(1, iterations + 1) if n in SHOWN or n % 100 == 0 or n == iterations]
    errors = [[f"{error:.10g}" for error in run.error] + [""] * (iterations - len(run.error)) for run in runs.values()]
    rows = [[str(n), *(column[n - 1] for column in errors)] for n in shown]
    rows.append(["iterations to 1e-3", *(str(run.first_below(1e-3) or "never") for run in runs.values())])
    show_rows(f"{heading(world, map_name)}, eta {eta:g}", [["error after", *runs], *rows], files)
    return files.end(0)


@grid.command()
def learn(
    map_name: Map = "rooms",
    slip: Slip = "stay",
    success: Success = 0.8,
    discount: Discount = 1.0,
    methods: Methods = None,
    eta: Weights = None,
    step: Step = None,
    transitions: Transitions = 400_000,
    trials: Trials = 10,
    seed: RandomSeed = 0,
    out: Out = None,
    as_json: Json = False,
):
    """Count the transitions that learning needs, beside Q-learning; with --out also draw learn.png."""
    from ppi_robotics.discrete import iterate, learn

    check_range("--transitions", transitions, RECORDS)
    check_range("--trials", trials, 1)
    check_counts(seed)
    files, world, names = Files(out), make_world(map_name, slip, success, discount), names_of(methods)
    truth, every, results = iterate(world.mdp).value, transitions // RECORDS, {}
    with files.until_interrupted(), progress("learning") as say:
        for name in names:
            say(f"{name}: learning")
            method, behavior, own_eta, own_step = METHODS[name]
            weight, slowness = own_eta if eta is None else eta, own_step if step is None else step
            count = every * RECORDS, every, trials, seed, truth, world.start
            found = learn(world.mdp, method, behavior, weight, slowness, *count)
            if not (found.interrupted and results):  # methods are compared trial by trial
                results[name] = found
            stop_if(found.interrupted)
    if not results:
        return files.end(1)
    if out is not None and not files.interrupted:
        with progress("drawing the picture"):
            from ppi_robotics import plotting

            write_figure(plotting.tables.learning_curves(results).figure, "learn.png", files)
    if as_json:
        facts = {name: learn_facts(result, results.get("Q")) for name, result in results.items()}
        more = {"trials": trials, "seed": seed, "transitions": every * RECORDS, "every": every}
        show_json(setting(world, map_name) | more | {"runs": facts} | files.facts())
        return files.end(0)
    rows = [learn_row(name, result, results.get("Q")) for name, result in results.items()]
    title = f"{heading(world, map_name)}, {trials} trials, seed {seed}: transitions to a mean error below a level"
    levels = [f"{level:g} (of Q, 90 % interval)" for level in LEVELS]
    show_rows(title, [["", "eta", "c", *levels, "error at the end"], *rows], files)
    if (eta is None or step is None) and (map_name, slip, success, discount) != ("rooms", "stay", 0.8, 1.0):
        remark(
            "eta and c are tuned on the map rooms, where failing moves stay; other values may suit this problem better"
        )
    for name in ("Psi", "Psi online"):
        if name in results and "Q" in results:
            remark_where_not_better(name, results[name], results["Q"])
    return files.end(0)


# -- parts -------------------------------------------------------------------------------------------------------------


def make_world(name, slip, success, discount=1.0):
    """The `GridWorld` of a name or of a file."""
    from plants.gridworld import MAPS, SLIPS, GridWorld

    check_choice("slip", slip, SLIPS)
    text = name
    if name not in MAPS:
        path = check_path(name, "--map")
        if not os.path.exists(path) and not path.suffix:
            check_choice("map", name, MAPS)
        text = read_text(name, "--map")
    return GridWorld(text, slip, success, discount=discount)


def names_of(methods):
    """Names of learning methods of a list that is separated by commas."""
    if methods is None:
        return list(METHODS)
    names, known = [], {name.lower(): name for name in METHODS}
    for part in methods.split(","):
        check_choice("method", part.lower(), known)
        names.append(known[part.lower()])
    return list(dict.fromkeys(names))


def setting(world, name):
    """What was asked for, for JSON."""
    return {
        "map": name,
        "slip": world.slip,
        "success": world.success,
        "discount": world.mdp.discount,
        "states": world.mdp.states,
        "targets": int(world.mdp.absorbing.sum()),
    }


def heading(world, name):
    """What a table is about."""
    rows, columns = world.cells.shape
    discount = f", discount {world.mdp.discount:g}" if world.mdp.discount < 1.0 else ""
    return (
        f"{name}: {rows} x {columns} cells, {world.mdp.states} free, "
        f"moves succeed at {world.success:g}, else {world.slip}{discount}"
    )


def arrows(world, policy):
    """Lines of the map with the move of every cell that has one best."""
    cells = world.cells.copy()
    cells[cells == "S"] = "."
    for (row, column), pi, ends in zip(world.position, policy, world.mdp.absorbing, strict=True):
        if not ends and pi.max() > 0.5:
            cells[row, column] = ARROWS[pi.argmax()]
    return ["".join(line) for line in cells]


def learn_facts(result, reference):
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
    }


def learn_row(name, result, reference):
    """A learning method for a table."""
    from ppi_robotics.texts import with_error

    texts = []
    for level in LEVELS:
        count, (share, low, high) = result.reached(level), ratio_to(result, reference, level)
        known = count is not None and share is not None and result is not reference
        texts.append(
            ("never" if count is None else str(count)) + (f" ({share:.2f}, {low:.2f}-{high:.2f})" if known else "")
        )
    end = with_error(float(result.mean[-1]), float(result.standard_error[-1]))
    weight = "-" if result.method == "q" and result.behavior == "uniform" else f"{result.eta:g}"
    return [name, weight, f"{result.step:g}", *texts, end]


def ratio_to(result, reference, level):
    """Transitions to a level relative to those of a reference, with an interval; three None without a reference."""
    from ppi_robotics.discrete import ratio

    return (None, None, None) if reference is None else ratio(result, reference, level)


def remark_where_not_better(name, result, reference):
    """Say at which levels a method needs as many transitions as Q-learning or more."""
    counts = {level: (result.reached(level) or math.inf, reference.reached(level) or math.inf) for level in LEVELS}
    worse = [f"{level:g}" for level, (own, other) in counts.items() if own >= other and own + other < math.inf]
    if worse:
        remark(f"{name} needs no fewer transitions than Q to an error of {', '.join(worse)}")
