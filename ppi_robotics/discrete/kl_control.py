"""KL control: act on the marginals of inference, and infer again on the stages that are left.

    p(a_t | x_t)  =  sum over all later states of  psi(x_t, a_t, x_{t+1}, ...) / Z(x_t)

with psi the uncontrolled process times exp(-cost). What infers, exactly or approximately, is the caller's choice.

Kappen, Gomez, Opper, *Optimal control as a graphical model inference problem* (Machine Learning, 2012), equations 5
to 7.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ppi_robotics.checks import (
    as_finite,
    as_wholes,
    check_choice,
    check_count,
    check_flag,
    check_function,
    check_instance,
    check_seed,
    shown,
)
from ppi_robotics.discrete.beliefs import GraphBeliefs, Inference
from ppi_robotics.discrete.factor_graph import FactorGraph, Table
from ppi_robotics.discrete.junction_trees import junction_tree
from ppi_robotics.errors import ProblemError
from ppi_robotics.interruption import Held
from ppi_robotics.solution import Status

CHOICES = ("map", "sample")
ENDS = (Status.CONTRADICTION, Status.INTERRUPTED)  # of inference, after which there is nothing to act on
TIES = 1e-6  # relative difference of probabilities that counts as none


@dataclass(frozen=True, eq=False)
class Play:
    """States and actions of a controlled run, and the inferences that they follow from.

    Attributes:
      states: visited, the start first.
      actions: taken between them.
      probabilities: of the actions, at every stage.
      inferences: `Inference` of every stage.
      seed: of ties and samples.
      interrupted: whether Ctrl-C was pressed; the stages are those finished by then.
    """

    states: tuple[Any, ...]
    actions: tuple[Any, ...]
    probabilities: tuple[np.ndarray, ...]
    inferences: tuple[Inference, ...]
    seed: int
    interrupted: bool = False

    @property
    def status(self) -> Status:
        """CONVERGED if every inference was, else the first other `Status`; contradiction and Ctrl-C end the play."""
        return next((one.status for one in self.inferences if not one.status.solved), Status.CONVERGED)


def play(
    infer: Callable[[Any, int, Any], tuple[Any, Inference, Any]],
    step: Callable[[Any, Any], Any],
    start: Any,
    horizon: int,
    choice: str = "map",
    seed: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> Play:
    """Control a process for some stages by inference on the stages that are left.

    Args:
      infer: function of a state, the stage from 0, and what its last call returned as memory, None at first; returns
        probabilities of actions (..., A), the `Inference`, and a memory, such as messages to start from next.
      step: function of a state and actions (...) that returns the next state.
      start: the first state.
      horizon: number of stages.
      choice: "map" takes the most probable action, any of those that tie; "sample" draws one.
      seed: of both.
      progress: function of the number of stages done and of the horizon.

    Returns:
      `Play`; shorter than the horizon if inference ended in a contradiction or by Ctrl-C.

    Raises:
      ProblemError: if choice is unknown.
    """
    check_choice(choice, "choice", CHOICES)
    for name, function in (("infer", infer), ("step", step)):
        if not callable(function):
            raise ProblemError(f"{name} is {shown(function)}; expected a function")
    horizon = check_count(horizon, "horizon", 0)
    seed = check_seed(seed)
    check_function(progress, "progress", "stages done and the horizon")
    random = np.random.Generator(np.random.Philox(seed))
    states, actions, chances, inferences, memory = [start], [], [], [], None
    with Held() as hold:
        for t in range(horizon):
            try:
                probabilities, inference, memory = infer(states[-1], t, memory)
            except KeyboardInterrupt:
                if hold.insisted or not hold.pressed:
                    raise
                break
            inferences.append(inference)
            if inference.status in ENDS:
                break
            action = pick(probabilities, random, choice)
            states.append(step(states[-1], action))
            actions.append(action)
            chances.append(probabilities)
            if progress is not None:
                progress(t + 1, horizon)
            if hold.pressed:
                break
    return Play(tuple(states), tuple(actions), tuple(chances), tuple(inferences), seed, hold.pressed)


def on_graph(
    graph: FactorGraph,
    states: ArrayLike,
    actions: ArrayLike,
    method: Callable[..., GraphBeliefs] = junction_tree,
    warm: bool = False,
    **options: Any,
) -> Callable[[Any, int, Any], tuple[Any, GraphBeliefs, Any]]:
    """Inference in a factor graph for `play`: visited states are clamped, and the stages that are left are inferred.

    Args:
      graph: `FactorGraph` of a Markov chain.
      states: variables (T + 1, n) of the state at every stage.
      actions: variables (T, d) of the action at every stage, which share a factor or region.
      method: `junction_tree`, `belief_propagation`, `double_loop`, or another function of a graph.
      warm: begin at the messages of the stage before, with the method's `start`.
      **options: of the method.

    Returns:
      Function of a state (n,), a stage and a memory; the probabilities (A,) are of the actions in mixed radix.

    Raises:
      ProblemError: if there are not as many stages of states and actions as fit each other.
    """
    last = len(check_instance(graph, "graph", FactorGraph).sizes) - 1
    states, actions = as_wholes(states, "states", None, 0, last), as_wholes(actions, "actions", None, 0, last)
    check_flag(warm, "warm")
    if not callable(method):
        raise ProblemError(f"method is {shown(method)}; expected a function such as junction_tree")
    if states.ndim != 2 or actions.ndim != 2 or len(states) != len(actions) + 1:
        raise ProblemError(f"states has shape {states.shape}, actions {actions.shape}; expected (T + 1, n) and (T, d)")

    def infer(state, t, memory):
        held, start = ({}, None) if memory is None else memory
        held = held | dict(zip(states[t].tolist(), map(int, state), strict=True))
        found = method(_held(graph, states.ravel(), held), **options | ({"start": start} if warm else {}))
        p = None if found.status in ENDS else found.joint(*actions[t].tolist()).ravel()
        return p, found, (held, found)

    return infer


def _held(graph, variables, held):
    """The graph with a table for each of some variables, of one value if it is held: one structure at all stages."""
    tables = [
        Table.of_weights((v,), np.arange(graph.sizes[v]) == held[v] if v in held else np.ones(graph.sizes[v]))
        for v in variables.tolist()
    ]
    return FactorGraph(graph.sizes, (*graph.factors, *tables), graph.names)


def pick(probabilities: ArrayLike, random: np.random.Generator, choice: str = "map") -> np.ndarray:
    """Actions (...) by their probabilities (..., A): the most probable ones, ties at random, or samples."""
    p = as_finite(probabilities, "probabilities")
    check_choice(choice, "choice", CHOICES)
    check_instance(random, "random", np.random.Generator)
    if not p.size or not p.ndim or (p < 0).any():
        raise ProblemError(f"probabilities is {shown(probabilities)}; expected (..., A) numbers, 0 or more")
    if choice == "map":
        p = (p >= (1.0 - TIES) * p.max(axis=-1, keepdims=True)).astype(float)
    sums = np.cumsum(p, axis=-1)
    level = random.random(p.shape[:-1])[..., None] * sums[..., -1:]
    return (sums <= level).sum(axis=-1)
