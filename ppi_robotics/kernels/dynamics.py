"""Template: a plant's steps and derivatives at many independent pairs of state and control, LANES at a time."""

from numba import njit

from ppi_robotics.kernels.generated import LANES, NU, NX, NZ, STAGES, inlined
from ppi_robotics.kernels.integrate import HESSIAN, JACOBIAN, advance, chain, stage_curvatures, stages
from ppi_robotics.kernels.lanes import load
from ppi_robotics.kernels.tiles import matrix, new_matrix

STATES, JACOBIANS, HESSIANS = STAGES * NX, STAGES * JACOBIAN, STAGES * HESSIAN  # rows for all stages of the scheme


@njit
def step(x, u, c, dt, xn):
    """xn (N, NX) = f(x, u)."""
    xl, ul, nl = new_matrix(NX, LANES), new_matrix(NU, LANES), new_matrix(NX, LANES)
    xs, k = new_matrix(NX, LANES), new_matrix(NX, LANES)
    for first in range(0, x.shape[0], LANES):
        load(x, first, xl)
        load(u, first, ul)
        advance(xl, ul, c, dt, xs, k, nl)
        for lane in range(min(LANES, x.shape[0] - first)):
            for i in range(NX):
                xn[first + lane, i] = nl[i, lane]


@njit
def linearize(x, u, c, dt, xn, A, B):
    """xn (N, NX), A (N, NX, NX), B (N, NX, NU)."""
    xl, ul, nl, J = new_matrix(NX, LANES), new_matrix(NU, LANES), new_matrix(NX, LANES), new_matrix(NX, NZ)
    xs, f_z, nothing = new_matrix(STATES, LANES), new_matrix(JACOBIANS, LANES), new_matrix(1, 1)
    for first in range(0, x.shape[0], LANES):
        load(x, first, xl)
        load(u, first, ul)
        stages(xl, ul, c, dt, nl, xs, f_z)
        for lane in range(min(LANES, x.shape[0] - first)):
            t = first + lane
            chain(f_z, nothing, False, lane, dt, J, nothing)
            for i in range(NX):
                xn[t, i] = nl[i, lane]
            split(J, matrix(A, t, NX, NX), matrix(B, t, NX, NU))


@inlined
def split(J, A, B):
    """J = [A B]."""
    for i in range(NX):
        for j in range(NX):
            A[i, j] = J[i, j]
        for j in range(NU):
            B[i, j] = J[i, NX + j]


@njit
def linearize_with_curvature(x, u, y, c, dt, xn, A, B, H):
    """As `linearize`, and H (N, NZ, NZ), the second derivative of y'f for adjoints y (N, NX)."""
    xl, ul, nl, J = new_matrix(NX, LANES), new_matrix(NU, LANES), new_matrix(NX, LANES), new_matrix(NX, NZ)
    xs, yl = new_matrix(STATES, LANES), new_matrix(NX, LANES)
    f_z, f_zz = new_matrix(JACOBIANS, LANES), new_matrix(HESSIANS, LANES)
    for first in range(0, x.shape[0], LANES):
        load(x, first, xl)
        load(u, first, ul)
        load(y, first, yl)
        stages(xl, ul, c, dt, nl, xs, f_z)
        stage_curvatures(xs, ul, yl, c, dt, f_z, f_zz)
        for lane in range(min(LANES, x.shape[0] - first)):
            t = first + lane
            chain(f_z, f_zz, True, lane, dt, J, matrix(H, t, NZ, NZ))
            for i in range(NX):
                xn[t, i] = nl[i, lane]
            split(J, matrix(A, t, NX, NX), matrix(B, t, NX, NU))
