"""Random finite problems, for examples and checks."""

import numpy as np

from ppi_robotics.checks import check_count, check_seed
from ppi_robotics.discrete.mdp import FiniteMDP


def random_problem(seed=0, states=5, actions=3, stages=6):
    """A problem with changing transitions and costs, and a baseline.

    Transitions and baseline are drawn from Dirichlet(1) distributions, costs of stages and end uniformly from 0 to 1,
    in this order.

    Returns:
      `FiniteMDP` and the logarithms (T, S, A) of the baseline.

    Raises:
      ProblemError: if a size is below 1, or the seed negative.
    """
    for name, value in (("states", states), ("actions", actions), ("stages", stages)):
        check_count(value, name, 1)
    seed = check_seed(seed)
    rng = np.random.default_rng(seed)
    P = rng.dirichlet(np.ones(states), (stages, states, actions))
    rho = rng.dirichlet(np.ones(actions), (stages, states))
    cost = rng.uniform(size=(stages, states, actions))
    return FiniteMDP(P, cost, rng.uniform(size=states)), np.log(rho)
