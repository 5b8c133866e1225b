"""Template: statistical linearization of a plant, LANES stages at a time.

    z ~ N(m, S),  S = U'U,  points z_i = m + U' xi_i,  weights w_i of means and v_i of covariances,  e_i = f(z_i) - f(m)

    mean      y = f(m) + sum w_i e_i
    slope     M = sum v_i e_i xi_i',   [A B] U' = M
    residual  r_i = e_i - (y - f(m)) - M xi_i,   R = sum v_i r_i r_i' = S_yy - [A B] S [A B]'

[A B] = J + (M - J U') U'^-, with the Jacobian J at the mean, which holds alone along directions without variance. Sums
of differences from f(m) keep their digits however small S is. The rules have sum w = 1, sum w xi = 0 and
sum v xi xi' = I.
"""

from numba import njit

from ppi_robotics.kernels.algebra import semidefinite_roots
from ppi_robotics.kernels.generated import LANES, NU, NX, NZ, STAGES
from ppi_robotics.kernels.integrate import JACOBIAN, advance, chain, stages
from ppi_robotics.kernels.sigma import ROOT, add, copy, displace, load_means, load_upper
from ppi_robotics.kernels.tiles import matrix, new_matrix, new_vector

STATES, JACOBIANS, RESIDUAL = STAGES * NX, STAGES * JACOBIAN, NX * NX


@njit
def residuals(e, rule, change, M, R, lanes):
    """Add to R (NX * NX, LANES), its upper triangles, from the e_i, which become the residuals.

    lanes is LANES, unknown to the compiler, which would unroll loops instead of turning them into vectors.
    """
    xi, _, weights = rule
    for p in range(xi.shape[0]):
        r = matrix(e, p, NX, LANES)
        add(r, -1.0, change, NX)
        for j in range(NZ):
            if xi[p, j] != 0.0:
                add(r, -xi[p, j], matrix(M, j, NX, LANES), NX)
        for i in range(NX):
            for j in range(i, NX):
                for lane in range(lanes):
                    R[i * NX + j, lane] += weights[p] * r[i, lane] * r[j, lane]


@njit
def correct(J, U, M, lanes):
    """J += (M - J U') U'^-, where J and M (NZ * NX, LANES) are laid out by columns; lanes as above.

    From the last column on: those behind it are corrected already.
    """
    column, scale = new_matrix(NX, LANES), new_vector(LANES)  # no part of J, which loops read
    for j in range(NZ - 1, -1, -1):
        copy(matrix(M, j, NX, LANES), column, NX)
        for r in range(j, NZ):
            for i in range(NX):
                for lane in range(lanes):
                    column[i, lane] -= J[r * NX + i, lane] * U[j * NZ + r, lane]
        for lane in range(lanes):
            pivot = U[j * NZ + j, lane]
            scale[lane] = 0.0 if pivot == 0.0 else 1.0 / pivot
        for i in range(NX):
            for lane in range(lanes):
                J[j * NX + i, lane] += column[i, lane] * scale[lane]


@njit
def linearize(x, u, S, rule, process, c, dt, e, d, A, B, G):
    """Defects d (T, NX) of the mean next states, slopes A (T, NX, NX), B (T, NX, NU), factors G (T, NX, NX) of R + W.

    Args:
      x, u: means (T + 1, NX) and (T, NU).
      S: covariances (T, NZ * NZ) of (x, u).
      rule: xi (m, NZ), w (m,), v (m,).
      process: covariance W (NX, NX) of the process noise.
      c, dt: constants of the plant and its step.
      e: scratch (m, NX, LANES).

    Returns:
      index of the first S that is indefinite, or -1.
    """
    T, (xi, w_mean, w_cov) = u.shape[0], rule
    z, zp, Ul, f = new_matrix(NZ, LANES), new_matrix(NZ, LANES), new_matrix(ROOT, LANES), new_matrix(NX, LANES)
    k, xs, f_z = new_matrix(NX, LANES), new_matrix(STATES, LANES), new_matrix(JACOBIANS, LANES)
    M, R, change = new_matrix(JACOBIAN, LANES), new_matrix(RESIDUAL, LANES), new_matrix(NX, LANES)
    J, Jt, nothing = new_matrix(JACOBIAN, LANES), new_matrix(NX, NZ), new_matrix(1, 1)
    lanes, indefinite = e.shape[2], -1
    for first in range(0, T, LANES):
        load_means(x, u, first, z)
        load_upper(S, first, Ul)
        wrong = semidefinite_roots(Ul, NZ, lanes)
        if wrong >= 0 and indefinite < 0:
            indefinite = min(first + wrong, T - 1)
        stages(z[:NX], z[NX:], c, dt, f, xs, f_z)
        for i in range(NX):
            for lane in range(LANES):
                change[i, lane] = 0.0
        for i in range(JACOBIAN):
            for lane in range(LANES):
                M[i, lane] = 0.0
        for p in range(xi.shape[0]):
            ep = matrix(e, p, NX, LANES)
            displace(z, Ul, xi, p, zp)
            advance(zp[:NX], zp[NX:], c, dt, xs, k, ep)
            add(ep, -1.0, f, NX)
            add(change, w_mean[p], ep, NX)
            for j in range(NZ):
                if xi[p, j] != 0.0:
                    add(matrix(M, j, NX, LANES), w_cov[p] * xi[p, j], ep, NX)
        for i in range(NX):
            for j in range(i, NX):
                for lane in range(lanes):
                    R[i * NX + j, lane] = process[i, j]
        residuals(e, rule, change, M, R, lanes)
        semidefinite_roots(R, NX, lanes)
        for lane in range(LANES):
            chain(f_z, nothing, False, lane, dt, Jt, nothing)
            for j in range(NZ):
                for i in range(NX):
                    J[j * NX + i, lane] = Jt[i, j]
        correct(J, Ul, M, lanes)
        add(f, 1.0, change, NX)
        for lane in range(min(LANES, T - first)):
            t = first + lane
            for i in range(NX):
                d[t, i] = f[i, lane] - x[t + 1, i]
                for j in range(NX):
                    A[t, i, j] = J[j * NX + i, lane]
                for j in range(NU):
                    B[t, i, j] = J[(NX + j) * NX + i, lane]
                for j in range(NX):
                    G[t, i, j] = R[j * NX + i, lane] if j <= i else 0.0
    return indefinite
