"""Derivatives by differences of functions that come without, Hessians made positive semidefinite, and equilibria.

    f'  = (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12 h                    errors of order h^4
    f'' = (16 (f(h) + f(-h)) - (f(2h) + f(-2h)) - 30 f(0)) / 12 h^2

Steps are parts of the size of a coordinate, so that they know no units. Points are the rows of one batch.
"""

from collections.abc import Callable

import numpy as np

from ppi_robotics.manifold import origin

SLOPE_STEP = 1e-3  # sizes: an error of the fourth order beside rounding over the step
CURVATURE_STEP = 4e-3  # beside rounding over its square
ROWS = 2**15  # points of a batch
CENTRAL = np.array([-2.0, -1.0, 1.0, 2.0])
CENTRAL_WEIGHTS = np.array([1.0, -8.0, 8.0, -1.0]) / 12.0
AHEAD = np.array([1.0, 2.0, 3.0, 4.0])
AHEAD_WEIGHTS = np.array([48.0, -36.0, 16.0, -3.0]) / 12.0  # of the differences from f(0)
NEGATIVE = 1e-9  # of the largest eigenvalue, below which one is no rounding


def jacobian(function: Callable, move: Callable, sizes: np.ndarray, N: int, inward: np.ndarray) -> np.ndarray:
    """Derivatives (N, k, n) of a function at N points along n directions.

    Args:
      function: of what `move` returns to differences (M, k) from the value at the points that were moved, with these
        repeated in their order M / N times.
      move: function of moves (m, N, n) to arguments of M = m N points.
      sizes: of the directions (n,).
      N: number of points.
      inward: (N, n), 1 or -1 where only steps to this side are possible, else 0.
    """
    n, steps = len(sizes), SLOPE_STEP * sizes
    side = inward.T[:, None]
    offsets = np.where(side == 0.0, CENTRAL[:, None], side * AHEAD[:, None])  # (n, 4, N)
    weights = np.where(side == 0.0, CENTRAL_WEIGHTS[:, None], side * AHEAD_WEIGHTS[:, None])
    moves = np.einsum("imt,ij->imtj", offsets, np.diag(steps)).reshape(4 * n, N, n)
    values = _evaluated(function, move, moves).reshape(n, 4, N, -1)
    return np.einsum("imt,imtk->tki", weights / steps[:, None, None], values)


def quadratic_model(function: Callable, move: Callable, sizes: np.ndarray, N: int):
    """Values (N,), gradients (N, n) and Hessians (N, n, n) of a scalar function at N points; arguments as `jacobian`.

    Hessians beside the diagonal come from second differences along sums of two directions.
    """
    n, steps = len(sizes), CURVATURE_STEP * sizes
    rows, columns = np.triu_indices(n, 1)
    directions = np.concatenate((np.eye(n), np.eye(n)[rows] + np.eye(n)[columns])) * steps
    moves = np.einsum("m,dj->dmj", CENTRAL, directions).reshape(-1, 1, n)
    moves = np.concatenate((np.zeros((1, 1, n)), moves))
    values = _evaluated(function, move, np.broadcast_to(moves, (len(moves), N, n)))[:, :, 0]
    center, (far_back, back, ahead, far_ahead) = values[0], values[1:].reshape(-1, 4, N).swapaxes(0, 1)
    slopes = (8.0 * (ahead[:n] - back[:n]) - (far_ahead[:n] - far_back[:n])) / 12.0
    bends = (16.0 * (ahead + back) - (far_ahead + far_back) - 30.0 * center) / 12.0
    H = np.zeros((N, n, n))
    H[:, range(n), range(n)] = bends[:n].T
    H[:, rows, columns] = H[:, columns, rows] = 0.5 * (bends[n:] - bends[rows] - bends[columns]).T
    return center, slopes.T / steps, H / np.multiply.outer(steps, steps)


