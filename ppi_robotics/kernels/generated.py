"""Contracts of what is generated for a plant and a cost; templates import from here, and get the real thing.

Every array has one row per entry and one column per lane: x (NX, LANES), u (NU, LANES). `c` holds the numerical
constants of the expression, so that another mass or another weight runs the same compiled code.
"""

from numba import njit

LANES = 16
NX, NU, NW, NM, NA, NB = 1, 1, 1, 0, 0, 0
NZ = NX + NU
STAGES, KEEP, SEMI_IMPLICIT = 1, 1.0, False
NODES, WEIGHTS = (0.0,), (1.0,)
NEEDS_SLOPE = True


def inlined(function):
    """Compile into the calling function: its scratch is then known not to overlap, and no arrays are handed over."""
    return njit(function, forceinline=True)


def derivative(x, u, c, f):
    """f (NX, LANES): time derivative of the state, or the next state of a discrete plant."""


def derivative_jacobian(x, u, c, f, J):
    """f and J (NX * NZ, LANES), row-major, with respect to (x, u)."""


def derivative_hessian(x, u, y, c, H):
    """H (NZ * NZ, LANES): second derivative of y'f with respect to (x, u)."""


def stage_value(x, u, c, v):
    """v (1, LANES): stage cost."""


def stage_quadratic(x, u, c, v, g, H):
    """Stage cost, gradient (NZ, LANES) and Hessian (NZ * NZ, LANES)."""


def terminal_value(x, c, v):
    """v (1, LANES): terminal cost."""


def terminal_quadratic(x, c, v, g, H):
    """Terminal cost, gradient (NX, LANES) and Hessian (NX * NX, LANES)."""
