"""The commands `blocks exact | bp | cvm | run | fig5`: blocks on a ring by exact and by approximate inference."""

from typing import Annotated

import typer

from plants.blocks.commands_fig5 import PLANNERS, draw_rates, planners_of, rates_of, show_rates
from plants.blocks.commands_tables import remark_differences, show_inference, show_plan
from plants.blocks.commands_work import (
    APPROXIMATE,
    LABELS,
    act,
    affordable,
    chosen,
    compare,
    draw_inference,
    draw_plan,
    infer,
    inference_facts,
    make_world,
    numbers_of,
    play_facts,
    setting,
)
from ppi_robotics import ProblemError, Status
from ppi_robotics.cli.arguments import (
    MOST_INSTANCES,
    Json,
    Out,
    check_choice,
    check_counts,
    check_range,
    option,
    real,
    whole,
)
from ppi_robotics.cli.output import progress, remark, show_json
from ppi_robotics.cli.work import Files, stop_if

METHODS = ("exact", *APPROXIMATE)
INNER_SWEEPS = 50  # of the double loop at most
MOST = 1000  # locations or blocks of random goals

blocks = typer.Typer(name="blocks", help="Blocks on a ring: exact control, belief propagation, cluster variation.")

Locations = Annotated[int | None, option("--n", "N", "Locations on the ring; those of the heights, or 4.", whole)]
Blocks = Annotated[int | None, option("--m", "M", "Blocks; those of the heights, or 4.", whole)]
Stages = Annotated[int | None, option("--T", "T", "Moves; m n / 4 by default, or what the goal takes.", whole)]
Start = Annotated[str | None, typer.Option("--x0", metavar="X1,X2,...", help="Heights at the start.")]
Goal = Annotated[str | None, typer.Option("--goal", metavar="X1,X2,...", help="Heights to be met in the end.")]
Strength = Annotated[
    float | None, option("--lam", "L", "Strength of the cost of entropy; 10 by default, 0 with a goal.", real)
]
Norm = Annotated[str, typer.Option("--norm", metavar="NAME", help="Entropy of heights per blocks or locations.")]
Charged = Annotated[str, typer.Option("--charged", metavar="NAME", help="The cost counts for every state or the last.")]
Forbidden = Annotated[str, typer.Option("--forbidden", metavar="NAME", help="Moves of no block: lost or renormalized.")]
Memory = Annotated[float, option("--memory", "GB", "What exact inference may use.", real)]
Against = Annotated[
    str | None, typer.Option("--method", metavar="NAME", help="An approximation to compare: bp or cvm.")
]
Acting = Annotated[
    str, typer.Option("--method", metavar="NAME", help=f"{', '.join(METHODS)}; auto is exact if it fits, else cvm.")
]
Choice = Annotated[str, typer.Option("--choice", metavar="NAME", help="The next move: map, the likeliest, or sample.")]
RandomSeed = Annotated[int, option("--seed", "N", "Seed of ties and samples.", whole)]
Damping = Annotated[float, option("--damping", "D", "Share of old messages in belief propagation, below 1.", real)]
Tolerance = Annotated[float, option("--tolerance", "E", "Change of a probability that ends inference.", real)]
Sweeps = Annotated[int, option("--sweeps", "N", "Sweeps of belief propagation at most.", whole)]
OuterLoops = Annotated[int, option("--outer", "N", "Outer iterations of the double loop at most.", whole)]
Bound = Annotated[
    float,
    option(
        "--bound", "W", "Share of entropies that the double loop bounds, to 1: slow and sure; less is faster.", real
    ),
]
Counts = Annotated[str, typer.Option("--n", metavar="N1,N2,...", help="Numbers of locations.")]
BlockCounts = Annotated[str, typer.Option("--m", metavar="M1,M2,...", help="Numbers of blocks.")]
Instances = Annotated[int, option("--instances", "N", "Random starts and goals for each size.", whole)]
Compared = Annotated[str, typer.Option("--methods", metavar="NAME,...", help=f"Of exact, {', '.join(PLANNERS)}.")]


