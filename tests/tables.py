"""Slow sums over all trajectories of small finite problems."""

import itertools
import math

import numpy as np


def trajectories(mdp, log_policy, start):
    """Probability, cost and first action of every trajectory from a state."""
    policy, T = np.exp(log_policy), len(log_policy)
    dense, costs = [mdp.dense(t) for t in range(T)], [mdp.at(t)[1] for t in range(T)]
    for actions in itertools.product(range(mdp.actions), repeat=T):
        for states in itertools.product(range(mdp.states), repeat=T):
            mass, cost, x = 1.0, 0.0, start
            for t in range(T):
                mass *= policy[t, x, actions[t]] * dense[t][x, actions[t], states[t]]
                cost += costs[t][x, actions[t]]
                x = states[t]
            yield mass, cost + mdp.terminal[x], actions[0]


def entropic(mdp, log_policy, weight, start):
    """-(1 / weight) log E exp(-weight C) from a state, by the sum over all trajectories."""
    return -math.log(math.fsum(p * math.exp(-weight * c) for p, c, _ in trajectories(mdp, log_policy, start))) / weight
