"""Simulated trajectories of finite decision processes, for path integrals and for learning.

Learning is Psi-learning, Q-learning or dynamic policy programming (DPP):

    Q:    Q(x, u)   += a (c + gamma min Q(y, .) - Q(x, u))
    Psi:  Psi(x, u) += a (-eta c + gamma bar Psi(y) - bar Psi(x)),   bar Psi(x) = log sum_u exp Psi(x, u)
    DPP:  the same with the mean of Psi(x, .) under exp(Psi - bar Psi) in place of bar Psi

a = c / (c + k) after k transitions. Random numbers come from the seed, the trial and the number of the transition.
"""

import math

import numpy as np
from numba import uint64

from ppi_robotics.kernels.jit import njit
from ppi_robotics.kernels.scalar import float_of, threefry
from ppi_robotics.streams import CHAINS, MOVES, RESETS

OPTIONS = {"nogil": True, "error_model": "numpy"}
ONE = uint64(0x3FF0000000000000)  # bits of the number 1
Q, PSI, DPP = 0, 1, 2


# -- sampled trajectories ----------------------------------------------------------------------------------------------


@njit(**OPTIONS)
def running_sums(indptr, data, out):
    """out: sums of data along each row up to an entry, itself included."""
    for row in range(indptr.shape[0] - 1):
        total = 0.0
        for k in range(indptr[row], indptr[row + 1]):
            total += data[k]
            out[k] = total


@njit(forceinline=True, error_model="numpy")
def unit(word):
    """A number from 0 to below 1 from 64 random bits."""
    return float_of((word >> uint64(12)) | ONE) - 1.0


@njit(forceinline=True, error_model="numpy")
def drawn(sums, start, stop, number):
    """The entry of start to stop - 1 whose running sum is the first above number times the last sum."""
    number *= sums[stop - 1]
    low, high = start, stop - 1
    while low < high:
        middle = (low + high) // 2
        if sums[middle] > number:
            high = middle
        else:
            low = middle + 1
    return low


@njit(**OPTIONS)
def roll(seed, first, x, t, indptr, indices, sums, shared, choices, cost, ends, terminal, total, actions):
    """Costs (N,) and first actions (N,) of trajectories of samples first, first + 1, ... from state x at stage t.

    `sums` are running sums along the rows of all stages, one after the other, or of one stage if `shared`; `choices`
    (T, S, A) running sums of the policy's probabilities, `cost` (T, S, A).
    """
    T, S, A = choices.shape
    for n in range(total.shape[0]):
        state, value, actions[n] = x, 0.0, 0
        for s in range(t, T):
            if ends[state]:
                break
            a, b = threefry(seed, CHAINS, uint64(first + n), uint64(s))
            u = drawn(choices[s, state], 0, A, unit(a))
            if s == t:
                actions[n] = u
            value += cost[s, state, u]
            row = (0 if shared else s * S * A) + state * A + u
            state = indices[drawn(sums, indptr[row], indptr[row + 1], unit(b))]
        total[n] = value + terminal[state]


# -- learning ----------------------------------------------------------------------------------------------------------


@njit(**OPTIONS)
def policy_row(table, actions, first, last, scale, chances):
    """chances of exp(scale * table) over the entries first to last; returns the logarithm of their sum."""
    top = -np.inf
    for k in range(first, last):
        top = max(top, scale * table[actions[k]])
    total = 0.0
    for k in range(first, last):
        chances[k - first] = math.exp(scale * table[actions[k]] - top)
        total += chances[k - first]
    for k in range(last - first):
        chances[k] /= total
    return top + math.log(total)


@njit(**OPTIONS)
def summary(kind, table, actions, first, last, eta, chances):
    """What stands for a row of the table: minimum of Q, bar Psi, or mean of Psi."""
    if kind == Q:
        least = np.inf
        for k in range(first, last):
            least = min(least, table[actions[k]])
        return least
    total = policy_row(table, actions, first, last, 1.0, chances)
    if kind == PSI:
        return total
    mean = 0.0
    for k in range(first, last):
        mean += chances[k - first] * table[actions[k]]
    return mean


@njit(**OPTIONS)
def draw_entry(chances, count, number):
    """The entry of cumulative probability above a number in [0, 1)."""
    total = 0.0
    for k in range(count - 1):
        total += chances[k]
        if number < total:
            return k
    return count - 1


@njit(**OPTIONS)
def learn(kind, online, how, model, seed, trial, truth, every, table, bar, errors):
    """Update table (S, A) and its row summaries bar (S,) over transitions; fill errors (n,), one for `every` of them.

    `how` holds eta, the c of step sizes, and steps until a reset; `model` indptr, indices and data of transitions,
    costs (S, A), allowed actions as indptr and indices, absorbing, terminal cost, starts, and discount.
    """
    eta, slowness, patience = how
    indptr, indices, data, cost, choice, actions, ends, terminal, starts, gamma = model
    chances, sign = np.empty(cost.shape[1]), 1.0 if kind == Q else -eta
    largest = np.abs(truth).max()
    key, number = uint64(seed), uint64(trial)
    x, age = -1, 0
    for k in range(errors.shape[0] * every):
        if x < 0 or ends[x] or age == patience:
            a, _ = threefry(key, RESETS, number, uint64(k))
            x, age = starts[min(int(unit(a) * starts.shape[0]), starts.shape[0] - 1)], 0
        a, b = threefry(key, MOVES, number, uint64(k))
        first, last = choice[x], choice[x + 1]
        if online:
            policy_row(table[x], actions, first, last, -eta if kind == Q else 1.0, chances)
            u = actions[first + draw_entry(chances, last - first, unit(a))]
        else:
            u = actions[first + min(int(unit(a) * (last - first)), last - first - 1)]
        row = x * cost.shape[1] + u
        y = indices[indptr[row] + draw_entry(data[indptr[row] :], indptr[row + 1] - indptr[row], unit(b))]
        step = slowness / (slowness + k)
        now = table[x, u] if kind == Q else bar[x]
        table[x, u] += step * (sign * cost[x, u] + gamma * bar[y] - now)
        bar[x] = summary(kind, table[x], actions, first, last, eta, chances)
        x, age = y, age + 1
        if (k + 1) % every == 0:
            error = 0.0
            for z in range(truth.shape[0]):
                error = max(error, abs(bar[z] / sign - truth[z]))
            errors[k // every] = error / largest
