"""KL control: act on the marginals of inference, and infer again on the stages that are left.

    p(a_t | x_t)  =  sum over all later states of  psi(x_t, a_t, x_{t+1}, ...) / Z(x_t)

with psi the uncontrolled process times exp(-cost). What infers, exactly or approximately, is the caller's choice.

Kappen, Gomez, Opper, *Optimal control as a graphical model inference problem* (Machine Learning, 2012), equations 5
to 7.
"""

from dataclasses import dataclass

import numpy as np

from ppi_robotics.errors import ProblemError
from ppi_robotics.solution import Status

CHOICES = ("map", "sample")
TIES = 1e-6  # relative difference of probabilities that counts as none


@dataclass(frozen=True, eq=False)
class Play:
    """What acting on inferred probabilities did.

    Attributes:
      states: the states passed, the start first.
      actions: what was done between them.
      probabilities: of the actions, at every stage.
      inferences: `Inference` of every stage.
      seed: of ties and samples.
    """

    states: tuple
    actions: tuple
    probabilities: tuple
    inferences: tuple
    seed: int

    @property
    def status(self):
        """CONVERGED if every inference was, else the first other `Status`; a contradiction ends the play."""
        return next((one.status for one in self.inferences if not one.status.solved), Status.CONVERGED)


def play(infer, step, start, horizon, choice="map", seed=0, progress=None):
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
      `Play`; shorter than the horizon if inference ended in a contradiction.

    Raises:
      ProblemError: if choice is unknown.
    """
    if choice not in CHOICES:
        raise ProblemError(f"choice is {choice!r}; expected one of {', '.join(CHOICES)}")
    random = np.random.Generator(np.random.Philox(seed))
    states, actions, chances, inferences, memory = [start], [], [], [], None
    for t in range(horizon):
        probabilities, inference, memory = infer(states[-1], t, memory)
        inferences.append(inference)
        if inference.status is Status.CONTRADICTION:
            break
        action = pick(probabilities, random, choice)
        states.append(step(states[-1], action))
        actions.append(action)
        chances.append(probabilities)
        if progress is not None:
            progress(t + 1, horizon)
    return Play(tuple(states), tuple(actions), tuple(chances), tuple(inferences), seed)


def pick(probabilities, random, choice="map"):
    """Actions (...) by their probabilities (..., A): the most probable ones, ties at random, or samples."""
    p = np.asarray(probabilities, dtype=float)
    if choice == "map":
        p = (p >= (1.0 - TIES) * p.max(axis=-1, keepdims=True)).astype(float)
    sums = np.cumsum(p, axis=-1)
    level = random.random(p.shape[:-1])[..., None] * sums[..., -1:]
    return (sums <= level).sum(axis=-1)
