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
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from plants.blocks.kernels import exact as kernels
from plants.blocks.sizes import Size, kept_in_full, size_within
from plants.blocks.states import AllStates, ReachableStates, parts, symmetries
from ppi_robotics import ProblemError, Status
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
from ppi_robotics.discrete import Inference, play
from ppi_robotics.interruption import check
from ppi_robotics.parallel import in_threads

MOST_NATS = 150_000.0  # of cost over all stages that wide numbers hold
MOST_STEPS = 1e9  # of moves that a forecast adds up
CHARGED = ("every", "last")  # states that the cost counts for
FORBIDDEN = ("lost", "renormalized")  # what becomes of the probability of moves that an empty location forbids


def solve_compositions(
    start: ArrayLike,
    stages: int,
    cost: ArrayLike,
    goal: ArrayLike | None = None,
    charged: str = "every",
    forbidden: str = "lost",
    memory: float = 2e9,
    progress: Callable[..., object] | None = None,
) -> "CompositionControl":
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
    say = progress or (lambda *_: None)
    size, space = size_within(start, stages, goal, memory, say)
    if space is None:
        space = AllStates.of(n, m, symmetries(n, goal), size.orbits, say)
    chance = np.full(2 * n + 1, 1.0 / (3 * n)) if forbidden == "lost" else 1.0 / (3 * n - np.arange(2 * n + 1))
    history, log_z = backward_pass(space, stages, cost, goal, charged, chance, int(space.places(start)), say)
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


# -- messages over the states ------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class History:
    """Messages of every stage as wide numbers, or shortened to 32 bits.

    Attributes:
      numbers: (T + 1, N).
      base: exponents (T + 1,) that they count from.
      mantissa: bits (T + 1,) of their mantissas.
    """

    numbers: np.ndarray
    base: np.ndarray
    mantissa: np.ndarray

    def logs(self, t: int, places: ArrayLike) -> np.ndarray:
        """Logarithms of messages at places, of which N stands for no state."""
        row, bits = self.numbers[t], int(self.mantissa[t])
        places = np.asarray(places)
        there = places < len(row)
        wide = row[np.where(there, places, 0)].astype(np.int64) * there
        mantissa = 1.0 + (wide & ((1 << bits) - 1)) / (1 << bits)
        power = (wide >> bits) + (int(self.base[t]) - kernels.BIAS)
        return np.where(wide > 0, np.log(mantissa) + power * math.log(2.0), -np.inf)


def backward_pass(space, stages, cost, goal, charged, chance, start, say) -> tuple[History, float]:
    """Messages of all stages over the states, and log Z at the place of the start."""
    N = space.count
    weights, message, layers = np.empty(N, dtype=np.int64), np.empty(N, dtype=np.int64), np.zeros((2, N + 1), np.int64)
    kernels.widen_exponentials(-space.costs(cost), weights)
    message[:] = kernels.BIAS << kernels.MANTISSA
    if goal is not None:
        message[np.arange(N) != space.places(goal)] = 0
    message[N - space.outside :] = 0
    ahead, out = layers
    ahead[:N] = np.where(message > 0, weights, 0)  # at the last stage messages are 0 or 1
    history = _history(N, stages)
    _keep(history, stages, message, (kernels.BIAS, kernels.BIAS))
    weights = weights if charged == "every" else weights[:0]
    for t in reversed(range(stages)):
        check()

        def part(ends, ahead=ahead, out=out):
            return kernels.backward(*ends, space.moves, chance, weights, ahead, message, out)

        lows, highs = zip(*in_threads(part, parts(N)), strict=True)
        _keep(history, t, message, (min(lows), max(highs)))
        ahead, out = out, ahead
        say("messages", stages - t, stages)
    own = History(message[None], np.zeros(1, dtype=np.int64), np.full(1, kernels.MANTISSA))
    return history, float(own.logs(0, start))


def _history(N, stages):
    dtype = np.int64 if kept_in_full(N, stages) else np.uint32
    base = np.zeros(stages + 1, dtype=np.int64)
    return History(np.empty((stages + 1, N), dtype), base, np.full(stages + 1, kernels.MANTISSA))


def _keep(history, t, message, exponents):
    """Enter a message whose exponents lie between two."""
    row = history.numbers[t]
    if row.dtype == np.int64:
        row[:] = message
        return
    low, high = exponents
    history.base[t] = low - 1  # so that no number but 0 becomes 0
    history.mantissa[t] = bits = 31 - max(high - low + 2, 1).bit_length()

    def part(ends):
        kernels.shorten(*ends, message, low - 1, kernels.MANTISSA - bits, row)

    for _ in in_threads(part, parts(len(row))):
        pass


# -- control -----------------------------------------------------------------------------------------------------------


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
      space: `AllStates` up to symmetry, or `ReachableStates`.
      chance: probability (2 n + 1,) of an action where that many moves are forbidden.
      history: `History` of the messages beta.
    """

    start: np.ndarray
    stages: int
    goal: np.ndarray | None
    cost: np.ndarray
    charged: str
    size: Size
    space: AllStates | ReachableStates = field(repr=False)
    chance: np.ndarray = field(repr=False)
    history: History = field(repr=False)

    def log_value(self, heights: ArrayLike, t: int = 0) -> np.ndarray:
        """log beta_t: minus the optimal expected cost (...) of the stages that are left, at heights (..., n)."""
        t = check_count(t, "t", 0, self.stages)
        heights = self._heights(heights, t)
        return self.history.logs(t, self.space.places(heights))

    def probabilities(self, heights: ArrayLike, t: int = 0) -> np.ndarray:
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

    def infer(self, heights: ArrayLike, t: int, memory: object = None) -> tuple[Any, ...]:
        """What `play` asks for: probabilities, this inference, no memory."""
        return self.probabilities(heights, t), self, memory

    def sample(self, count: int, seed: int = 0) -> np.ndarray:
        """Plans (count, T + 1, n) under optimal control from the start, by `play`."""
        count = check_count(count, "count", 1)
        check_room(count, 8 * (self.stages + 2) * self.space.locations, "count")
        if not self.status.solved:
            raise ProblemError("there are no plans to sample: no plan meets the goal")
        played = play(self.infer, self._step, np.tile(self.start, (count, 1)), self.stages, "sample", seed)
        if played.interrupted:
            raise KeyboardInterrupt
        return np.stack(played.states, axis=1)

    @cached_property
    def forecast(self) -> Forecast:
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
        plain = self.space.without_symmetries(states)
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
        late = self.space.out_of_reach(array, t)
        if late.any():
            raise ProblemError(
                f"heights {shown(array[late][0].tolist())} cannot be reached by stage {t}, and there was no memory for "
                "all states; solve from there"
            )
        return array
