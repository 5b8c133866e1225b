"""States with unit quaternions: differences and moves in the tangent space.

A state (nx,) holds scalars and unit quaternions (w, x, y, z), which start at the indices `quaternions`; its tangent
(ndx,) has three entries for the four of a quaternion, a rotation vector in the local frame. Without quaternions both
are the same flat space.
"""

import functools
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ppi_robotics.checks import as_floats, check_quaternions
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import writable

NONE = ()


def tangent_size(nx: int, quaternions: Sequence[int]) -> int:
    """Entries ndx of the tangent of a state with nx entries."""
    return nx - len(quaternions)


def origin(nx: int, quaternions: Sequence[int] = NONE) -> np.ndarray:
    """The state (nx,) of zeros, with quaternions at (1, 0, 0, 0)."""
    x = np.zeros(nx)
    x[list(quaternions)] = 1.0
    return x


def difference(x: ArrayLike, y: ArrayLike, quaternions: Sequence[int] = NONE) -> np.ndarray:
    """Tangents (..., ndx) that lead from states y to states x (..., nx), which broadcast.

    Raises:
      ProblemError: if the shapes do not fit each other, or the states do not hold the quaternions.
    """
    x, y, starts = _checked(x, y, quaternions)
    if not len(starts):
        return x - y
    from ppi_robotics.kernels.manifold import subtract_rows

    if y.ndim > 1:
        shape = np.broadcast_shapes(x.shape, y.shape)
        x, y = np.broadcast_to(x, shape), np.broadcast_to(y, shape)
    out = np.empty((x.size // x.shape[-1], tangent_size(x.shape[-1], starts)))
    subtract_rows(rows(x), rows(y), starts, out)
    return out.reshape(*x.shape[:-1], out.shape[1])


def add_to_squares(
    total: np.ndarray, factor: np.ndarray, x: ArrayLike, goal: ArrayLike, quaternions: Sequence[int] = NONE
) -> None:
    """Add |F (x - goal)|^2 of states x (N, nx) to total (N,); `factor` are the `entries` of F."""
    from ppi_robotics.kernels.manifold import add_squares

    x, goal, starts = _checked(x, goal, quaternions)
    add_squares(rows(x), writable(goal), starts, factor, total)


def retract(x: ArrayLike, dx: ArrayLike, quaternions: Sequence[int] = NONE) -> np.ndarray:
    """States (..., nx) reached from states x (..., nx) along tangents dx (..., ndx), which broadcast.

    Raises:
      ProblemError: if the shapes do not fit each other, or the states do not hold the quaternions.
    """
    x, dx, starts = _checked(x, dx, quaternions, tangent=True)
    if not len(starts):
        return x + dx
    from ppi_robotics.kernels.manifold import add_rows

    leading = np.broadcast_shapes(x.shape[:-1], dx.shape[:-1])
    x, dx = np.broadcast_to(x, (*leading, x.shape[-1])), np.broadcast_to(dx, (*leading, dx.shape[-1]))
    out = np.empty((x.size // x.shape[-1], x.shape[-1]))
    add_rows(rows(x), rows(dx), starts, out)
    return out.reshape(*leading, x.shape[-1])


def _checked(x, other, quaternions, tangent=False):
    """States, the other states or tangents, and where quaternions start, as the arrays that compiled code relies on."""
    x, other = as_floats(x, "x"), as_floats(other, "dx" if tangent else "y")
    nx = x.shape[-1] if x.ndim else 0
    starts = _indices(check_quaternions(quaternions, nx))
    size = tangent_size(nx, starts) if tangent else nx
    try:
        if not other.ndim or other.shape[-1] != size:
            raise ValueError
        if x.shape != other.shape:
            np.broadcast_shapes(x.shape[:-1], other.shape[:-1])
    except ValueError:
        raise ProblemError(
            f"states have shape {x.shape} and what they are moved along or compared with {other.shape}; "
            f"expected (..., nx) and (..., {size})"
        ) from None
    return x, other, starts


@functools.lru_cache(64)
def _indices(quaternions):
    return np.array(quaternions, dtype=np.int64)


def unit(x: ArrayLike, quaternions: Sequence[int]) -> np.ndarray:
    """State (nx,) with its quaternions normalized.

    Raises:
      ProblemError: if one is zero.
    """
    x = np.array(x, dtype=float)
    for i in check_quaternions(quaternions, len(x)):
        length = np.linalg.norm(x[i : i + 4])
        if length < 1e-6:
            raise ProblemError(f"entries {i} to {i + 3} of the state are a quaternion of length 0; give (1, 0, 0, 0)")
        x[i : i + 4] /= length
    return x


def retract_jacobian(x: np.ndarray, quaternions: Sequence[int] = NONE) -> np.ndarray:
    """Derivative (..., nx, ndx) of `retract(x, dx)` at dx = 0."""
    nx = x.shape[-1]
    starts, i, j = check_quaternions(quaternions, nx), 0, 0
    J = np.zeros((*x.shape[:-1], nx, tangent_size(nx, starts)))
    while i < nx:
        if i in starts:
            w, a, b, c = (x[..., i + n] / 2 for n in range(4))
            columns = [(-a, -b, -c), (w, -c, b), (c, w, -a), (-b, a, w)]
            J[..., i : i + 4, j : j + 3] = np.stack([np.stack(row, axis=-1) for row in columns], axis=-2)
            i, j = i + 4, j + 3
        else:
            J[..., i, j] = 1.0
            i, j = i + 1, j + 1
    return J


def difference_jacobian(x: np.ndarray, y: np.ndarray, quaternions: Sequence[int] = NONE) -> np.ndarray:
    """Derivative (..., ndx, ndx) of `difference(retract(x, dx), y)` in dx at 0."""
    e = difference(x, y, quaternions)
    J = np.zeros((*e.shape, e.shape[-1]))
    J[..., range(e.shape[-1]), range(e.shape[-1])] = 1.0
    for count, start in enumerate(sorted(quaternions)):
        part = slice(start - count, start - count + 3)
        J[..., part, part] = inverse_right_jacobian(e[..., part])
    return J


def inverse_right_jacobian(w: np.ndarray) -> np.ndarray:
    """Derivative (..., 3, 3) of log(exp(w) exp(v)) in v at 0, for rotation vectors w (..., 3) shorter than a turn."""
    angle = np.linalg.norm(w, axis=-1)[..., None, None]
    small = angle < 1e-4
    safe = np.where(small, 1.0, angle)
    half = 0.5 * safe
    factor = np.where(small, 1.0 / 12.0, (1.0 - half / np.tan(half)) / safe**2)
    W = np.zeros((*w.shape, 3))
    W[..., 0, 1], W[..., 0, 2], W[..., 1, 2] = -w[..., 2], w[..., 1], -w[..., 0]
    W = W - np.swapaxes(W, -1, -2)
    return np.eye(3) + 0.5 * W + factor * (W @ W)


def rows(array: np.ndarray) -> np.ndarray:
    """The array as writable, contiguous rows, which is what the compiled code takes."""
    flat = np.ascontiguousarray(array, dtype=float).reshape(-1, array.shape[-1])
    return flat if flat.flags.writeable else flat.copy()
