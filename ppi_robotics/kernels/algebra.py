"""Small dense algebra: factors H = U'DU and substitutions of the sweeps, a box-limited step, roots of covariances."""

import numpy as np

from ppi_robotics.kernels.jit import INLINED, njit


@njit(**INLINED)
def mirror(Z, n):
    """Copy the lower triangle of Z (n, n) to the upper."""
    for i in range(n):
        for j in range(i):
            Z[j, i] = Z[i, j]


@njit(**INLINED)
def factorize(H, n):
    """Replace the upper triangle of H (n, n) by U (unit diagonal, not stored) and D with H = U'DU.

    Returns:
      False if H is not positive definite; H is then unfinished.
    """
    for j in range(n):
        pivot = H[j, j]
        if not (pivot > 0.0 and pivot < np.inf):
            return False
        inverse = 1.0 / pivot
        for i in range(j + 1, n):
            a = H[j, i] * inverse
            for c in range(i, n):
                H[i, c] -= a * H[j, c]
        for i in range(j + 1, n):
            H[j, i] *= inverse
    return True


@njit(**INLINED)
def forward_substitute(U, Y, y, n, q):
    """Y (n, q) <- U^-T Y and y (n,) <- U^-T y for factors from `factorize`."""
    for i in range(1, n):
        for r in range(i):
            a = U[r, i]
            y[i] -= a * y[r]
            for j in range(q):
                Y[i, j] -= a * Y[r, j]


@njit(**INLINED)
def divide_by_pivots(U, Y, y, Z, z, n, q, scale):
    """Z (n, q) = scale D^-1 Y and z (n,) = scale D^-1 y."""
    for i in range(n):
        a = scale / U[i, i]
        z[i] = a * y[i]
        for j in range(q):
            Z[i, j] = a * Y[i, j]


@njit(**INLINED)
def back_substitute(U, Y, y, n, q):
    """Y (n, q) <- U^-1 Y and y (n,) <- U^-1 y."""
    for i in range(n - 2, -1, -1):
        for r in range(i + 1, n):
            a = U[i, r]
            y[i] -= a * y[r]
            for j in range(q):
                Y[i, j] -= a * Y[r, j]


@njit(**INLINED)
def log_pivots(U, n):
    """Logarithm of the determinant of U'DU."""
    total = 0.0
    for i in range(n):
        total += np.log(U[i, i])
    return total


@njit(nogil=True, error_model="numpy")
def box_step(H, g, limits, k, free, U):
    """Minimize g'k + k'Hk/2 over limits[:, 0] <= k <= limits[:, 1] by projected Newton steps.

    Y. Tassa, N. Mansard, E. Todorov, *Control-limited differential dynamic programming* (ICRA 2014).

    Args:
      H, g: positive definite (n, n) and (n,).
      limits: (n, 2).
      k: start on entry, minimizer on return.
      free: on return 1 for entries off their bounds, else 0.
      U: on return the factors of H with the rows and columns of clamped entries replaced by the identity's.

    Returns:
      False if H is not positive definite on the free entries.
    """
    n = len(g)
    step, gradient, trial, nothing = np.empty(n), np.empty(n), np.empty(n), np.empty((n, 0))
    for i in range(n):
        k[i] = min(max(k[i], limits[i, 0]), limits[i, 1])
    for _ in range(100):
        settled = True
        for i in range(n):
            gradient[i] = g[i]
            size = abs(g[i])
            for j in range(n):
                gradient[i] += H[i, j] * k[j]
                size += abs(H[i, j] * k[j])
            clamped = (k[i] <= limits[i, 0] and gradient[i] > 0.0) or (k[i] >= limits[i, 1] and gradient[i] < 0.0)
            free[i] = 0.0 if clamped else 1.0
            gradient[i] = 0.0 if clamped else gradient[i]
            step[i] = -gradient[i]
            settled = settled and abs(gradient[i]) <= 1e-12 * size  # to rounding, in any units
        for i in range(n):
            for j in range(n):
                U[i, j] = H[i, j] if free[i] * free[j] > 0.0 else (1.0 if i == j else 0.0)
        if not factorize(U, n):
            return False
        if settled:
            return True
        forward_substitute(U, nothing, step, n, 0)
        divide_by_pivots(U, nothing, step, nothing, step, n, 0, 1.0)
        back_substitute(U, nothing, step, n, 0)
        before, slope = objective(H, g, k), 0.0
        for i in range(n):
            slope += gradient[i] * step[i]
        a, accepted = 1.0, False
        while a > 1e-12 and not accepted:
            for i in range(n):
                trial[i] = min(max(k[i] + a * step[i], limits[i, 0]), limits[i, 1])
            accepted = objective(H, g, trial) <= before + 0.1 * a * slope
            a *= 0.6
        if not accepted:
            return True
        for i in range(n):
            k[i] = trial[i]
    return True


@njit(**INLINED)
def objective(H, g, k):
    """g'k + k'Hk/2."""
    value = 0.0
    for i in range(len(g)):
        row = g[i]
        for j in range(len(g)):
            row += 0.5 * H[i, j] * k[j]
        value += row * k[i]
    return value


@njit(**INLINED)
def semidefinite_roots(S, n, lanes):
    """Replace the upper triangles of positive semidefinite S (n * n, lanes) by U with U'U = S, a matrix in every lane.

    A pivot of at most 1e-14 of its own diagonal entry gives a row of zeros: a singular S has that many rows less, and a
    negative part is dropped. What is not finite stays so. Below the diagonals S keeps what it holds.

    Returns:
      the first lane with a pivot below -1e-8 of its own diagonal entry, or -1.
    """
    own, scale, lowest = np.empty((n, lanes)), np.empty(lanes), np.zeros(lanes)
    for i in range(n):
        for lane in range(lanes):
            own[i, lane] = abs(S[i * n + i, lane])
    for j in range(n):
        for lane in range(lanes):
            pivot = S[j * n + j, lane]
            lowest[lane] = -1.0 if pivot < -1e-8 * own[j, lane] < 0.0 else lowest[lane]
            scale[lane] = 0.0 if pivot <= 1e-14 * own[j, lane] else 1.0 / np.sqrt(pivot)
        for i in range(j, n):
            for lane in range(lanes):
                S[j * n + i, lane] *= scale[lane]
        for i in range(j + 1, n):
            for r in range(i, n):
                for lane in range(lanes):
                    S[i * n + r, lane] -= S[j * n + i, lane] * S[j * n + r, lane]
    for lane in range(lanes):
        if lowest[lane] < 0.0:
            return lane
    return -1
