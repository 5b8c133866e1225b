"""Exact KL control of blocks on a ring: messages over all ways to lay m blocks at n locations.

    beta_T(x) = 1, or 1 at the goal alone;   beta_t(x) = sum_a q(a) exp(-cost(x')) beta_{t+1}(x'),   x' = x after a
    log Z(x) = log beta_0(x),   p(a | x at t) ~ q(a) exp(-cost(x')) beta_{t+1}(x')

An action a = 3 k + l + 1 moves a block from location k to k + l, l = -1, 0, 1. There are C(m + n - 1, n - 1) states.
Turns and mirror images of the ring that leave the goal as it is change nothing, so that one state represents up to 2 n:
8 locations and 40 blocks have 62,891,499 states and 3,936,144 representatives.

Kappen, Gomez, Opper, *Optimal control as a graphical model inference problem* (Machine Learning, 2012), equations 5
to 7 and section 3.
"""

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from plants.blocks.composition_messages import History, backward, kept_in_full
from plants.blocks.kernels import exact as kernels
from plants.blocks.reached import Reached, TooMany, share_reached
from plants.blocks.ring import KEY_BITS, PART, Space, count_orbits, symmetries
from ppi_robotics.checks import (
    as_finite,
    as_wholes,
    check_choice,
    check_count,
    check_function,
    check_number,
    check_room,
    shown,
)
from ppi_robotics.discrete.beliefs import Inference
from ppi_robotics.discrete.kl_control import play
from ppi_robotics.errors import ProblemError
from ppi_robotics.solution import Status

MOST_NATS = 150_000.0  # of cost over all stages that wide numbers hold
MOST_PLACES = 2**31 - 1  # that a table holds
MOST_STEPS = 1e9  # of moves that a forecast adds up
CHARGED, FORBIDDEN = ("every", "last"), ("lost", "renormalized")


@dataclass(frozen=True)
class Size:
    """What an exact solution takes.

    Attributes:
      states: C(m + n - 1, n - 1), or those that can be reached.
      orbits: of them that represent the others.
      bytes: of memory, at the peak.
    """

    states: int
    orbits: int
    bytes: int


def size_of(locations, blocks, stages, goal=None):
    """`Size` of a problem, before anything is done."""
    for name, value, most in (
        ("locations", locations, 10_000),
        ("blocks", blocks, 1_000_000),
        ("stages", stages, 2**40),
    ):
        check_count(value, name, 1, most)
    goal = None if goal is None else as_wholes(goal, "goal", (locations,), 0)
    states = math.comb(blocks + locations - 1, locations - 1)
    orbits = count_orbits(locations, blocks, symmetries(locations, goal))
    fixed = 8 * 4 + 4 * 2 * locations + 8  # keys, weights, two layers of messages; moves; table
    return Size(states, orbits, orbits * fixed + (stages + 1) * orbits * (8 if kept_in_full(orbits, stages) else 4))


def solve_compositions(start, stages, cost, goal=None, charged="every", forbidden="lost", memory=2e9, progress=None):
    """Solve the control of blocks on a ring exactly, from every start and at every stage.

    Where that takes more memory, states count that can be reached from the start in the moves there are, and lead to
    the goal; there are then no values of others.

    Args:
      start: heights (n,), whole numbers.
      stages: number of moves T.
      cost: of a location of every height (m + 1,); a state costs the sum over its locations.
      goal: heights (n,) to be met in the end, or None.
      charged: "every" state after a move costs, or the "last" alone.
      forbidden: the probability of moves from empty locations is "lost", or "renormalized" among the others.
      memory: bytes that may be used.
      progress: function of a few words, and of how much is done of how much.

    Returns:
      `CompositionControl`, an `Inference`.

    Raises:
      ProblemError: if an argument cannot be used, or what can be reached takes more memory.
    """
    start, cost = np.array(as_wholes(start, "start", (None,))), np.array(as_finite(cost, "cost"))
    goal = None if goal is None else as_wholes(goal, "goal")
    n, m = len(start), int(start.sum())
    _check(start, stages, cost, goal, charged, forbidden)
    memory = check_number(memory, "memory", least=0, most=math.inf)
    check_function(progress, "progress", "a few words, what is done and of how much")
    size, space, say = *_room(start, stages, goal, memory, progress or _silent), progress or _silent
    if space is None:
        space = Space.of(n, m, symmetries(n, goal), size.orbits, say)
    chance = np.full(2 * n + 1, 1.0 / (3 * n)) if forbidden == "lost" else 1.0 / (3 * n - np.arange(2 * n + 1))
    history, log_z = backward(space, stages, cost, goal, charged, chance, int(space.places(start)), say)
    for array in (start, cost, chance):
        array.setflags(write=False)
    solved = math.isfinite(log_z)
    return CompositionControl(
        log_partition=log_z,
        exact=True,
        status=Status.CONVERGED if solved else Status.CONTRADICTION,
        start=start,
        stages=stages,
        goal=goal,
        cost=cost,
        charged=charged,
        size=size,
        space=space,
        chance=chance,
        history=history,
    )


