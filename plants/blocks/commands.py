"""The commands `blocks exact | bp | cvm | run | fig5`: blocks on a ring by exact and by approximate inference."""

from dataclasses import dataclass
from typing import Annotated

from plants.blocks.commands_fig5 import planners_of, rate_rows, rates_of
from plants.blocks.commands_tables import add_inference, add_plan, remark_differences
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
from ppi_robotics.cli import TABLES, Out, Report, command
from ppi_robotics.cli.options import check_range
from ppi_robotics.cli.output import progress, remark
from ppi_robotics.cli.report import stop_if

METHODS = ("exact", *APPROXIMATE)
INNER_SWEEPS = 50  # of the double loop at most
MOST = 1000  # locations or blocks of random goals
MOST_INSTANCES = 1_000_000

Seed = Annotated[int, "N", range(2**64), "Seed of ties and samples."]
Memory = Annotated[float, "GB", "What exact inference may use."]
Damping = Annotated[float, "D", "Share of old messages in belief propagation, below 1."]
Tolerance = Annotated[float, "E", "Change of a probability that ends inference."]
Sweeps = Annotated[int, "N", range(1, 2**63), "Sweeps of belief propagation at most."]
OuterLoops = Annotated[int, "N", range(1, 2**63), "Outer iterations of the double loop at most."]
Bound = Annotated[float, "W", "Share of entropies that the double loop bounds, to 1: slow and sure; less is faster."]


@dataclass(frozen=True)
class Blocks:
    """Where blocks are, and where they are to be.

    Attributes:
      n: locations on the ring; those of the heights, or 4.
      m: blocks; those of the heights, or 4.
      T: moves; m n / 4 by default, or what the goal takes.
      x0: heights at the start.
      goal: heights to be met in the end.
      lam: strength of the cost of entropy; 10 by default, 0 with a goal.
      norm: entropy of heights per blocks or locations.
      charged: the cost counts for every state or the last.
    """

    n: Annotated[int | None, "N"] = None
    m: Annotated[int | None, "M"] = None
    T: Annotated[int | None, "T"] = None
    x0: Annotated[str | None, "X1,X2,..."] = None
    goal: Annotated[str | None, "X1,X2,..."] = None
    lam: Annotated[float | None, "L"] = None
    norm: Annotated[str, "NAME"] = "blocks"
    charged: Annotated[str, "NAME"] = "every"
    forbidden = "lost"

    def world(self):
        """The `BlocksWorld`."""
        given = self.n, self.m, self.T, self.x0, self.goal, self.lam, self.norm, self.charged
        return make_world(*given, self.forbidden)


@dataclass(frozen=True)
class BlocksByCount(Blocks):
    """The same for exact inference.

    Attributes:
      forbidden: moves of no block: lost or renormalized.
    """

    forbidden: Annotated[str, "NAME"] = "lost"


@command("blocks exact", TABLES)
def exact(
    report: Report,
    blocks: BlocksByCount,
    method: Annotated[str | None, METHODS, "NAME"] = None,
    damping: Damping = 0.0,
    tolerance: Tolerance = 1e-6,
    sweeps: Sweeps = 1000,
    memory: Memory = 2.0,
    seed: Seed = 0,
    out: Out = None,
):
    """Solve the control exactly, and plan; --method compares an approximation; --out draws plan.png and blocks.gif.

    With --method, the JSON object is about that method, and holds the exact numbers beside it.

    Args:
      method: an approximation to compare: bp or cvm.
    """
    report.write_to(out)
    world = blocks.world()
    check_positive("--memory", memory)
    names = ["exact"] if method in (None, "exact") else [method, "exact"]
    infer_by(report, world, names, inference_options(damping, tolerance, sweeps), memory, seed)


@command("blocks bp", TABLES)
def bp(
    report: Report,
    blocks: Blocks,
    damping: Damping = 0.0,
    tolerance: Tolerance = 1e-6,
    sweeps: Sweeps = 1000,
    seed: Seed = 0,
    out: Out = None,
):
    """Belief propagation with k and l as variables of their own, beside the exact answer where that is cheap."""
    report.write_to(out)
    world = blocks.world()
    names = ["bp", *(["exact"] if affordable(world) else [])]
    infer_by(report, world, names, inference_options(damping, tolerance, sweeps), 2.0, seed)


@command("blocks cvm", TABLES)
def cvm(
    report: Report,
    blocks: Blocks,
    tolerance: Tolerance = 1e-6,
    sweeps: Sweeps = 1000,
    outer: OuterLoops = 1000,
    bound: Bound = 0.25,
    seed: Seed = 0,
    out: Out = None,
):
    """The cluster variation method by a double loop, beside BP with its fixed points, and exact where that is cheap."""
    report.write_to(out)
    world = blocks.world()
    names = ["double_loop", "merged", *(["exact"] if affordable(world) else [])]
    infer_by(report, world, names, inference_options(0.0, tolerance, sweeps, outer, bound), 2.0, seed)


