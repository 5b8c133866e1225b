"""Random numbers of sampled control sequences."""

import numpy as np
from numba import uint64

from ppi_robotics.kernels.jit import njit
from ppi_robotics.kernels.scalar import normal_pair, use_widest_vectors
from ppi_robotics.streams import SEQUENCES


@njit(nogil=True, error_model="numpy")
def draw(seed, first, scale, z):
    """z (N, T, nu) = scale (T, nu) times standard normals of samples first, first + 1, ..."""
    use_widest_vectors()
    size, scale = z.shape[1] * z.shape[2], scale.reshape(-1)
    pairs = (size + 1) // 2
    even, odd = np.empty(pairs), np.empty(pairs)
    for n in range(z.shape[0]):
        sample, numbers = uint64(first + n), z[n].reshape(-1)
        for p in range(pairs):
            even[p], odd[p] = normal_pair(seed, SEQUENCES, sample, uint64(p))
        for p in range(size // 2):
            numbers[2 * p], numbers[2 * p + 1] = scale[2 * p] * even[p], scale[2 * p + 1] * odd[p]
        if size % 2 == 1:
            numbers[size - 1] = scale[size - 1] * even[pairs - 1]