@blocks.command()
def exact(
    n: Locations = None,
    m: Blocks = None,
    T: Stages = None,
    x0: Start = None,
    goal: Goal = None,
    lam: Strength = None,
    norm: Norm = "blocks",
    charged: Charged = "every",
    forbidden: Forbidden = "lost",
    method: Against = None,
    damping: Damping = 0.0,
    tolerance: Tolerance = 1e-6,
    sweeps: Sweeps = 1000,
    memory: Memory = 2.0,
    seed: RandomSeed = 0,
    out: Out = None,
    as_json: Json = False,
):
    """Solve the control exactly, and plan; --method compares an approximation; --out draws plan.png and blocks.gif.

    With --method, the JSON object is about that method, and holds the exact numbers beside it.
    """
    if method is not None:
        check_choice("method", method, METHODS)
    world = make_world(n, m, T, x0, goal, lam, norm, charged, forbidden)
    check_counts(seed)
    check_positive("--memory", memory)
    names = ["exact"] if method in (None, "exact") else [method, "exact"]
    return inferred(world, names, inference_options(damping, tolerance, sweeps), memory, seed, out, as_json)


@blocks.command()
def bp(
    n: Locations = None,
    m: Blocks = None,
    T: Stages = None,
    x0: Start = None,
    goal: Goal = None,
    lam: Strength = None,
    norm: Norm = "blocks",
    charged: Charged = "every",
    damping: Damping = 0.0,
    tolerance: Tolerance = 1e-6,
    sweeps: Sweeps = 1000,
    seed: RandomSeed = 0,
    out: Out = None,
    as_json: Json = False,
):
    """Belief propagation with k and l as variables of their own, beside the exact answer where that is cheap."""
    world = make_world(n, m, T, x0, goal, lam, norm, charged, "lost")
    check_counts(seed)
    names = ["bp", *(["exact"] if affordable(world) else [])]
    return inferred(world, names, inference_options(damping, tolerance, sweeps), 2.0, seed, out, as_json)


@blocks.command()
def cvm(
    n: Locations = None,
    m: Blocks = None,
    T: Stages = None,
    x0: Start = None,
    goal: Goal = None,
    lam: Strength = None,
    norm: Norm = "blocks",
    charged: Charged = "every",
    tolerance: Tolerance = 1e-6,
    sweeps: Sweeps = 1000,
    outer: OuterLoops = 1000,
    bound: Bound = 0.25,
    seed: RandomSeed = 0,
    out: Out = None,
    as_json: Json = False,
):
    """The cluster variation method by a double loop, beside BP with its fixed points, and exact where that is cheap."""
    world = make_world(n, m, T, x0, goal, lam, norm, charged, "lost")
    check_counts(seed)
    names = ["double_loop", "merged", *(["exact"] if affordable(world) else [])]
    return inferred(world, names, inference_options(0.0, tolerance, sweeps, outer, bound), 2.0, seed, out, as_json)


@blocks.command()
def run(
    n: Locations = None,
    m: Blocks = None,
    T: Stages = None,
    x0: Start = None,
    goal: Goal = None,
    lam: Strength = None,
    norm: Norm = "blocks",
    charged: Charged = "every",
    forbidden: Forbidden = "lost",
    method: Acting = "auto",
    choice: Choice = "map",
    damping: Damping = 0.0,
    tolerance: Tolerance = 1e-6,
    sweeps: Sweeps = 1000,
    outer: OuterLoops = 60,
    bound: Bound = 0.25,
    memory: Memory = 2.0,
    seed: RandomSeed = 0,
    out: Out = None,
    as_json: Json = False,
):
    """Infer, move, infer again on the stages that are left; --out draws plan.png and blocks.gif.

    cvm and double_loop go on at later stages from their last messages, with a few outer iterations each.
    """
    from ppi_robotics.discrete.kl_control import CHOICES

    check_choice("method", method, ("auto", *METHODS))
    check_choice("choice", choice, CHOICES)
    check_counts(seed)
    check_positive("--memory", memory)
    files, world = Files(out), make_world(n, m, T, x0, goal, lam, norm, charged, forbidden)
    method = chosen(world, method, 1e9 * memory)
    options = inference_options(damping, tolerance, sweeps, outer, bound)
    play, seconds, solution = act(world, method, choice, seed, options, 1e9 * memory)
    facts = {"method": method, "label": LABELS[method], "choice": choice} | play_facts(world, play)
    facts["seconds"] = seconds
    facts["exact_logZ"] = None if solution is None else solution.log_partition
    with files.until_interrupted():
        stop_if(play.interrupted)
        if solution is None and affordable(world):
            facts["exact_logZ"] = infer(world, "exact", {})[0].log_partition
        if out is not None:
            draw_plan(world, play, facts, files)
    if as_json:
        show_json(setting(world, seed) | facts | files.facts())
    else:
        show_plan(world, facts, files)
    if facts["status"] == "contradiction":
        remark(f"{facts['label']} ended in a contradiction after {len(facts['actions'])} moves")
    elif facts["unsolved_stages"]:
        remark(f"{facts['label']} did not converge at {facts['unsolved_stages']} of {world.stages} stages")
    return files.end(0 if facts["cost"] is not None and facts["reached"] is not False else 1)


