"""Small dense algebra for the sweeps: products that the compiler vectorises, Cholesky factors, a box-limited step."""

import numpy as np
from numba import njit

from ppi_robotics.kernels.compiler import OPTIONS


@njit(**OPTIONS)
def product(X, Y, Z, n, m, q):
    """Z (n, q) = X (n, m) Y (m, q), four rows of X at a time so that each row of Y is loaded once for four."""
    i = 0
    while i + 4 <= n:
        for j in range(q):
            Z[i, j] = X[i, 0] * Y[0, j]
            Z[i + 1, j] = X[i + 1, 0] * Y[0, j]
            Z[i + 2, j] = X[i + 2, 0] * Y[0, j]
            Z[i + 3, j] = X[i + 3, 0] * Y[0, j]
        for r in range(1, m):
            a, b, c, d = X[i, r], X[i + 1, r], X[i + 2, r], X[i + 3, r]
            for j in range(q):
                y = Y[r, j]
                Z[i, j] += a * y
                Z[i + 1, j] += b * y
                Z[i + 2, j] += c * y
                Z[i + 3, j] += d * y
        i += 4
    while i < n:
        for j in range(q):
            Z[i, j] = X[i, 0] * Y[0, j]
        for r in range(1, m):
            a = X[i, r]
            for j in range(q):
                Z[i, j] += a * Y[r, j]
        i += 1


@njit(**OPTIONS)
def add_transposed_product(X, Y, Z, m, n, q, scale):
    """Z (n, q) += scale X' Y with X (m, n), Y (m, q)."""
    r = 0
    while r + 4 <= m:
        for i in range(n):
            a, b, c, d = scale * X[r, i], scale * X[r + 1, i], scale * X[r + 2, i], scale * X[r + 3, i]
            for j in range(q):
                Z[i, j] += (a * Y[r, j] + b * Y[r + 1, j]) + (c * Y[r + 2, j] + d * Y[r + 3, j])
        r += 4
    while r < m:
        for i in range(n):
            a = scale * X[r, i]
            for j in range(q):
                Z[i, j] += a * Y[r, j]
        r += 1


@njit(**OPTIONS)
def add_symmetric_product(X, Y, Z, m, n, scale):
    """Lower triangle of Z (n, n) += scale X' Y, a product known to be symmetric; X, Y (m, n)."""
    r = 0
    while r + 4 <= m:
        for i in range(n):
            a, b, c, d = scale * X[r, i], scale * X[r + 1, i], scale * X[r + 2, i], scale * X[r + 3, i]
            for j in range(i + 1):
                Z[i, j] += (a * Y[r, j] + b * Y[r + 1, j]) + (c * Y[r + 2, j] + d * Y[r + 3, j])
        r += 4
    while r < m:
        for i in range(n):
            a = scale * X[r, i]
            for j in range(i + 1):
                Z[i, j] += a * Y[r, j]
        r += 1


@njit(**OPTIONS)
def mirror(Z, n):
    """Copy the lower triangle of Z (n, n) to the upper."""
    for i in range(n):
        for j in range(i):
            Z[j, i] = Z[i, j]


@njit(**OPTIONS)
def cholesky(M, n):
    """Replace the lower triangle of M (n, n) by its Cholesky factor; False if M is not positive definite."""
    for j in range(n):
        s = M[j, j]
        for r in range(j):
            s -= M[j, r] * M[j, r]
        if not s > 0.0 or not np.isfinite(s):
            return False
        root = np.sqrt(s)
        M[j, j] = root
        for i in range(j + 1, n):
            v = M[i, j]
            for r in range(j):
                v -= M[i, r] * M[j, r]
            M[i, j] = v / root
    return True


@njit(**OPTIONS)
def solve_lower(C, Y, n, q):
    """Y (n, q) <- C^{-1} Y for a lower triangular C (n, n)."""
    for i in range(n):
        for r in range(i):
            a = C[i, r]
            for j in range(q):
                Y[i, j] -= a * Y[r, j]
        a = 1.0 / C[i, i]
        for j in range(q):
            Y[i, j] *= a


@njit(**OPTIONS)
def solve_upper(C, Y, n, q):
    """Y (n, q) <- C^{-T} Y for a lower triangular C (n, n)."""
    for i in range(n - 1, -1, -1):
        for r in range(i + 1, n):
            a = C[r, i]
            for j in range(q):
                Y[i, j] -= a * Y[r, j]
        a = 1.0 / C[i, i]
        for j in range(q):
            Y[i, j] *= a


@njit(**OPTIONS)
def box_step(H, g, low, high, k, free, C, n):
    """Minimise g'k + k'Hk/2 over low <= k <= high by projected Newton steps.

    Y. Tassa, N. Mansard, E. Todorov, *Control-limited differential dynamic programming* (ICRA 2014).

    Args:
      H, g: positive definite (n, n) and (n,).
      low, high: bounds (n,).
      k: start on entry, minimiser on return.
      free: on return, which entries are off their bounds.
      C: scratch; on return the Cholesky factor of H with the rows of clamped entries replaced by the identity's.

    Returns:
      False if H is not positive definite on the free entries.
    """
    step, gradient, trial = np.empty((n, 1)), np.empty(n), np.empty(n)
    for i in range(n):
        k[i] = min(max(k[i], low[i]), high[i])
    for _ in range(100):
        worst = 0.0
        for i in range(n):
            gradient[i] = g[i]
            for j in range(n):
                gradient[i] += H[i, j] * k[j]
            clamped = (k[i] <= low[i] and gradient[i] > 0.0) or (k[i] >= high[i] and gradient[i] < 0.0)
            free[i] = not clamped
            if free[i]:
                worst = max(worst, abs(gradient[i]))
        for i in range(n):
            for j in range(n):
                both = free[i] and free[j]
                C[i, j] = H[i, j] if both else (1.0 if i == j else 0.0)
            step[i, 0] = -gradient[i] if free[i] else 0.0
        if not cholesky(C, n):
            return False
        scale = 1.0
        for i in range(n):
            scale = max(scale, abs(g[i]))
        if worst < 1e-12 * scale:
            return True
        solve_lower(C, step, n, 1)
        solve_upper(C, step, n, 1)
        before = objective(H, g, k, n)
        slope = 0.0
        for i in range(n):
            slope += gradient[i] * step[i, 0]
        a = 1.0
        accepted = False
        while a > 1e-12 and not accepted:
            for i in range(n):
                trial[i] = min(max(k[i] + a * step[i, 0], low[i]), high[i])
            accepted = objective(H, g, trial, n) <= before + 0.1 * a * slope
            a *= 0.6
        if not accepted:
            return True
        for i in range(n):
            k[i] = trial[i]
    return True


@njit(**OPTIONS)
def objective(H, g, k, n):
    """g'k + k'Hk/2."""
    value = 0.0
    for i in range(n):
        row = g[i]
        for j in range(n):
            row += 0.5 * H[i, j] * k[j]
        value += row * k[i]
    return value