@dataclass(frozen=True, eq=False)
class Forecast:
    """Expectations under optimal control from the start.

    Attributes:
      heights: expected heights (T + 1, n).
      actions: probabilities (T, 3 n) of the actions.
      entropy: expected entropy (T + 1,) of the shares of the locations.
      single: probability (T + 1,) that all blocks are in one stack.
    """

    heights: np.ndarray
    actions: np.ndarray
    entropy: np.ndarray
    single: np.ndarray


@dataclass(frozen=True, eq=False, kw_only=True)
class CompositionControl(Inference):
    """Exact optimal control of blocks, from every start and at every stage.

    Attributes:
      start, stages, goal, cost, charged: as given.
      size: `Size`.
      space: `Space` of the states up to symmetry, or `Reached` ones.
      chance: probability (2 n + 1,) of an action where that many moves are forbidden.
      history: `History` of the messages beta.
    """

    start: np.ndarray
    stages: int
    goal: np.ndarray | None
    cost: np.ndarray
    charged: str
    size: Size
    space: Space | Reached = field(repr=False)
    chance: np.ndarray = field(repr=False)
    history: History = field(repr=False)

    def log_value(self, heights, t=0):
        """log beta_t: minus the optimal expected cost (...) of the stages that are left, at heights (..., n)."""
        t = check_count(t, "t", 0, self.stages)
        heights = self._heights(heights, t)
        return self.history.logs(t, self.space.places(heights))

    def probabilities(self, heights, t=0):
        """Optimal probabilities (..., 3 n) of the actions at stage t; nan where nothing leads on.

        Raises:
          ProblemError: if heights (..., n) do not fit the blocks, or t is no stage before the last.
        """
        t = check_count(t, "t", 0, self.stages - 1)
        heights = self._heights(heights, t)
        n, flat = self.space.locations, heights.reshape(-1, self.space.locations)
        logs = np.full((len(flat), n, 3), -np.inf)
        for k in range(n):
            for way in (-1, 1):
                there = np.flatnonzero(flat[:, k] > 0)
                moved = flat[there]
                moved[:, k] -= 1
                moved[:, (k + way) % n] += 1
                logs[there, k, way + 1] = self._ahead(moved, t + 1)
        logs[:, :, 1] = self._ahead(flat, t + 1)[:, None]
        logs = logs.reshape(len(flat), 3 * n)
        top = logs.max(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):
            p = np.exp(logs - top)
            p /= p.sum(axis=1, keepdims=True)
        return p.reshape(*heights.shape[:-1], 3 * n)

    def infer(self, heights, t, memory=None):
        """What `play` asks for: probabilities, this inference, no memory."""
        return self.probabilities(heights, t), self, memory

    def sample(self, count, seed=0):
        """Plans (count, T + 1, n) under optimal control from the start, by `play`."""
        count = check_count(count, "count", 1)
        check_room(count, 8 * (self.stages + 2) * self.space.locations, "count")
        if not self.status.solved:
            raise ProblemError("there are no plans to sample: no plan meets the goal")
        played = play(self.infer, self._step, np.tile(self.start, (count, 1)), self.stages, "sample", seed)
        return np.stack(played.states, axis=1)

    @cached_property
    def forecast(self):
        """`Forecast` of the states passed under optimal control.

        Raises:
          ProblemError: if there are too many states to add up, for which there is `sample`, or no plan meets the goal.
        """
        n, m, states = self.space.locations, self.space.blocks, self.size.states
        if states * 3 * n * self.stages > MOST_STEPS:
            raise ProblemError(
                f"{states} states for {self.stages} stages are too many to add up; sample plans by `sample`"
            )
        if not self.status.solved:
            raise ProblemError("there are no expectations: no plan meets the goal")
        plain = self.space.plain(states)
        heights = plain.rows
        places, costs = self.space.places(heights), np.append(plain.costs(self.cost), 0.0)
        linked, p = np.append(places, self.space.count), np.zeros((self.stages + 1, plain.count))
        p[0, plain.places(self.start)] = 1.0
        moved = np.zeros((self.stages, 2 * n + 1))
        for t in range(self.stages):
            charged = self.charged == "every" or t + 1 == self.stages
            logs = self.history.logs(t, places), self.history.logs(t + 1, linked) - charged * costs
            kernels.forward(plain.moves, self.chance, *logs, p[t], p[t + 1], moved[t])
            p[t + 1] /= p[t + 1].sum()  # short messages round
        share = heights / m
        entropy = -(share * np.log(np.where(share > 0.0, share, 1.0))).sum(axis=1)
        actions = np.empty((self.stages, n, 3))
        actions[:, :, ::2], actions[:, :, 1] = moved[:, :-1].reshape(-1, n, 2), moved[:, -1:] / n
        actions = actions.reshape(self.stages, 3 * n) / moved.sum(axis=1, keepdims=True)
        return Forecast(p @ heights, actions, p @ entropy, p @ (share == 1.0).any(axis=1))

    def _step(self, heights, actions):
        """Heights (B, n) after actions (B,)."""
        rows, k, way = np.arange(len(heights)), actions // 3, actions % 3 - 1
        moved = heights.copy()
        moved[rows, k] -= way != 0
        moved[rows, (k + way) % self.space.locations] += way != 0
        return moved

    def _ahead(self, heights, t):
        """log(exp(-cost) beta) of heights (B, n) at stage t."""
        charged = self.charged == "every" or t == self.stages
        return self.history.logs(t, self.space.places(heights)) - charged * self.cost[heights].sum(axis=1)

    def _heights(self, heights, t):
        n, m = self.space.locations, self.space.blocks
        array = as_wholes(heights, "heights", None, 0, m)
        if array.shape[-1:] != (n,) or not array.size or (array.sum(-1) != m).any():
            raise ProblemError(f"heights are {shown(heights)}; expected whole heights of {n} locations, {m} in sum")
        late = self.space.late(array, t)
        if late.any():
            raise ProblemError(
                f"heights {shown(array[late][0].tolist())} cannot be reached by stage {t}, and there was no memory for "
                "all states; solve from there"
            )
        return array