@blocks.command()
def fig5(
    n: Counts = "4,6,8",
    m: BlockCounts = "4,8,16",
    instances: Instances = 20,
    methods: Compared = "bp,cvm",
    seed: RandomSeed = 0,
    out: Out = None,
    as_json: Json = False,
):
    """Count how often plans in receding horizon reach random goals, and their seconds; --out draws fig5.png."""
    check_range("--instances", instances, 1, MOST_INSTANCES)
    check_counts(seed)
    names = planners_of(methods)
    sizes = [
        (locations, many)
        for locations in numbers_of("--n", n, "whole numbers", "4,6,8")
        for many in numbers_of("--m", m, "whole numbers", "4,8,16")
    ]
    for locations, many in sizes:
        check_range("--n", locations, 2, MOST)
        check_range("--m", many, 1, MOST)
    files, rows = Files(out), []
    with files.until_interrupted():
        with progress("planning") as say:
            for _ in rates_of(2, 1, names, 1, seed, say):  # loads the kernels, which is not to be timed
                pass
            for size in sizes:
                for row in rates_of(*size, names, instances, seed, say):
                    rows.append(row)
        if out is not None:
            draw_rates(rows, files)
    if not rows:
        return files.end(1)
    if as_json:
        show_json({"instances": instances, "seed": seed, "cells": rows} | files.facts())
    else:
        show_rates(rows, instances, seed, files)
    return files.end(0)


# -- parts -------------------------------------------------------------------------------------------------------------


def inferred(world, names, options, memory, seed, out, as_json):
    """Infer by all methods, show it, and return the exit code of the first."""
    files, results = Files(out), {}
    with files.until_interrupted():
        for name in names:
            results[name] = infer(world, name, options, 1e9 * memory)
            stop_if(results[name][0].status is Status.INTERRUPTED)
    if names[0] not in results:
        return files.end(1)
    names = list(results)
    facts = {name: inference_facts(world, name, *results[name], seed) for name in names}
    for name in names:
        compare(facts[name], facts.get("exact"))
    columns = [facts[name] for name in names]
    first = results[names[0]][0]
    plan = None
    if first.exact and first.status.solved:
        play = world.run(first.infer, seed=seed)
        plan = play_facts(world, play)
        if out is not None:
            draw_plan(world, play, columns[0], files)
    elif out is not None:
        draw_inference(world, columns, first, files)
    if as_json:
        more = {"exact_logZ": facts["exact"]["logZ"] if "exact" in facts else None, "plan": plan}
        show_json(setting(world, seed) | columns[0] | more | {"methods": facts} | files.facts())
    else:
        show_inference(world, columns, plan, files)
    remark_differences(columns)
    return files.end(0 if first.status.solved else 1)


def inference_options(damping, tolerance, sweeps, outer=1000, bound=0.25):
    """Options of approximate inference."""
    if not 0.0 <= damping < 1.0:
        raise ProblemError(f"--damping is {damping:g}; expected 0 or more and below 1")
    check_positive("--tolerance", tolerance)
    check_range("--sweeps", sweeps, 1)
    check_range("--outer", outer, 1)
    if not 0.0 < bound <= 1.0:
        raise ProblemError(f"--bound is {bound:g}; expected more than 0 and at most 1")
    loops = {"max_outer": outer, "inner_sweeps": INNER_SWEEPS, "bound": bound}
    return {"damping": damping, "tolerance": tolerance, "max_sweeps": sweeps} | loops


def check_positive(flag, value):
    """Raise `ProblemError` unless a number is positive and finite."""
    if not 0.0 < value < float("inf"):
        raise ProblemError(f"{flag} is {value:g}; expected a positive number")
