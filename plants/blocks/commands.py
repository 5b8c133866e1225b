"""The commands `blocks exact | bp | cvm | run | fig5`: blocks on a ring by exact and by approximate inference."""

import itertools
import math
import time
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from plants.blocks import report as words
from ppi_robotics import ProblemError
from ppi_robotics.checks import check_number
from ppi_robotics.cli.app import TABLES, command
from ppi_robotics.cli.options import check_choice, check_range
from ppi_robotics.cli.output import progress, remark
from ppi_robotics.cli.problems import Out
from ppi_robotics.cli.report import Report, stop_if
from ppi_robotics.interruption import Held

APPROXIMATE = {"bp": "separate", "cvm": "cvm", "merged": "merged", "double_loop": "double_loop"}
METHODS = ("exact", *APPROXIMATE)
PLANNERS = {"exact": "exact", "bp": "bp", "merged": "merged bp", "cvm": "double loop"}  # of plants.blocks.study
LATER = {"max_outer": 15, "tolerance": 1e-2}  # of a double loop that goes on from the messages of the stage before
INNER_SWEEPS = 50  # of the double loop at most
AFFORDABLE = 1e8  # bytes of an exact solution that is made for comparison unasked
MOST_CELLS = 1_000_000  # stages times locations
MOST = 1000  # locations or blocks of random goals

Damping = Annotated[float, "D", "Share of old messages in belief propagation, below 1."]
Tolerance = Annotated[float, "E", "Change of a probability that ends inference."]
Sweeps = Annotated[int, "N", range(1, 10**9), "Sweeps of belief propagation at most."]
OuterLoops = Annotated[int, "N", range(1, 10**9), "Outer iterations of the double loop at most."]
Bound = Annotated[float, "W", "Share of entropies that the double loop bounds, to 1: slow and sure; less is faster."]
Memory = Annotated[float, "GB", "What exact inference may use."]
Seed = Annotated[int, "N", range(2**64), "Seed of ties and samples."]


@dataclass(frozen=True)
class World:
    """A world of blocks; by default a tower that is to move to the other side of four locations.

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

    n: Annotated[int | None, "N", range(2, MOST_CELLS + 1)] = None
    m: Annotated[int | None, "M", range(1, MOST_CELLS + 1)] = None
    T: Annotated[int | None, "T", range(1, MOST_CELLS + 1)] = None
    x0: Annotated[str | None, "X1,X2,..."] = None
    goal: Annotated[str | None, "X1,X2,..."] = None
    lam: Annotated[float | None, "L"] = None
    norm: Annotated[str, ("blocks", "locations")] = "blocks"
    charged: Annotated[str, ("every", "last")] = "every"
    forbidden = "lost"

    def make(self):
        """The `BlocksWorld`."""
        from plants.blocks import BlocksWorld, moves_between

        start, goal = self._heights("x0"), self._heights("goal")
        n, m = self._sizes(goal if start is None else start)
        if goal is None and start is None and self.lam is None:  # figure 4 of the paper
            goal = [m if i == n // 2 else 0 for i in range(n)]
        if start is None:
            start = [m] + [0] * (n - 1) if goal is not None else [m // n + (i < m % n) for i in range(n)]
        strength = (10.0 if goal is None else 0.0) if self.lam is None else self.lam
        T = self.T
        if T is None:  # as in figure 5 of the paper, or what the goal takes
            T = max(math.ceil(m * n / 4), 1 if goal is None or len(goal) != n else moves_between(start, goal))
        if T * n > MOST_CELLS:
            raise ProblemError(f"{T} stages of {n} locations are given; expected at most {MOST_CELLS} heights in all")
        return BlocksWorld(start, T, goal, strength, self.norm, self.charged, self.forbidden)

    def _heights(self, name):
        text = getattr(self, name)
        return None if text is None else whole_numbers(f"--{name}", text, "heights", "4,0,0,0")

    def _sizes(self, heights):
        """Numbers of locations and blocks, which heights have if there are some."""
        if heights is None:
            return self.n or 4, self.m or 4
        for name, own, what in (("n", len(heights), "locations"), ("m", sum(heights), "blocks")):
            value = getattr(self, name)
            if value is not None and value != own:
                raise ProblemError(
                    f"--{name} is {value}, the heights have {own} {what}; leave --{name} out, or give others"
                )
        return len(heights), sum(heights)


@dataclass(frozen=True)
class AnyWorld(World):
    """A world of blocks of which moves may be renormalized.

    Attributes:
      forbidden: moves of no block, lost or renormalized.
    """

    forbidden: Annotated[str, ("lost", "renormalized")] = "lost"


@command("blocks exact", TABLES)
def exact(
    report: Report,
    given: AnyWorld,
    method: Annotated[str | None, "NAME", METHODS] = None,
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
      method: an approximation to compare, such as bp or cvm.
    """
    world, options = given.make(), inference_options(damping, tolerance, sweeps)
    names = ["exact"] if method in (None, "exact") else [method, "exact"]
    inferred(report, world, names, options, bytes_of(memory), seed, out)


