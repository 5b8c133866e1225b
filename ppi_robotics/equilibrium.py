"""Controls under which a plant stays where it is."""

import numpy as np

ROUNDING = 4 * np.finfo(float).eps
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
    if not (np.abs(first) > ROUNDING * (np.abs(x) + np.abs(A) @ np.abs(x))).any():
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
