"""Probabilities of the levels of coupled chains, and whether they agree with those of the actions."""

import math

import numpy as np

from plants.blocks.kernels.chain_messages import listen, pass_on
from plants.blocks.kernels.chain_numbers import exp, log_sum, unsettle
from plants.blocks.kernels.merged_actions import by_shift
from ppi_robotics.kernels.bellman import OPTIONS
from ppi_robotics.kernels.outside import njit
from ppi_robotics.kernels.scalar import use_widest_vectors


@njit(**OPTIONS)
def marginals(shifts, chains, Q, heard, levels):
    """Probabilities of levels (T + 1, n, m + 1); returns the largest difference of those of a shift in chain and Q."""
    use_widest_vectors()
    (forth, back, told, weights), worst = chains, 0.0
    (F, offsets_F), (B, offsets_B), (N, offsets_N), (factors, offsets) = forth, back, told, weights
    T, n = N.shape[0], F.shape[1]
    logs = np.empty((3, F.shape[2]))
    for t in range(T + 1):
        for i in range(n):
            unsettle(F[t, i], offsets_F[t, i], logs[0])
            unsettle(B[t, i], offsets_B[t, i], logs[1])
            if t == 0:
                logs[1:] = 0.0
            else:  # both count the weight
                unsettle(factors[t - 1], offsets[t - 1], logs[2])
            believe(logs, levels[t, i])
        if t < T:
            listen(F[t], offsets_F[t], B[t + 1], offsets_B[t + 1], heard[0], heard[1], heard[2])
            worst = max(worst, disagreement(shifts, N[t], offsets_N[t], heard[2], Q[t]))
            pass_on(t, -1, forth, told, weights)
    return worst


@njit(**OPTIONS)
def believe(logs, p):
    """Normalized product p (m + 1,) of rows before and after, over that of weights."""
    use_widest_vectors()
    top, total = -np.inf, 0.0
    for x in range(p.shape[0]):
        alive = logs[0, x + 1] > -np.inf and logs[1, x + 1] > -np.inf
        p[x] = logs[0, x + 1] + logs[1, x + 1] - logs[2, x + 1] if alive else -np.inf
        top = max(top, p[x])
    for x in range(p.shape[0]):
        p[x] = exp(p[x] - top)
        total += p[x]
    for x in range(p.shape[0]):
        p[x] /= total


@njit(**OPTIONS)
def disagreement(shifts, N, offsets_N, log_M, Q):
    """Largest difference between what chains and actions hold the probabilities of shifts for."""
    worst, own = 0.0, np.empty(3)
    for i in range(shifts.shape[0]):
        given = by_shift(shifts[i], Q)
        unsettle(N[:, i].copy(), offsets_N[i], own)
        for s in range(3):
            own[s] += log_M[s, i]
        total = log_sum(own)
        for s in range(3):
            worst = max(worst, abs(math.exp(own[s] - total) - given[s]))
    return worst
