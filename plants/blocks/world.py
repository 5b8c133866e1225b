"""Blocks on a ring: one block at a time moves to a neighboring location; a goal is to be met, or the piles to be few.

Kappen, Gomez, Opper, *Optimal control as a graphical model inference problem* (Machine Learning, 2012), section 3.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from plants.blocks.chains import CoupledChains
from plants.blocks.exact import CHARGED, FORBIDDEN, CompositionControl, solve_compositions
from plants.blocks.factor_graph import BlocksGraph, blocks_graph
from plants.blocks.states import height_changes, moves_between
from ppi_robotics import ProblemError
from ppi_robotics.checks import as_wholes, check_choice, check_count, check_flag, check_number, shown
from ppi_robotics.discrete import Play, play

NORMS = ("blocks", "locations")  # what heights are divided by in the entropy
MOST_LOCATIONS, MOST_BLOCKS = 2000, 1_000_000


class BlocksWorld:
    """Heights x of n locations on a ring, of m blocks in sum, for T moves.

    A move draws a location k and a direction l of -1, 0, 1, all pairs with the same probability. With l = 0 nothing
    happens, else the top block of k goes to k + l; an empty k forbids it. Action a = 3 k + l + 1.

    The cost of a state is strength times the entropy of the heights, -sum_i p_i log p_i with p_i = x_i / m (or x_i / n,
    equation 16 of the paper being readable either way); a goal has to be met at the end.

    Attributes:
      start: heights (n,) at stage 0.
      goal: heights (n,) at stage T, or None.
      locations, blocks, stages, actions: n, m, T and 3 n.
      shifts: change of height (3 n, n) by every action.
      cost: of a location of every height (m + 1,), charged at the states that `charged` says.

    Args:
      start: heights, whole numbers that are not negative.
      stages: number of moves T.
      goal: heights with the same sum.
      strength: of the cost of entropy, 0 for none; negative rewards it.
      norm: "blocks" for x / m, "locations" for x / n.
      charged: "every" state after a move, or the "last" alone.
      forbidden: "lost" leaves out the probability of forbidden moves, as the factors of the paper do; "renormalized"
        shares it among the others.

    Raises:
      ProblemError: if heights are no counts, start and goal differ in blocks or locations, the goal is too far, or an
        option is unknown.
    """

    def __init__(
        self,
        start: ArrayLike,
        stages: int,
        goal: ArrayLike | None = None,
        strength: float = 0.0,
        norm: str = "blocks",
        charged: str = "every",
        forbidden: str = "lost",
    ) -> None:
        check_choice(norm, "norm", NORMS)
        check_choice(charged, "charged", CHARGED)
        check_choice(forbidden, "forbidden", FORBIDDEN)
        self.stages, self.strength = check_count(stages, "stages", 1), check_number(strength, "strength")
        self.start = _heights(start, "start")
        self.norm, self.charged, self.forbidden = norm, charged, forbidden
        self.locations, self.blocks = len(self.start), int(self.start.sum())
        self.goal = None if goal is None else _heights(goal, "goal")
        if self.goal is not None:
            self._check_goal()
        self.actions = 3 * self.locations
        self.shifts = height_changes(self.locations).reshape(self.actions, self.locations)
        self.shifts.setflags(write=False)
        p = np.arange(self.blocks + 1) / (self.blocks if norm == "blocks" else self.locations)
        self.cost = -self.strength * p * np.log(np.where(p > 0, p, 1.0))

    def _check_goal(self):
        if len(self.goal) != self.locations:
            raise ProblemError(f"goal has {len(self.goal)} locations and start {self.locations}; give as many")
        if self.goal.sum() != self.blocks:
            raise ProblemError(f"goal has {self.goal.sum()} blocks and start {self.blocks}; give as many")
        least = moves_between(self.start, self.goal)
        if least > self.stages:
            raise ProblemError(f"the goal is {least} moves away and there are {self.stages}; give {least} or more")

    def after(self, start: ArrayLike, stages: int) -> "BlocksWorld":
        """The same world from other heights for other stages, for instance those that are left.

        Raises:
          ProblemError: as the class.
        """
        return BlocksWorld(start, stages, self.goal, self.strength, self.norm, self.charged, self.forbidden)

    def step(self, heights: ArrayLike, action: int) -> np.ndarray:
        """Heights (n,) after an action.

        Raises:
          ProblemError: if there is no block to move.
        """
        moved = self._state(heights) + self.shifts[check_count(action, "action", 0, self.actions - 1)]
        if moved.min() < 0:
            raise ProblemError(f"action {action} moves a block of an empty location of {shown(heights)}")
        return moved

    def allowed(self, heights: ArrayLike) -> np.ndarray:
        """Which actions (3 n,) do not move a block of an empty location."""
        return (self._state(heights) + self.shifts).min(axis=1) >= 0

    def _state(self, heights):
        return as_wholes(heights, "heights", (self.locations,), 0, self.blocks)

    def graph(self, merged: bool = False) -> BlocksGraph:
        """The world as a factor graph, `plants.blocks.factor_graph.BlocksGraph`.

        Args:
          merged: one variable of 3 n actions at a stage in place of location and direction.

        Raises:
          ProblemError: if forbidden is "renormalized", which depends on all heights at once.
        """
        return blocks_graph(self, check_flag(merged, "merged"))

    def entropy_cost(self, heights: ArrayLike) -> np.ndarray:
        """Cost of states (..., n), wherever it is charged."""
        return self.cost[as_wholes(heights, "heights", None, 0, self.blocks)].sum(axis=-1)

    def path_cost(self, states: ArrayLike) -> float:
        """Cost of the states (T + 1, n) of a plan, and -log q of its moves: log 3 to stay, log 3 n of a move.

        Its expectation under the optimal probabilities is larger than -log Z, by their entropy.
        """
        states = as_wholes(states, "states", (None, self.locations), 0, self.blocks)
        charged = states[1:] if self.charged == "every" else states[len(states) - 1 :]
        moved = sum(self._surprise(*pair) for pair in zip(states[:-1], states[1:], strict=True))
        return float(self.entropy_cost(charged).sum()) + moved

    def _surprise(self, before, after):
        allowed = self.allowed(before)
        same = allowed & (self.shifts == after - before).all(axis=1)
        return float(np.log((allowed.sum() if self.forbidden == "renormalized" else self.actions) / same.sum()))

    def exact(self, memory: float = 2e9, progress: Callable[..., object] | None = None) -> CompositionControl:
        """The optimal control, exactly: `plants.blocks.CompositionControl`.

        Args:
          memory: bytes that may be used.
          progress: function of a few words, and of how much is done of how much.

        Raises:
          ProblemError: if that takes more memory.
        """
        return solve_compositions(
            self.start, self.stages, self.cost, self.goal, self.charged, self.forbidden, memory, progress
        )

    def run(
        self,
        infer: Callable[..., tuple[Any, ...]],
        choice: str = "map",
        seed: int = 0,
        progress: Callable[..., object] | None = None,
    ) -> Play:
        """A plan from the start by inference at every stage: `ppi_robotics.discrete.Play`.

        Args:
          infer: function of heights (n,), stage and memory, see `ppi_robotics.discrete.play`: `exact().infer`,
            or what `plants.blocks.receding` makes of `chains()`.
          choice, seed, progress: as of `play`.
        """
        return play(infer, self.step, self.start, self.stages, choice, seed, progress)

    def chains(self) -> CoupledChains:
        """The world as `plants.blocks.CoupledChains`, which ignore that heights keep their sum.

        Raises:
          ProblemError: if forbidden is "renormalized", which would couple all locations.
        """
        if self.forbidden == "renormalized":
            raise ProblemError(
                "forbidden is 'renormalized', which couples all locations; choose 'lost', or solve it exactly"
            )
        charged = np.ones(self.stages) if self.charged == "every" else np.arange(self.stages) == self.stages - 1
        prior = np.full(self.actions, -np.log(self.actions))
        weights = -np.outer(charged, self.cost)
        return CoupledChains(self.start, self.shifts, prior, weights, self.goal, (self.locations, 3))


def _heights(given, name):
    array = as_wholes(given, name, (None,))
    if not 2 <= len(array) <= MOST_LOCATIONS:
        raise ProblemError(f"{name} is {shown(given)}; expected whole heights of two to {MOST_LOCATIONS} locations")
    if array.min() < 0 or array.sum() < 1 or array.max() > MOST_BLOCKS:
        raise ProblemError(f"{name} is {shown(given)}; expected heights that are not negative, and a block")
    array.setflags(write=False)
    return array
