"""Template: statistical linearization of a plant and mean quadratic models of a cost, LANES stages at a time.

    z ~ N(m, S),  S = L L',  points z_i = m + L xi_i,  weights w_i of means and v_i of covariances,  e_i = f(z_i) - f(m)

    mean      y = f(m) + sum w_i e_i
    slope     M = sum v_i e_i xi_i',   [A B] L = M
    residual  r_i = e_i - (y - f(m)) - M xi_i,   R = sum v_i r_i r_i' = S_yy - [A B] S [A B]'

[A B] = J + (M - J L) L^-, with the Jacobian J at the mean, which holds alone along directions without variance. Sums of
differences from the mean's own values keep their digits however small S is. The rules have sum w = 1, sum w xi = 0 and
sum v xi xi' = I.
"""

import numpy as np
from numba import njit

from ppi_robotics.kernels.generated import (
    LANES,
    NU,
    NX,
    NZ,
    STAGES,
    inlined,
    stage_quadratic,
    terminal_quadratic,
)
from ppi_robotics.kernels.integrate import HESSIAN, JACOBIAN, advance, chain, combine, stages
from ppi_robotics.kernels.lanes import load
from ppi_robotics.kernels.tiles import matrix, new_matrix, new_vector, vector

SINGULAR, INDEFINITE = 1e-14, -1e-8  # pivots over the largest diagonal entry: at most this is zero, below is an error
ROOT, RESIDUAL, STATES, JACOBIANS = NZ * NZ, NX * NX, STAGES * NX, STAGES * JACOBIAN


@inlined
def fill(lanes, value, n):
    """All entries of (n, LANES)."""
    lanes = vector(lanes, 0, n * LANES)
    for m in range(n * LANES):
        lanes[m] = value


@inlined
def add_change(total, weight, value, start, n):
    """total += weight (value - start), all (n, LANES)."""
    total, value, start = vector(total, 0, n * LANES), vector(value, 0, n * LANES), vector(start, 0, n * LANES)
    for m in range(n * LANES):
        total[m] += weight * (value[m] - start[m])


@inlined
def semidefinite_root(L, n, lowest):
    """Replace symmetric matrices L (n * n, LANES) by lower factors, with a column of zeros where a pivot vanishes.

    lowest (LANES,) becomes the smallest pivot over the largest diagonal entry. What is not finite stays not finite.
    """
    scale, largest = new_vector(LANES), new_vector(LANES)
    for lane in range(LANES):
        largest[lane] = 1e-300
        lowest[lane] = 0.0
    for j in range(n):
        for lane in range(LANES):
            largest[lane] = max(largest[lane], L[j * n + j, lane])
    for j in range(n):
        for lane in range(LANES):
            pivot = L[j * n + j, lane]
            lowest[lane] = min(lowest[lane], pivot / largest[lane])
            root = np.sqrt(max(pivot, 1e-300)) if pivot == pivot else pivot
            vanishes = pivot <= SINGULAR * largest[lane]
            scale[lane] = 0.0 if vanishes else 1.0 / root
            L[j * n + j, lane] = 0.0 if vanishes else root
        for i in range(j + 1, n):
            for lane in range(LANES):
                L[i * n + j, lane] *= scale[lane]
                L[j * n + i, lane] = 0.0
        for i in range(j + 1, n):
            for r in range(j + 1, i + 1):
                for lane in range(LANES):
                    L[i * n + r, lane] -= L[i * n + j, lane] * L[r * n + j, lane]


@inlined
def displace(x, u, L, xi, xl, ul):
    """(xl, ul) = (x, u) + L xi for one point xi (NZ,)."""
    combine(x, 0.0, x, xl, NX)
    combine(u, 0.0, u, ul, NU)
    for j in range(NZ):
        if xi[j] != 0.0:
            for i in range(j, NX):
                for lane in range(LANES):
                    xl[i, lane] += xi[j] * L[i * NZ + j, lane]
            for i in range(max(j - NX, 0), NU):
                for lane in range(LANES):
                    ul[i, lane] += xi[j] * L[(NX + i) * NZ + j, lane]


