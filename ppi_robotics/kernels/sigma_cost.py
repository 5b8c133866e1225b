"""Template: mean values, gradients and Hessians of a cost over Gaussians, LANES stages or points at a time.

    E F = F(m) + sum w_i (F(z_i) - F(m)),   z_i = m + U' xi_i,   sum w_i = 1

A cost C becomes the quadratic model with the mean gradient g and Hessian H that has the cost's mean over the Gaussian,

    C(m + dz) ~ E C - tr(H S) / 2 + g'dz + dz'H dz / 2,   S = U'U

its projection on polynomials of degree 2. A quadratic cost comes out as it is.
"""

from numba import njit

from ppi_robotics.kernels.algebra import semidefinite_roots
from ppi_robotics.kernels.generated import LANES, NU, NX, NZ, stage_quadratic, terminal_quadratic
from ppi_robotics.kernels.sigma import ROOT, add_change, copy, displace, load_means, load_upper
from ppi_robotics.kernels.tiles import new_matrix, vector

HESSIAN, CURVATURE = NZ * NZ, NX * NX


@njit
def quadratize(x, u, S, S_end, U_end, lanes, rule, end_rule, c, c_terminal, v, cx, cu, Cxx, Cux, Cuu):
    """Mean models about x (T + 1, NX), u (T, NU); the last rows of v, cx and Cxx are the terminal cost's.

    Args:
      S, S_end: covariances (T, NZ * NZ) of (x, u) and (NX, NX) of the last state.
      U_end: the last one's factor (NX, NX).
      lanes: LANES, unknown to the compiler, see `sigma_dynamics`.
      rule, end_rule: xi (m, NZ) and (m, NX), and weights (m,) of means.
    """
    T, (xi, weights) = u.shape[0], rule
    z, zp, Ul = new_matrix(NZ, LANES), new_matrix(NZ, LANES), new_matrix(ROOT, LANES)
    vm, gm, Hm = new_matrix(1, LANES), new_matrix(NZ, LANES), new_matrix(HESSIAN, LANES)
    vp, gp, Hp = new_matrix(1, LANES), new_matrix(NZ, LANES), new_matrix(HESSIAN, LANES)
    vs, gs, Hs = new_matrix(1, LANES), new_matrix(NZ, LANES), new_matrix(HESSIAN, LANES)
    for first in range(0, T, LANES):
        load_means(x, u, first, z)
        load_upper(S, first, Ul)
        semidefinite_roots(Ul, NZ, lanes)
        stage_quadratic(z[:NX], z[NX:], c, vm, gm, Hm)
        copy(vm, vs, 1)
        copy(gm, gs, NZ)
        copy(Hm, Hs, HESSIAN)
        for p in range(xi.shape[0]):
            displace(z, Ul, xi, p, zp)
            stage_quadratic(zp[:NX], zp[NX:], c, vp, gp, Hp)
            add_change(vs, weights[p], vp, vm, 1)
            add_change(gs, weights[p], gp, gm, NZ)
            add_change(Hs, weights[p], Hp, Hm, HESSIAN)
        for lane in range(min(LANES, T - first)):
            t = first + lane
            v[t] = vs[0, lane]
            for i in range(HESSIAN):
                v[t] -= 0.5 * Hs[i, lane] * S[t, i]
            for i in range(NX):
                cx[t, i] = gs[i, lane]
                for j in range(NX):
                    Cxx[t, i, j] = Hs[i * NZ + j, lane]
            for i in range(NU):
                cu[t, i] = gs[NX + i, lane]
                for j in range(NX):
                    Cux[t, i, j] = Hs[(NX + i) * NZ + j, lane]
                for j in range(NU):
                    Cuu[t, i, j] = Hs[(NX + i) * NZ + NX + j, lane]
    terminal(vector(x, T, NX), U_end, end_rule, c_terminal, v[T:], vector(cx, T, NX), vector(Cxx, T, NX * NX))
    for i in range(NX):
        for j in range(NX):
            v[T] -= 0.5 * Cxx[T, i, j] * S_end[i, j]


@njit
def terminal(x, U, rule, c, v, g, H):
    """Mean value v (1,), gradient g (NX,) and Hessian H (NX * NX,) of the terminal cost, points in lanes."""
    xi, weights = rule
    zp, vp, gp, Hp = new_matrix(NX, LANES), new_matrix(1, LANES), new_matrix(NX, LANES), new_matrix(CURVATURE, LANES)
    for first in range(-1, xi.shape[0], LANES - 1):  # the mean is in lane 0 every time
        count = min(LANES, xi.shape[0] - first)
        for i in range(NX):
            for lane in range(LANES):
                zp[i, lane] = x[i]
            for lane in range(1, count):
                for j in range(i + 1):
                    zp[i, lane] += U[j, i] * xi[first + lane, j]
        terminal_quadratic(zp, c, vp, gp, Hp)
        if first < 0:
            v[0] = vp[0, 0]
            for i in range(NX):
                g[i] = gp[i, 0]
            for i in range(CURVATURE):
                H[i] = Hp[i, 0]
        for lane in range(1, count):
            w = weights[first + lane]
            v[0] += w * (vp[0, lane] - vp[0, 0])
            for i in range(NX):
                g[i] += w * (gp[i, lane] - gp[i, 0])
            for i in range(CURVATURE):
                H[i] += w * (Hp[i, lane] - Hp[i, 0])
