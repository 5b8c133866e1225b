"""Moving between arrays of samples or stages (one row each) and lanes (one column each)."""

import numpy as np
from numba import uint64

from ppi_robotics.kernels.jit import njit
from ppi_robotics.kernels.scalar import normal_pair, use_widest_vectors
from ppi_robotics.kernels.tiles import vector


@njit(nogil=True, error_model="numpy", forceinline=True)
def load(rows, first, lanes):
    """Columns of `lanes` (n, LANES) from the rows of a (N, n) array, the last row repeated past the end."""
    last = rows.shape[0] - 1
    for lane in range(lanes.shape[1]):
        row = vector(rows, min(first + lane, last), lanes.shape[0])
        for i in range(lanes.shape[0]):
            lanes[i, lane] = row[i]


@njit(nogil=True, error_model="numpy")
def normals(seed, stream, sample, draw, z):
    """Fill z (n, LANES) with standard normals of samples `sample`, `sample` + 1, ...

    A number depends on (seed, stream, its sample, draw, row) alone, so the same sample meets the same noise in any
    block, chunk or thread.
    """
    use_widest_vectors()
    pairs = (z.shape[0] + 1) // 2
    for pair in range(pairs):
        counter = uint64(draw * pairs + pair)
        odd = min(2 * pair + 1, z.shape[0] - 1)
        row, other = z[2 * pair], z[odd]
        if odd > 2 * pair:
            for lane in range(z.shape[1]):
                row[lane], other[lane] = normal_pair(seed, stream, uint64(sample + lane), counter)
        else:
            for lane in range(z.shape[1]):
                row[lane] = normal_pair(seed, stream, uint64(sample + lane), counter)[0]


@njit(nogil=True, error_model="numpy")
def normals_of(seed, stream, sample, draw, z):
    """Fill z (n,) with the numbers that `normals` gives a sample; pairs of them take the place of the lanes."""
    pairs = (z.shape[0] + 1) // 2
    if z.shape[0] < 8:  # for so few, room for the pairs takes longer than the pairs
        for pair in range(pairs):
            a, b = normal_pair(seed, stream, uint64(sample), uint64(draw * pairs) + uint64(pair))
            z[2 * pair] = a
            if 2 * pair + 1 < z.shape[0]:
                z[2 * pair + 1] = b
        return
    row, other = np.empty(pairs), np.empty(pairs)
    for pair in range(pairs):
        row[pair], other[pair] = normal_pair(seed, stream, uint64(sample), uint64(draw * pairs) + uint64(pair))
    for i in range(z.shape[0]):
        z[i] = row[i // 2] if i % 2 == 0 else other[i // 2]


@njit(nogil=True, error_model="numpy")
def add_product(M, z, y):
    """y (n, LANES) += M (n, m) z (m, LANES)."""
    use_widest_vectors()
    for i in range(M.shape[0]):
        for j in range(M.shape[1]):
            if M[i, j] != 0.0:
                for lane in range(z.shape[1]):
                    y[i, lane] += M[i, j] * z[j, lane]