@inlined
def residuals(e, rule, y, M, R):
    """R (RESIDUAL, LANES), its lower triangles, from the changes e; e becomes the residuals."""
    xi, _, weights = rule
    fill(R, 0.0, RESIDUAL)
    for p in range(xi.shape[0]):
        r = matrix(e, p, NX, LANES)
        combine(r, -1.0, y, r, NX)
        for j in range(NZ):
            if xi[p, j] != 0.0:
                combine(r, -xi[p, j], matrix(M, j, NX, LANES), r, NX)
        for i in range(NX):
            for j in range(i + 1):
                for lane in range(LANES):
                    R[i * NX + j, lane] += weights[p] * r[i, lane] * r[j, lane]


@inlined
def correct(J, L, M):
    """J += (M - J L) L^-, where J and M (NZ * NX, LANES) are laid out by columns; M is lost."""
    for j in range(NZ):
        for r in range(j, NZ):
            for i in range(NX):
                for lane in range(LANES):
                    M[j * NX + i, lane] -= J[r * NX + i, lane] * L[r * NZ + j, lane]
    for j in range(NZ - 1, -1, -1):
        for r in range(j + 1, NZ):
            for i in range(NX):
                for lane in range(LANES):
                    M[j * NX + i, lane] -= M[r * NX + i, lane] * L[r * NZ + j, lane]
        for i in range(NX):
            for lane in range(LANES):
                pivot = L[j * NZ + j, lane]
                M[j * NX + i, lane] = 0.0 if pivot == 0.0 else M[j * NX + i, lane] / pivot
    combine(J, 1.0, M, J, JACOBIAN)


@inlined
def noise_root(G, first, R, lowest):
    """G = W + R by its factor, where G (T, RESIDUAL) holds W."""
    total = new_matrix(RESIDUAL, LANES)
    load(G, first, total)
    combine(total, 1.0, R, total, RESIDUAL)
    semidefinite_root(total, NX, lowest)
    for lane in range(min(LANES, G.shape[0] - first)):
        for i in range(RESIDUAL):
            G[first + lane, i] = total[i, lane]


@njit
def linearize(x, u, S, rule, c, dt, cs, e, y, A, B, G, v, cx, cu, Cxx, Cux, Cuu):
    """Local models of T stages.

    Args:
      x, u, S: means (T + 1, NX) and (T, NU), covariances (T, NZ * NZ) of (x, u).
      rule: xi (m, NZ), w (m,), v (m,).
      c, dt, cs: constants of the plant, its step, constants of the stage cost.
      e: scratch (m, NX, LANES).
      y, A, B, v, cx, cu, Cxx, Cux, Cuu: filled as by Taylor's model, without the terminal rows.
      G: (T, NX * NX), noise covariances W on entry, factors of W + R on return.

    Returns:
      the first stage whose S is indefinite, or -1.
    """
    T, (xi, w_mean, w_cov) = u.shape[0], rule
    xm, um, xl, ul = new_matrix(NX, LANES), new_matrix(NU, LANES), new_matrix(NX, LANES), new_matrix(NU, LANES)
    fm, k, xs, f_z = (
        new_matrix(NX, LANES),
        new_matrix(NX, LANES),
        new_matrix(STATES, LANES),
        new_matrix(JACOBIANS, LANES),
    )
    L, M, R = new_matrix(ROOT, LANES), new_matrix(JACOBIAN, LANES), new_matrix(RESIDUAL, LANES)
    change, lowest = new_matrix(NX, LANES), new_vector(LANES)
    J, Jt, nothing = new_matrix(JACOBIAN, LANES), new_matrix(NX, NZ), new_matrix(1, 1)
    vm, gm, Hm = new_matrix(1, LANES), new_matrix(NZ, LANES), new_matrix(HESSIAN, LANES)
    vl, gl, Hl = new_matrix(1, LANES), new_matrix(NZ, LANES), new_matrix(HESSIAN, LANES)
    vs, gs, Hs = new_matrix(1, LANES), new_matrix(NZ, LANES), new_matrix(HESSIAN, LANES)
    for first in range(0, T, LANES):
        count = min(LANES, T - first)
        load(x[:T], first, xm)
        load(u, first, um)
        load(S, first, L)
        semidefinite_root(L, NZ, lowest)
        for lane in range(count):
            if lowest[lane] < INDEFINITE:
                return first + lane
        stages(xm, um, c, dt, fm, xs, f_z)
        stage_quadratic(xm, um, cs, vm, gm, Hm)
        combine(vm, 0.0, vm, vs, 1)
        combine(gm, 0.0, gm, gs, NZ)
        combine(Hm, 0.0, Hm, Hs, HESSIAN)
        fill(change, 0.0, NX)
        fill(M, 0.0, JACOBIAN)
        for p in range(xi.shape[0]):
            ep = matrix(e, p, NX, LANES)
            displace(xm, um, L, vector(xi, p, NZ), xl, ul)
            advance(xl, ul, c, dt, xs, k, ep)
            combine(ep, -1.0, fm, ep, NX)
            combine(change, w_mean[p], ep, change, NX)
            for j in range(NZ):
                if xi[p, j] != 0.0:
                    combine(matrix(M, j, NX, LANES), w_cov[p] * xi[p, j], ep, matrix(M, j, NX, LANES), NX)
            stage_quadratic(xl, ul, cs, vl, gl, Hl)
            add_change(vs, w_mean[p], vl, vm, 1)
            add_change(gs, w_mean[p], gl, gm, NZ)
            add_change(Hs, w_mean[p], Hl, Hm, HESSIAN)
        residuals(e, rule, change, M, R)
        noise_root(G, first, R, lowest)
        for lane in range(LANES):
            chain(f_z, nothing, False, lane, dt, Jt, nothing)
            for j in range(NZ):
                for i in range(NX):
                    J[j * NX + i, lane] = Jt[i, j]
        correct(J, L, M)
        for lane in range(count):
            t = first + lane
            v[t] = vs[0, lane]
            for i in range(NX):
                y[t, i] = fm[i, lane] + change[i, lane]
                cx[t, i] = gs[i, lane]
                for j in range(NX):
                    A[t, i, j] = J[j * NX + i, lane]
                    Cxx[t, i, j] = Hs[i * NZ + j, lane]
                for j in range(NU):
                    B[t, i, j] = J[(NX + j) * NX + i, lane]
            for i in range(NU):
                cu[t, i] = gs[NX + i, lane]
                for j in range(NX):
                    Cux[t, i, j] = Hs[(NX + i) * NZ + j, lane]
                for j in range(NU):
                    Cuu[t, i, j] = Hs[(NX + i) * NZ + NX + j, lane]
    return -1