# -- parts -------------------------------------------------------------------------------------------------------------


def _check(start, stages, cost, goal, charged, forbidden):
    """Raise `ProblemError` unless a problem can be solved."""
    n, m = len(start), int(start.sum())
    if n < 2 or start.min() < 0 or m < 1 or start.max() > m:
        raise ProblemError(f"start is {shown(start)}; expected heights of two or more locations, and a block")
    stages = check_count(stages, "stages", 1)
    if goal is not None and (goal.shape != start.shape or goal.min() < 0 or goal.max() > m or goal.sum() != m):
        raise ProblemError(f"goal is {shown(goal)}; expected heights of {n} locations, {m} in sum")
    if cost.shape != (m + 1,):
        raise ProblemError(f"cost has shape {cost.shape}; expected finite costs of the heights 0 to {m}, ({m + 1},)")
    for name, value, known in (("charged", charged, CHARGED), ("forbidden", forbidden, FORBIDDEN)):
        check_choice(value, name, known)
    nats = stages * (n * np.abs(cost).max() + math.log(3 * n))
    if nats > MOST_NATS:
        raise ProblemError(
            f"costs may add up to {nats:.3g} over {stages} stages, more than {MOST_NATS:g}; lower the strength"
        )


def fits(start, stages, goal=None, memory=2e9):
    """Whether a problem can be solved in so many bytes; arguments as for `solve_compositions`."""
    try:
        _room(np.asarray(start), stages, goal, memory, _silent)
    except ProblemError:
        return False
    return True


def _room(start, stages, goal, memory, say):
    """`Size` of a problem, and the `Reached` states where all take more memory, else None.

    Raises:
      ProblemError: if those that can be reached do so as well.
    """
    n, m = len(start), int(start.sum())
    whole = size_of(n, m, stages, goal)
    if n * m.bit_length() <= KEY_BITS and whole.bytes <= memory and whole.orbits <= MOST_PLACES:
        return whole, None
    share = share_reached(start, stages) if goal is None else 0.0
    least = int(share * whole.states / 2)  # half as many, as it is an estimate
    if _bytes_of(least, 0, n, m, stages) <= memory:

        def enough(found, widest):
            return found < MOST_PLACES and _bytes_of(found, widest, n, m, stages) <= memory

        try:
            space = Reached.of(start, stages, goal, enough, say)
        except TooMany as error:
            least = error.args[0]
        else:
            states = space.count - 1
            return Size(states, states, _bytes_of(states, space.widest, n, m, stages)), space
    taken = f"and take {_in_words(whole.bytes)}, more than the {_in_words(memory)} allowed"
    if n * m.bit_length() > KEY_BITS:
        taken = f"of {n * m.bit_length()} bits, more than {KEY_BITS}"
    raise ProblemError(
        f"{m} blocks at {n} locations for {stages} stages have {whole.states} states, {whole.orbits} of them unlike, "
        f"{taken}, and {least} or more that can be reached, too many as well; allow more memory, or infer approximately"
    )


def _bytes_of(states, widest, n, most, stages):
    """Bytes at the peak for so many states that are reached, of which so many are at the same distance.

    A state has up to `most` piles, the blocks there are, that can move.
    """
    kept = 8 if kept_in_full(states, stages) else 4
    passing = max(80 * min(n, most) * widest, 24 * n * min(states, PART))
    return states * (16 * n + 80 + (stages + 1) * kept) + passing


def _in_words(size):
    return f"{size / 1e9:.2g} GB" if size >= 1e8 else f"{size / 1e6:.2g} MB"


def _silent(*_):
    """No progress."""
