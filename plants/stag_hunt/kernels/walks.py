"""Distributions and messages of uniform walks over cells: every allowed move, one of a row of `moves`, is as likely.

A row of `moves` (N, A) has the cells that can be reached in one move, -1 for a move that is not allowed.
"""

import numpy as np

from ppi_robotics.kernels.outside import OPTIONS, njit


@njit(**OPTIONS)
def spread(moves, start, stages, out):
    """out (M, N): where walkers that start at cells (M,) are after stages (M,)."""
    N, A = moves.shape
    ahead = np.empty(N)
    for i in range(start.shape[0]):
        here = out[i]
        here[:] = 0.0
        here[start[i]] = 1.0
        for _ in range(stages[i]):
            ahead[:] = 0.0
            for x in range(N):
                if here[x] == 0.0:
                    continue
                count = 0
                for a in range(A):
                    count += moves[x, a] >= 0
                share = here[x] / count
                for a in range(A):
                    if moves[x, a] >= 0:
                        ahead[moves[x, a]] += share
            here[:] = ahead


@njit(**OPTIONS)
def pull(moves, tilt, stages, out):
    """out (M, N): expected values of tilt (M, N) after some stages, by the cell where a walker is before them."""
    N, A = moves.shape
    share = np.empty(N)
    before = np.empty(N)
    for x in range(N):
        count = 0
        for a in range(A):
            count += moves[x, a] >= 0
        share[x] = 1.0 / count
    for i in range(tilt.shape[0]):
        here = out[i]
        here[:] = tilt[i]
        for _ in range(stages):
            for x in range(N):
                total = 0.0
                for a in range(A):
                    if moves[x, a] >= 0:
                        total += here[moves[x, a]]
                before[x] = share[x] * total
            here[:] = before
