"""Template: a plant's steps and derivatives at many independent pairs of state and control, LANES at a time."""

import numpy as np
from numba import njit

from ppi_robotics.kernels.generated import LANES, NU, NX, NZ, STAGES
from ppi_robotics.kernels.integrate import advance, curvature, sensitivities
from ppi_robotics.kernels.lanes import load


@njit
def step(x, u, c, dt, xn):
    """xn (N, NX) = f(x, u)."""
    xl, ul, nl = np.empty((NX, LANES)), np.empty((NU, LANES)), np.empty((NX, LANES))
    xs, k = np.empty((NX, LANES)), np.empty((NX, LANES))
    for first in range(0, x.shape[0], LANES):
        load(x, first, xl)
        load(u, first, ul)
        advance(xl, ul, c, dt, xs, k, nl)
        for lane in range(min(LANES, x.shape[0] - first)):
            for i in range(NX):
                xn[first + lane, i] = nl[i, lane]


@njit
def scratch():
    """Room for the stages of the scheme: states, Jacobians and sensitivities."""
    shape = (STAGES, NX * NZ, LANES)
    return np.empty((STAGES, NX, LANES)), np.empty(shape), np.empty(shape)


@njit
def linearize(x, u, c, dt, xn, A, B):
    """xn (N, NX), A (N, NX, NX), B (N, NX, NU)."""
    xl, ul, nl = np.empty((NX, LANES)), np.empty((NU, LANES)), np.empty((NX, LANES))
    J = np.empty((NX * NZ, LANES))
    xs, f_z, Z = scratch()
    for first in range(0, x.shape[0], LANES):
        load(x, first, xl)
        load(u, first, ul)
        sensitivities(xl, ul, c, dt, nl, J, xs, f_z, Z)
        for lane in range(min(LANES, x.shape[0] - first)):
            store(nl, J, lane, xn[first + lane], A[first + lane], B[first + lane])


@njit
def store(nl, J, lane, xn, A, B):
    """One lane's next state and Jacobians."""
    for i in range(NX):
        xn[i] = nl[i, lane]
        for j in range(NX):
            A[i, j] = J[i * NZ + j, lane]
        for j in range(NU):
            B[i, j] = J[i * NZ + NX + j, lane]


@njit
def linearize_with_curvature(x, u, y, c, dt, xn, A, B, H):
    """As `linearize`, and H (N, NZ, NZ), the second derivative of y'f for adjoints y (N, NX)."""
    xl, ul, yl, nl = np.empty((NX, LANES)), np.empty((NU, LANES)), np.empty((NX, LANES)), np.empty((NX, LANES))
    J, Hl = np.empty((NX * NZ, LANES)), np.empty((NZ * NZ, LANES))
    xs, f_z, Z = scratch()
    for first in range(0, x.shape[0], LANES):
        load(x, first, xl)
        load(u, first, ul)
        load(y, first, yl)
        sensitivities(xl, ul, c, dt, nl, J, xs, f_z, Z)
        curvature(xs, ul, yl, c, dt, f_z, Z, Hl)
        for lane in range(min(LANES, x.shape[0] - first)):
            store(nl, J, lane, xn[first + lane], A[first + lane], B[first + lane])
            for i in range(NZ):
                for j in range(NZ):
                    H[first + lane, i, j] = Hl[i * NZ + j, lane]