def _evaluated(function, move, moves):
    """Values (K, N, k) at the points moved by moves (K, N, n), in batches."""
    K, N, _ = moves.shape
    each = max(ROWS // N, 1)
    parts = [moves[first : first + each] for first in range(0, K, each)]
    return np.concatenate([function(*move(part)).reshape(len(part), N, -1) for part in parts])


def project(Cxx: np.ndarray, Cux: np.ndarray, Cuu: np.ndarray, least: float = np.inf) -> None:
    """Raise the eigenvalues of every stage's Hessian to 1e-8 of its largest, in place; see `_raised` for their units.

    Args:
      Cxx, Cux, Cuu: blocks (T + 1, nx, nx), (T, nu, nx) and (T, nu, nu).
      least: stages whose lowest eigenvalue is above this part of their largest stay as they are.
    """
    T, nu, nx = Cux.shape
    H = np.empty((T, nx + nu, nx + nu))
    H[:, :nx, :nx], H[:, nx:, :nx], H[:, nx:, nx:] = Cxx[:T], Cux, Cuu
    H[:, :nx, nx:] = Cux.transpose(0, 2, 1)
    H, Cxx[T] = _raised(H, least), _raised(Cxx[T:], least)[0]
    Cxx[:T], Cux[:], Cuu[:] = H[:, :nx, :nx], H[:, nx:, :nx], H[:, nx:, nx:]


def _raised(H, least):
    """Hessians (N, n, n) with their eigenvalues raised where every coordinate counts in units of its own.

    These are such that the largest second derivative in it is 1. What the cost does not know stays at 0.
    """
    sizes = np.abs(np.einsum("nii->ni", H)).max(axis=0)
    crossed = np.abs(H).max(axis=0)
    for _ in range(len(sizes)):  # what appears in products alone
        roots = np.sqrt(sizes)
        beside = np.divide(crossed, roots, out=np.zeros_like(crossed), where=roots > 0.0).max(axis=1)
        sizes = np.where(sizes > 0.0, sizes, beside**2)
    unknown = sizes == 0.0
    units = 1.0 / np.sqrt(np.where(unknown, 1.0, sizes))
    eigenvalues, vectors = np.linalg.eigh(H * np.multiply.outer(units, units) + np.diag(unknown.astype(float)))
    largest = np.abs(eigenvalues).max(axis=-1, keepdims=True)
    raised = (vectors * np.maximum(eigenvalues, 1e-8 * largest)[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    raised = raised * np.multiply.outer(~unknown / units, ~unknown / units)
    return np.where((eigenvalues[:, :1] > least * largest)[..., None], H, raised)


# -- equilibria --------------------------------------------------------------------------------------------------------

RESTING = 4 * np.finfo(float).eps
ROUNDS = 6  # of Newton's method
LEFT = 1e-6  # part of what moves a state that may be left


def equilibrium_controls(plant, x):
    """Controls (nu,) that keep a state (nx,) as it is, clipped to the limits; none, clipped, where no control does.

    Newton's method on x = f(x, u). Rows and columns of its equations are scaled to size 1 and what is left of the
    motion is compared entry by entry, so that the answer knows no units.
    """
    limits = plant.control_limits.T
    u = nothing = np.clip(np.zeros(plant.nu), *limits)
    first, A, B = _motion(plant, x, u)
    size = np.abs(plant.difference(x, origin(plant.nx, plant.quaternions)))
    if not (np.abs(first) > RESTING * (size + np.abs(A) @ size)).any():
        return nothing  # it stays, but for rounding, or is not finite
    miss, held = first, False
    for _ in range(ROUNDS):
        rows = _sizes(B, axis=1)
        scaled = B / rows[:, None]
        columns = _sizes(scaled, axis=0)
        if not np.isfinite(scaled).all() or not np.isfinite(miss).all():
            break
        u = u - np.linalg.lstsq(scaled / columns, miss / rows, rcond=1e-9)[0] / columns
        if held:  # to rounding, by one step more than it takes to see
            return np.clip(u, *limits)
        miss, _, B = _motion(plant, x, u)
        held = (np.abs(miss) <= LEFT * (np.abs(first) + np.abs(B) @ np.abs(u - nothing))).all()
    return nothing


def _motion(plant, x, u):
    """By how much a stage moves the state (nx,), and the derivatives of the next one in state and control."""
    xn, A, B = plant.expand(x[None], u[None])
    return plant.difference(xn, x[None])[0], A[0], B[0]


def _sizes(B, axis):
    """Largest entries of rows or columns, 1 for those that are zero."""
    sizes = np.abs(B).max(axis=axis)
    return np.where(sizes > 0.0, sizes, 1.0)
