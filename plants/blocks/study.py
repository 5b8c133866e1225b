"""How often inference plans random blocks worlds to their goals, and what that takes.

Kappen, Gomez, Opper, *Optimal control as a graphical model inference problem* (Machine Learning, 2012), figure 5.
"""

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from plants.blocks.inference import play_chains
from plants.blocks.states import moves_between
from plants.blocks.world import BlocksWorld
from ppi_robotics import ProblemError
from ppi_robotics.checks import (
    check_choice,
    check_count,
    check_counts,
    check_function,
    check_seed,
    check_sequence,
    check_threads,
)

EXACT = "exact"
PLANNERS = {  # besides exact control: name to method and options of `chain_beliefs`
    "bp": ("separate", {}),
    "merged bp": ("merged", {"damping": 0.5}),
    "double loop": ("double_loop", {}),
}
TOLERANCE, SWEEPS = 1e-4, 1000
PER_STAGE = 4  # a world of m blocks at n locations gets ceil(m n / PER_STAGE) stages


@dataclass(frozen=True)
class GoalRates:
    """What a planner did with the random worlds of one size.

    Attributes:
      planner: a key of PLANNERS, or "exact".
      locations, blocks, stages: size of the worlds.
      instances: how many.
      converged: share of plans whose inference converged at every stage from which the goal was within reach.
      reached: share of plans that end at the goal.
      seconds: mean of processor time a plan.
      sweeps: mean of sweeps a plan.
      seed: of the worlds and of ties.
    """

    planner: str
    locations: int
    blocks: int
    stages: int
    instances: int
    converged: float
    reached: float
    seconds: float
    sweeps: float
    seed: int

    def standard_error(self, rate: float) -> float:
        """Standard error of a share of the instances, of Wilson's center, so that it is not 0 at 0 or 1."""
        n = self.instances
        center = (rate * n + 2) / (n + 4)
        return math.sqrt(center * (1 - center) / (n + 4))


def goal_rates(
    locations: Sequence[int],
    blocks: Sequence[int],
    instances: int = 20,
    planners: Sequence[str] = tuple(PLANNERS),
    seed: int = 0,
    threads: int | None = None,
    progress: Callable[..., object] | None = None,
) -> tuple[GoalRates, ...]:
    """Plan random worlds of some sizes to their goals, inferring again after every move.

    Start and goal are drawn evenly from all heights, again where the goal is too far. World i of a size is the same
    for every planner, at any number of threads, and whichever other sizes there are.

    Args:
      locations, blocks: numbers of both; all pairs are the sizes.
      instances: worlds of a size.
      planners: keys of PLANNERS, or "exact".
      seed: of worlds and ties.
      threads: as many as processors by default.
      progress: function of the number of sizes and planners done, and of all.

    Returns:
      Tuple of `GoalRates`, of every size by every planner.

    Raises:
      ProblemError: if a planner is unknown.
    """
    for planner in check_sequence(planners, "planners", "planners"):
        check_choice(planner, "planner", (*PLANNERS, EXACT))
    locations, blocks = check_counts(locations, "locations", 2, 2000), check_counts(blocks, "blocks", 1, 10**6)
    check_count(instances, "instances", 1)
    check_seed(seed)
    check_threads(threads)
    check_function(progress, "progress", "sizes and planners done, and all")
    rows, cells = [], list(itertools.product(locations, blocks))
    for n, m in cells:
        worlds = [random_goal(n, m, (seed, i)) for i in range(instances)]
        for planner in planners:
            plays = _exact_plays(worlds, seed) if planner == EXACT else _chain_plays(worlds, planner, seed, threads)
            rows.append(_rates(planner, worlds, list(plays), seed))
            if progress is not None:
                progress(len(rows), len(cells) * len(planners))
    return tuple(rows)


def random_goal(locations: int, blocks: int, seed: int | Sequence[int] = 0) -> BlocksWorld:
    """A `BlocksWorld` of ceil(m n / 4) stages with random start and goal.

    Args:
      locations, blocks: n and m.
      seed: a number, or several.

    Raises:
      ProblemError: if there are no locations or blocks.
    """
    random = np.random.default_rng([*np.atleast_1d(seed), locations, blocks])
    stages = math.ceil(blocks * locations / PER_STAGE)
    while True:
        start, goal = _heights(random, locations, blocks), _heights(random, locations, blocks)
        if moves_between(start, goal) <= stages:
            return BlocksWorld(start, stages, goal)


def _heights(random, n, m):
    """Heights drawn evenly from all: n - 1 bars among m stars."""
    if n < 2 or m < 1:
        raise ProblemError(f"there are {n} locations and {m} blocks; expected 2 or more and 1 or more")
    bars = np.sort(random.choice(m + n - 1, n - 1, replace=False))
    return np.diff(np.concatenate(([-1], bars, [m + n - 1]))) - 1


def _exact_plays(worlds, seed):
    """`Play` of every world by exact control, and the processor time [s] that it took."""
    for world in worlds:
        began = time.process_time()
        play = world.run(world.exact().infer, seed=seed)
        if play.interrupted:
            raise KeyboardInterrupt
        yield play, time.process_time() - began


def _chain_plays(worlds, planner, seed, threads):
    """The same by approximate inference."""

    def within_reach(chains, heights, stages):
        return moves_between(heights, chains.goal) <= stages

    method, options = PLANNERS[planner]
    options = options | {"tolerance": TOLERANCE, "max_sweeps": SWEEPS, "max_outer": SWEEPS}
    chains = [world.chains() for world in worlds]
    return play_chains(chains, method, seed=seed, threads=threads, reachable=within_reach, **options)


def _converged(play):
    return all(one.status.solved for one in play.inferences if not one.exact)  # those out of reach are exact


def _rates(planner, worlds, plays, seed):
    world = worlds[0]
    ends = [np.array_equal(play.states[-1], one.goal) for (play, _), one in zip(plays, worlds, strict=True)]
    return GoalRates(
        planner,
        world.locations,
        world.blocks,
        world.stages,
        len(worlds),
        float(np.mean([_converged(play) for play, _ in plays])),
        float(np.mean(ends)),
        float(np.mean([seconds for _, seconds in plays])),
        float(np.mean([sum(one.sweeps for one in play.inferences) for play, _ in plays])),
        seed,
    )