@command("blocks bp", TABLES)
def bp(
    report: Report,
    given: World,
    damping: Damping = 0.0,
    tolerance: Tolerance = 1e-6,
    sweeps: Sweeps = 1000,
    seed: Seed = 0,
    out: Out = None,
):
    """Belief propagation with k and l as variables of their own, beside the exact answer where that is cheap."""
    world, options = given.make(), inference_options(damping, tolerance, sweeps)
    inferred(report, world, ["bp", *(["exact"] if affordable(world) else [])], options, 2e9, seed, out)


@command("blocks cvm", TABLES)
def cvm(
    report: Report,
    given: World,
    tolerance: Tolerance = 1e-6,
    sweeps: Sweeps = 1000,
    outer: OuterLoops = 1000,
    bound: Bound = 0.25,
    seed: Seed = 0,
    out: Out = None,
):
    """The cluster variation method by a double loop, beside BP with its fixed points, and exact where that is cheap."""
    world, options = given.make(), inference_options(0.0, tolerance, sweeps, outer, bound)
    names = ["double_loop", "merged", *(["exact"] if affordable(world) else [])]
    inferred(report, world, names, options, 2e9, seed, out)


@command("blocks run", TABLES)
def run(
    report: Report,
    given: AnyWorld,
    method: Annotated[str, "NAME", ("auto", *METHODS)] = "auto",
    choice: Annotated[str, "NAME", ("map", "sample")] = "map",
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
      method: exact, bp, cvm, merged or double_loop; auto is exact if it fits, else cvm.
      choice: the next move is map, the likeliest, or a sample.
    """
    report.write_to(out)
    world, memory = given.make(), bytes_of(memory)
    options = inference_options(damping, tolerance, sweeps, outer, bound)
    if method == "auto":
        method = "exact" if affordable(world, memory) else "cvm"
    play, seconds, solution = act(world, method, choice, seed, options, memory)
    facts = {"method": method, "label": words.LABELS[method], "choice": choice} | words.play_facts(world, play)
    with report.until_interrupted():
        stop_if(play.interrupted)
        if solution is None and affordable(world):
            solution = infer(world, "exact", {})[0]
    facts |= {"seconds": seconds, "exact_logZ": None if solution is None else solution.log_partition}
    report.facts, report.tables = words.setting(world, seed) | facts, words.plan_tables(world, facts)
    report.solved = facts["cost"] is not None and facts["reached"] is not False
    draw_plan(report, world, play, facts)
    if facts["status"] == "contradiction":
        remark(f"{facts['label']} ended in a contradiction after {len(facts['actions'])} moves")
    elif facts["unsolved_stages"]:
        remark(f"{facts['label']} did not converge at {facts['unsolved_stages']} of {world.stages} stages")


@command("blocks fig5", TABLES)
def fig5(
    report: Report,
    n: Annotated[str, "N1,N2,..."] = "4,6,8",
    m: Annotated[str, "M1,M2,..."] = "4,8,16",
    instances: Annotated[int, "N", range(1, 10**6 + 1)] = 20,
    methods: Annotated[str, "NAME,..."] = "bp,cvm",
    seed: Seed = 0,
    out: Out = None,
):
    """Count how often plans in receding horizon reach random goals, and their seconds; --out draws fig5.png.

    Args:
      n: numbers of locations.
      m: numbers of blocks.
      instances: random starts and goals for each size.
      methods: of exact, bp, merged and cvm.
    """
    report.write_to(out)
    names = list(dict.fromkeys(methods.split(",")))
    for name in names:
        check_choice("method", name, PLANNERS)
    locations = whole_numbers("--n", n, "whole numbers", "4,6,8")
    cells, sizes = [], list(itertools.product(locations, whole_numbers("--m", m, "whole numbers", "4,8,16")))
    for many, blocks in sizes:
        check_range("--n", many, 2, MOST)
        check_range("--m", blocks, 1, MOST)
    with report.until_interrupted(), progress("planning") as say:
        list(rates_of(2, 1, names, 1, seed, say))  # loads the kernels, which is not to be timed
        for size in sizes:
            for cell in rates_of(*size, names, instances, seed, say):
                cells.append(cell)  # one by one, so that Ctrl-C leaves those that are finished
    if not cells:
        return
    report.add({"instances": instances, "seed": seed, "cells": cells}, *words.rates_table(cells, instances, seed))
    report.draw("fig5.png", lambda _: figures().rates(cells))


# -- inference ---------------------------------------------------------------------------------------------------------


def inferred(report, world, names, options, memory, seed, out):
    """Infer by all methods, and report about the first, beside the others."""
    report.write_to(out)
    results = {}
    with report.until_interrupted():
        for name in names:
            with Held() as hold:
                results[name] = infer(world, name, options, memory)
            stop_if(hold.pressed)
    if not results:
        return
    facts = {name: words.inference_facts(world, name, *result, seed) for name, result in results.items()}
    for one in facts.values():
        words.compare(one, facts.get("exact"))
    columns, first, play = list(facts.values()), results[names[0]][0], None
    if first.exact and first.status.solved:
        play = world.run(first.infer, seed=seed)
    plan = None if play is None else words.play_facts(world, play)
    more = {"exact_logZ": facts["exact"]["logZ"] if "exact" in facts else None, "plan": plan, "methods": facts}
    report.facts, report.solved = words.setting(world, seed) | columns[0] | more, first.status.solved
    report.tables = words.inference_tables(world, columns, plan)
    if play is not None:
        draw_plan(report, world, play, columns[0])
    elif columns[0]["heights"] is not None:
        heights, actions = np.array(columns[0]["heights"]), first.actions
        report.draw("beliefs.png", lambda _: figures().beliefs(heights, actions, words.heading(world)))
    for line in words.differences(columns):
        remark(line)


def infer(world, method, options, memory=2e9):
    """The `Inference` by a method, and the seconds it took; progress is shown."""
    began = time.perf_counter()
    with progress(f"{words.LABELS[method]}: inferring") as say:
        if method == "exact":
            return solve_exactly(world, memory, say), time.perf_counter() - began
        from plants.blocks import chain_beliefs

        return chain_beliefs(world.chains(), APPROXIMATE[method], **options), time.perf_counter() - began


def solve_exactly(world, memory, say):
    """The exact solution in so many bytes."""
    return world.exact(memory, lambda what, done, count: say(f"exact: {what}, {done} of {count}", done, count))


def affordable(world, memory=AFFORDABLE):
    """Whether the exact solution takes no more bytes than that; by default so few that it may be made unasked."""
    from plants.blocks import fits

    return fits(world.start, world.stages, world.goal, memory)


def inference_options(damping, tolerance, sweeps, outer=1000, bound=0.25):
    """Options of approximate inference."""
    check_number(damping, "--damping", least=0, below=1)
    check_number(tolerance, "--tolerance", above=0)
    check_number(bound, "--bound", above=0, most=1)
    loops = {"max_outer": outer, "inner_sweeps": INNER_SWEEPS, "bound": bound}
    return {"damping": damping, "tolerance": tolerance, "max_sweeps": sweeps} | loops


def bytes_of(memory):
    """Bytes from GB."""
    return 1e9 * check_number(memory, "--memory", above=0)


def whole_numbers(flag, text, what, example):
    """Whole numbers of a list that is separated by commas."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ProblemError(f"{flag} is '{text}'; expected {what} separated by commas, such as {example}") from None


# -- plans -------------------------------------------------------------------------------------------------------------


def act(world, method, choice, seed, options, memory):
    """`Play` of a world in receding horizon, seconds, and the exact solution if it was made for that."""
    from plants.blocks import chain_beliefs, receding

    began, solution, name = time.perf_counter(), None, words.LABELS[method]
    with progress(f"{name}: acting") as say:
        if method == "exact":
            solution = solve_exactly(world, memory, say)
            decide = solution.infer
        else:
            chains, way = world.chains(), APPROXIMATE[method]
            if way == "cvm":
                with Held() as hold:
                    solved = chain_beliefs(chains, "merged", **options).status.solved
                stop_if(hold.pressed)
                way = "cvm" if solved else "double_loop"  # or propagation would be tried in vain at every stage
            later = LATER if way == "double_loop" else {}
            decide = receding(chains, way, first=options, **options | later)
        play = world.run(decide, choice, seed, lambda t, T: say(f"{name}: stage {t} of {T}", t, T))
    return play, time.perf_counter() - began, solution


def rates_of(n, m, names, instances, seed, say):
    """Rows of one size by all planners, one after the other."""
    from plants.blocks.study import goal_rates

    for name in names:
        say(f"{words.LABELS[name]}: {n} locations, {m} blocks")
        yield words.rates_facts(name, *goal_rates((n,), (m,), instances, (PLANNERS[name],), seed))


def draw_plan(report, world, play, facts):
    """Write plan.png, with expected heights if the facts hold some, and blocks.gif."""
    if report.folder is None or report.interrupted:
        return
    from plants.blocks import animation

    label, expected = facts["label"], {}
    if "heights" in facts:
        expected = {words.expectation([facts]): np.array(facts["heights"])}
    title = f"{words.heading(world)} · {label}"
    report.draw("plan.png", lambda _: figures().plan(play.states, play.probabilities, expected, title))
    with progress("drawing the animation"):
        shown = play.states, play.actions, play.probabilities, label
        report.write("blocks.gif", lambda path: animation.save(path, *shown))


def figures():
    """The module of figures, which loads matplotlib."""
    from plants.blocks import figures

    return figures
