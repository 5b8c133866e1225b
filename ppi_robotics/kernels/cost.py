"""Template: a cost's values and quadratic models along a trajectory, LANES stages at a time."""

from numba import njit

from ppi_robotics.kernels.generated import (
    LANES,
    NU,
    NX,
    NZ,
    inlined,
    stage_quadratic,
    stage_value,
    terminal_quadratic,
    terminal_value,
)
from ppi_robotics.kernels.lanes import load
from ppi_robotics.kernels.tiles import matrix, new_matrix, vector

HESSIAN = NZ * NZ


@njit
def stages(x, u, c, v):
    """v (N,): stage costs at x (N, NX), u (N, NU)."""
    xl, ul, vl = new_matrix(NX, LANES), new_matrix(NU, LANES), new_matrix(1, LANES)
    for first in range(0, x.shape[0], LANES):
        load(x, first, xl)
        load(u, first, ul)
        stage_value(xl, ul, c, vl)
        for lane in range(min(LANES, x.shape[0] - first)):
            v[first + lane] = vl[0, lane]


@njit
def terminals(x, c, v):
    """v (N,): terminal costs at x (N, NX)."""
    xl, vl = new_matrix(NX, LANES), new_matrix(1, LANES)
    for first in range(0, x.shape[0], LANES):
        load(x, first, xl)
        terminal_value(xl, c, vl)
        for lane in range(min(LANES, x.shape[0] - first)):
            v[first + lane] = vl[0, lane]


@njit
def quadratize(x, u, c, c_terminal, v, cx, cu, Cxx, Cux, Cuu):
    """Values, gradients and Hessians along x (T + 1, NX), u (T, NU); the last row of cx and Cxx is the terminal's."""
    T = u.shape[0]
    xl, ul, vl = new_matrix(NX, LANES), new_matrix(NU, LANES), new_matrix(1, LANES)
    g, H = new_matrix(NZ, LANES), new_matrix(HESSIAN, LANES)
    for first in range(0, T, LANES):
        load(x[:T], first, xl)
        load(u, first, ul)
        stage_quadratic(xl, ul, c, vl, g, H)
        for lane in range(min(LANES, T - first)):
            t = first + lane
            v[t] = vl[0, lane]
            blocks = matrix(Cxx, t, NX, NX), matrix(Cux, t, NU, NX), matrix(Cuu, t, NU, NU)
            split(g, H, lane, vector(cx, t, NX), vector(cu, t, NU), *blocks)
    load(x[T:], 0, xl)
    terminal_quadratic(xl, c_terminal, vl, g[:NX], H[: NX * NX])
    v[T] = vl[0, 0]
    for i in range(NX):
        cx[T, i] = g[i, 0]
        for j in range(NX):
            Cxx[T, i, j] = H[i * NX + j, 0]


@inlined
def split(g, H, lane, cx, cu, Cxx, Cux, Cuu):
    """One lane's gradient and Hessian, by blocks."""
    for i in range(NX):
        cx[i] = g[i, lane]
        for j in range(NX):
            Cxx[i, j] = H[i * NZ + j, lane]
    for i in range(NU):
        cu[i] = g[NX + i, lane]
        for j in range(NX):
            Cux[i, j] = H[(NX + i) * NZ + j, lane]
        for j in range(NU):
            Cuu[i, j] = H[(NX + i) * NZ + NX + j, lane]
