"""The blocks world as a factor graph: what moves, how every height changes, and the heights.

    prod_t  q(k^t) q(l^t)  prod_i  s_i^t(k^t, l^t)  [x_i^t = x_i^{t-1} + s_i^t]  exp(-cost(x_i^t))

Kappen, Gomez, Opper, *Optimal control as a graphical model inference problem* (Machine Learning, 2012), section 3.1.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ppi_robotics import ProblemError
from ppi_robotics.discrete import FactorGraph, GraphBeliefs, IndexMap, Table

if TYPE_CHECKING:
    from plants.blocks.world import BlocksWorld


@dataclass(frozen=True, eq=False)
class BlocksGraph:
    """Factor graph of a `BlocksWorld`, start and goal clamped, and which variable is which.

    Attributes:
      graph: `FactorGraph`.
      moves: variables of the move of every stage, (T, 2) of location k and direction l + 1, or merged (T, 1) of the
        action.
      steps: changes of heights s_i + 1 (T, n).
      heights: x_i (T + 1, n), the start first.
    """

    graph: FactorGraph
    moves: np.ndarray
    steps: np.ndarray
    heights: np.ndarray

    def actions(self, found: GraphBeliefs, stage: int = 0) -> np.ndarray:
        """Probabilities (3 n,) of the actions of a stage, from the `GraphBeliefs` of inference in the graph."""
        return found.joint(*map(int, self.moves[stage])).ravel()


def blocks_graph(world: "BlocksWorld", merged: bool = False) -> BlocksGraph:
    """`BlocksGraph` of a world; merged has one variable of 3 n actions at a stage in place of location and direction.

    Raises:
      ProblemError: if the world renormalizes forbidden moves, which depends on all heights at once.
    """
    if world.forbidden != "lost":
        raise ProblemError(
            f"forbidden is {world.forbidden!r}, which has no factors of a few heights; expected a world that has 'lost'"
        )
    T, n, m = world.stages, world.locations, world.blocks
    moving = (3 * n,) if merged else (n, 3)
    sizes, names = [m + 1] * n, [f"x{i} at 0" for i in range(n)]
    for t in range(1, T + 1):
        sizes += [*moving, *[3] * n, *[m + 1] * n]
        names += [f"{name} at {t}" for name in (("a",) if merged else ("k", "l"))]
        names += [f"{name}{i} at {t}" for name in "sx" for i in range(n)]
    width = len(moving)
    columns = n + np.arange(T * (width + 2 * n)).reshape(T, -1)
    moves, steps = columns[:, :width], columns[:, width : width + n]
    heights = np.vstack((np.arange(n), columns[:, width + n :]))
    changes, change = np.moveaxis(world.shifts.reshape(*moving, n), -1, 0) + 1, np.arange(3) - 1
    height = np.arange(m + 1)[:, None] + change
    height[(height < 0) | (height > m)] = -1
    factors = []
    for t in range(T):
        factors += [Table((v,), np.full(size, -np.log(size))) for v, size in zip(moves[t], moving, strict=True)]
        for i in range(n):
            factors.append(IndexMap(moves[t], steps[t, i], changes[i]))
            factors.append(IndexMap((heights[t, i], steps[t, i]), heights[t + 1, i], height))
        if world.strength and (world.charged == "every" or t == T - 1):
            factors += [Table((x,), -world.cost) for x in heights[t + 1]]
    held = dict(zip(heights[0], world.start, strict=True))
    if world.goal is not None:
        held |= dict(zip(heights[-1], world.goal, strict=True))
    return BlocksGraph(FactorGraph(sizes, factors, names).clamp(held), moves, steps, heights)
