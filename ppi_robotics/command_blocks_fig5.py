"""How often methods reach random goals of the blocks world: cells of a table over locations and blocks."""

import math
import time

import numpy as np

from ppi_robotics.command_arguments import check_choice
from ppi_robotics.command_blocks_work import LABELS, act
from ppi_robotics.command_output import progress, show_rows
from ppi_robotics.command_work import write_figure


def names_of(text, known):
    """Names of a list that is separated by commas."""
    names = text.split(",")
    for name in names:
        check_choice("method", name, known)
    return list(dict.fromkeys(names))


def instances_of(n, m, count, seed):
    """Worlds of m n / 4 moves, rounded up, with blocks laid at random at the start and in goals within reach."""
    from plants.blocks_world import BlocksWorld, moves_between

    stages, worlds = math.ceil(m * n / 4), []
    random = np.random.Generator(np.random.Philox([seed, n, m]))
    while len(worlds) < count:
        start, goal = random.multinomial(m, np.full(n, 1 / n), 2)
        if moves_between(start, goal) <= stages:
            worlds.append(BlocksWorld(start, stages, goal))
    return worlds


def rates_of(worlds, method, options, seed, say):
    """One cell: how often plans reach goals, how often inference converged at all stages, seconds of CPU a plan."""
    reached, converged, seconds = [], [], []
    for i, world in enumerate(worlds):
        say(i + 1)
        began = time.process_time()
        play = act(world, method, "map", seed, options, quiet=True)[0]
        seconds.append(time.process_time() - began)
        end = np.asarray(play.states[-1])
        reached.append(bool(len(play.states) == world.stages + 1 and (end == world.goal).all()))
        converged.append(play.status.solved)
    return {
        "n": worlds[0].locations,
        "m": worlds[0].blocks,
        "T": worlds[0].stages,
        "method": method,
        "label": LABELS[method],
        "instances": len(worlds),
        "goal_rate": sum(reached) / len(worlds),
        "converged_rate": sum(converged) / len(worlds),
        "cpu_seconds": float(np.mean(seconds)),
        "cpu_seconds_standard_error": float(np.std(seconds, ddof=1) / math.sqrt(len(worlds)))
        if len(worlds) > 1
        else None,
    }


def show_rates(cells, instances, seed, options, files):
    """The table of all cells."""
    rows = [
        [
            f"{cell['n']}",
            f"{cell['m']}",
            f"{cell['T']}",
            cell["label"],
            f"{cell['goal_rate']:.2f}",
            f"{cell['converged_rate']:.2f}",
            f"{cell['cpu_seconds']:.4f}",
        ]
        for cell in cells
    ]
    title = f"{instances} random goals each, seed {seed}, tolerance {options['tolerance']:g}: share of plans that"
    head = ["locations", "blocks", "stages", "method", "reach the goal", "converge throughout", "seconds of CPU a plan"]
    show_rows(title, [head, *rows], files)


def draw_rates(cells, files):
    """Write fig5.png."""
    with progress("drawing the picture"):
        from ppi_robotics import plotting_blocks

        write_figure(plotting_blocks.rates(cells), "fig5.png", files)