@command("blocks run", TABLES)
def run(
    report: Report,
    blocks: BlocksByCount,
    method: Annotated[str, ("auto", *METHODS), "NAME"] = "auto",
    choice: Annotated[str, ("map", "sample"), "NAME"] = "map",
    damping: Damping = 0.0,
    tolerance: Tolerance = 1e-6,
    sweeps: Sweeps = 1000,
    outer: OuterLoops = 60,
    bound: Bound = 0.25,
    memory: Memory = 2.0,
    seed: Seed = 0,
    out: Out = None,
):
    """Infer, move, infer again on the stages that are left; --out draws plan.png and blocks.gif.

    cvm and double_loop go on at later stages from their last messages, with a few outer iterations each.

    Args:
      method: exact, bp, cvm, merged, double_loop; auto is exact if it fits, else cvm.
      choice: the next move: map, the likeliest, or sample.
    """
    check_positive("--memory", memory)
    report.write_to(out)
    world = blocks.world()
    method = chosen(world, method, 1e9 * memory)
    options = inference_options(damping, tolerance, sweeps, outer, bound)
    play, seconds, solution = act(world, method, choice, seed, options, 1e9 * memory)
    facts = {"method": method, "label": LABELS[method], "choice": choice} | play_facts(world, play)
    facts["seconds"] = seconds
    facts["exact_logZ"] = None if solution is None else solution.log_partition
    with report.until_interrupted():
        stop_if(play.interrupted)
        if solution is None and affordable(world):
            facts["exact_logZ"] = infer(world, "exact", {})[0].log_partition
        if out is not None:
            draw_plan(world, play, facts, report)
    report.add(setting(world, seed) | facts)
    add_plan(report, world, facts)
    report.solved = facts["cost"] is not None and facts["reached"] is not False
    if facts["status"] == "contradiction":
        remark(f"{facts['label']} ended in a contradiction after {len(facts['actions'])} moves")
    elif facts["unsolved_stages"]:
        remark(f"{facts['label']} did not converge at {facts['unsolved_stages']} of {world.stages} stages")


@command("blocks fig5", TABLES)
def fig5(
    report: Report,
    n: Annotated[str, "N1,N2,..."] = "4,6,8",
    m: Annotated[str, "M1,M2,..."] = "4,8,16",
    instances: Annotated[int, "N", range(1, MOST_INSTANCES + 1)] = 20,
    methods: Annotated[str, "NAME,..."] = "bp,cvm",
    seed: Seed = 0,
    out: Out = None,
):
    """Count how often plans in receding horizon reach random goals, and their seconds; --out draws fig5.png.

    Args:
      n: numbers of locations.
      m: numbers of blocks.
      instances: random starts and goals for each size.
      methods: of exact, bp, merged, cvm.
    """
    names = planners_of(methods)
    sizes = [
        (locations, many)
        for locations in numbers_of("--n", n, "whole numbers", "4,6,8")
        for many in numbers_of("--m", m, "whole numbers", "4,8,16")
    ]
    for locations, many in sizes:
        check_range("--n", locations, 2, MOST)
        check_range("--m", many, 1, MOST)
    report.write_to(out)
    rows = []
    with report.until_interrupted(), progress("planning") as say:
        for _ in rates_of(2, 1, names, 1, seed, say):  # loads the kernels, which is not to be timed
            pass
        for size in sizes:
            for row in rates_of(*size, names, instances, seed, say):
                rows.append(row)
    if not rows:
        return
    title = f"{instances} random goals each, seed {seed}: share of plans that reach them, and whose inference converged"
    report.add({"instances": instances, "seed": seed, "cells": rows}, title, rate_rows(rows))
    report.draw("fig5.png", lambda _: rates_figure(rows))


# -- parts -------------------------------------------------------------------------------------------------------------


def rates_figure(rows):
    """The figure of the rates."""
    from plants.blocks import figures

    return figures.rates(rows)


def infer_by(report, world, names, options, memory, seed):
    """Infer by all methods, the first of which the report is about, and compare with the exact answer."""
    results = {}
    with report.until_interrupted():
        for name in names:
            results[name] = infer(world, name, options, 1e9 * memory)
            stop_if(results[name][0].status is Status.INTERRUPTED)
    if names[0] not in results:
        return
    names = list(results)
    facts = {name: inference_facts(world, name, *results[name], seed) for name in names}
    for name in names:
        compare(facts[name], facts.get("exact"))
    columns, first, plan = [facts[name] for name in names], results[names[0]][0], None
    if first.exact and first.status.solved:
        play = world.run(first.infer, seed=seed)
        plan = play_facts(world, play)
        if report.folder is not None:
            draw_plan(world, play, columns[0], report)
    elif report.folder is not None:
        draw_inference(world, columns, first, report)
    more = {"exact_logZ": facts["exact"]["logZ"] if "exact" in facts else None, "plan": plan}
    report.add(setting(world, seed) | columns[0] | more | {"methods": facts})
    add_inference(report, world, columns, plan)
    remark_differences(columns)
    report.solved = first.status.solved


def inference_options(damping, tolerance, sweeps, outer=1000, bound=0.25):
    """Options of approximate inference."""
    if not 0.0 <= damping < 1.0:
        raise ProblemError(f"--damping is {damping:g}; expected 0 or more and below 1")
    check_positive("--tolerance", tolerance)
    if not 0.0 < bound <= 1.0:
        raise ProblemError(f"--bound is {bound:g}; expected more than 0 and at most 1")
    loops = {"max_outer": outer, "inner_sweeps": INNER_SWEEPS, "bound": bound}
    return {"damping": damping, "tolerance": tolerance, "max_sweeps": sweeps} | loops


def check_positive(flag, value):
    """Raise `ProblemError` unless a number is positive and finite."""
    if not 0.0 < value < float("inf"):
        raise ProblemError(f"{flag} is {value:g}; expected a positive number")
