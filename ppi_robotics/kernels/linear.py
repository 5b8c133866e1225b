"""The linear Bellman equation on tables in the log domain, for many terminal costs at once, and sampled trajectories.

    log y(x, u) = -l c(x, u) + log E_iota[z(next)]        log z(x) = log E_rho[y(x, .)]

Rows of transitions are sparse, as in `tabular`; logarithms of probabilities are given.
"""

import math

import numpy as np
from numba import uint64

from ppi_robotics.kernels.jit import njit
from ppi_robotics.kernels.scalar import float_of, threefry
from ppi_robotics.kernels.tabular import OPTIONS
from ppi_robotics.streams import CHAINS

ONE = uint64(0x3FF0000000000000)


@njit(**OPTIONS)
def log_backup(rows, log_r, log_rho, ahead, ends, final, log_y, log_z):
    """log_y (S, A, n) and log_z (S, n) from those of the next states, ahead (S, n).

    `rows` holds indptr, indices and logarithms of probabilities; `log_r` (S, A) is -l c. Where `ends` is set, z is
    `final` (S, n).
    """
    indptr, indices, log_p = rows
    (S, A), n = log_r.shape, ahead.shape[1]
    for x in range(S):
        for i in range(n):
            if ends[x]:
                log_z[x, i] = final[x, i]
                for u in range(A):
                    log_y[x, u, i] = final[x, i]
                continue
            for u in range(A):
                log_y[x, u, i] = -np.inf
                start, stop = indptr[x * A + u], indptr[x * A + u + 1]
                if log_rho[x, u] == -np.inf:
                    continue
                top = -np.inf
                for k in range(start, stop):
                    top = max(top, log_p[k] + ahead[indices[k], i])
                if top > -np.inf:
                    total = 0.0
                    for k in range(start, stop):
                        total += math.exp(log_p[k] + ahead[indices[k], i] - top)
                    log_y[x, u, i] = log_r[x, u] + top + math.log(total)
            top = -np.inf
            for u in range(A):
                top = max(top, log_rho[x, u] + log_y[x, u, i])
            total = 0.0
            if top > -np.inf:
                for u in range(A):
                    total += math.exp(log_rho[x, u] + log_y[x, u, i] - top)
            log_z[x, i] = top + math.log(total) if total > 0.0 else -np.inf


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