@njit
def finish(x, S, rule, ct, v, g, H):
    """Mean value v (1,), gradient g (NX,) and Hessian H (NX, NX) of the terminal cost over N(x, S), points in lanes.

    S is (1, NX * NX), H (1, NX, NX).

    Returns:
      whether S is positive semidefinite.
    """
    xi, weights, _ = rule
    L, lowest, xl = new_matrix(RESIDUAL, LANES), new_vector(LANES), new_matrix(NX, LANES)
    vl, gl, Hl = new_matrix(1, LANES), new_matrix(NX, LANES), new_matrix(RESIDUAL, LANES)
    vm, gm, Hm = new_vector(1), new_vector(NX), new_vector(RESIDUAL)
    load(S, 0, L)
    semidefinite_root(L, NX, lowest)
    if lowest[0] < INDEFINITE:
        return False
    H = vector(H, 0, RESIDUAL)
    for i in range(NX):
        for lane in range(LANES):
            xl[i, lane] = x[i]
    terminal_quadratic(xl, ct, vl, gl, Hl)
    v[0] = vm[0] = vl[0, 0]
    for i in range(NX):
        g[i] = gm[i] = gl[i, 0]
    for i in range(RESIDUAL):
        H[i] = Hm[i] = Hl[i, 0]
    for first in range(0, xi.shape[0], LANES):
        count = min(LANES, xi.shape[0] - first)
        for i in range(NX):
            for lane in range(count):
                xl[i, lane] = x[i]
                for j in range(i + 1):
                    xl[i, lane] += L[i * NX + j, 0] * xi[first + lane, j]
        terminal_quadratic(xl, ct, vl, gl, Hl)
        for lane in range(count):
            w = weights[first + lane]
            v[0] += w * (vl[0, lane] - vm[0])
            for i in range(NX):
                g[i] += w * (gl[i, lane] - gm[i])
            for i in range(RESIDUAL):
                H[i] += w * (Hl[i, lane] - Hm[i])
    return True
