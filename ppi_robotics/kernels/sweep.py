"""Template: the rows of `recursion` for given sizes, function by function, and the passes that run them.

Inverses go through factors H = U'DU: with Y = U^-T Q_ux and Z = -D^-1 Y, K = U^-1 Z and Q_ux'K = Y'Z. Matrices of one
stage are scratch on the stack, so that the compiler knows that they do not overlap.
"""

import numpy as np
from numba import njit

from ppi_robotics.kernels.algebra import (
    back_substitute,
    box_step,
    divide_by_pivots,
    factorize,
    forward_substitute,
    log_pivots,
    mirror,
)
from ppi_robotics.kernels.generated import NM, NU, NW, NX, NZ, inlined
from ppi_robotics.kernels.tiles import (
    matrix,
    new_matrix,
    new_vector,
    product,
    symmetric_product,
    transposed_product,
    vector,
)

DONE, RISK_BREAKDOWN, INDEFINITE, NON_FINITE = 0, 1, 2, 3


@inlined
def risk_step(P, p, p0, G, lS, counted, Ps, ps):
    """Row risk: P~ and p~ into Ps and ps; returns p~_0 (if `counted`) and whether M is positive definite."""
    M, Y, Z = new_matrix(NW, NW), new_matrix(NW, NX), new_matrix(NW, NX)
    y, z = new_vector(NW), new_vector(NW)
    if NW > 0:
        transposed_product(None, G, P, Y, NW, NX, NX)
        product(None, Y, G, M, NW, NX, NW)
    if lS == 0.0 or NW == 0:
        for i in range(NW):
            p0 += 0.5 * M[i, i]
        for i in range(NX):
            ps[i] = p[i]
            for j in range(NX):
                Ps[i, j] = P[i, j]
        return p0, True
    transposed_product(None, G, p, y, NW, NX, 1)
    for i in range(NW):
        for j in range(NW):
            M[i, j] = lS * M[i, j] + (1.0 if i == j else 0.0)
    if not factorize(M, NW):
        return p0, False
    forward_substitute(M, Y, y, NW, NX)
    divide_by_pivots(M, Y, y, Z, z, NW, NX, -lS)
    symmetric_product(P, Y, Z, Ps, NX, NW, NX)
    mirror(Ps, NX)
    product(p, y, Z, ps, 1, NW, NX)
    for i in range(NW):
        p0 += 0.5 * y[i] * z[i]
    return p0 + log_pivots(M, NW) / (2.0 * lS) if counted else 0.0, True


@inlined
def q_step(A, B, d, Cxx, Cux, Cuu, cx, cu, Ps, ps, Qxx, Qux, Quu, qx, qu):
    """Row Q: fills Qxx (lower triangle), Qux, Quu, qx, qu; returns d'P~d/2 + p~'d."""
    PA, BP, e = new_matrix(NX, NX), new_matrix(NU, NX), new_vector(NX)
    product(None, Ps, A, PA, NX, NX, NX)
    transposed_product(None, B, Ps, BP, NU, NX, NX)
    product(ps, d, Ps, e, 1, NX, NX)
    symmetric_product(Cxx, A, PA, Qxx, NX, NX, NX)
    product(Cux, BP, A, Qux, NU, NX, NX)
    product(Cuu, BP, B, Quu, NU, NX, NU)
    product(cx, e, A, qx, 1, NX, NX)
    product(cu, e, B, qu, 1, NX, NU)
    change = 0.0
    for i in range(NX):
        change += 0.5 * d[i] * (e[i] + ps[i])
    return change


@inlined
def noise_step(E, t, G, Ps, N, Qxx, Qux, Quu, qx, qu):
    """Row noise: adds z'Nz/2 and its gradient, for noise that grows with state and control; fills N (NZ, NZ)."""
    PE, e = new_matrix(NX, NZ), new_vector(NX)
    for i in range(NZ):
        for j in range(NZ):
            N[i, j] = 0.0
    for m in range(NM):
        Em = matrix(E, t * NM + m, NX, NZ)
        product(None, Ps, Em, PE, NX, NX, NZ)
        transposed_product(N, Em, PE, N, NZ, NX, NZ)
        for i in range(NX):
            e[i] = G[i, NW - NM + m]
        for i in range(NX):
            for j in range(NX):
                qx[j] += e[i] * PE[i, j]
            for j in range(NU):
                qu[j] += e[i] * PE[i, NX + j]
    for i in range(NX):
        for j in range(NX):
            Qxx[i, j] += N[i, j]
    for i in range(NU):
        for j in range(NX):
            Qux[i, j] += N[NX + i, j]
        for j in range(NU):
            Quu[i, j] += N[NX + i, NX + j]


@njit
def about_baseline(K, k, Qxx, Qux, Quu, qx, qu):
    """Express Q in v = u - K x - k (Qxx by its lower triangle); returns the change of q_0."""
    Rxx, Rux, rx, ru = new_matrix(NX, NX), new_matrix(NU, NX), new_vector(NX), new_vector(NU)
    product(Qux, Quu, K, Rux, NU, NU, NX)
    product(qu, Quu, k, ru, NU, NU, 1)
    symmetric_product(Qxx, K, Rux, Rxx, NX, NU, NX)
    symmetric_product(Rxx, Qux, K, Qxx, NX, NU, NX)
    product(qx, k, Qux, rx, 1, NU, NX)
    product(rx, ru, K, qx, 1, NU, NX)
    change = 0.0
    for i in range(NU):
        change += 0.5 * k[i] * (qu[i] + ru[i])
        qu[i] = ru[i]
        for j in range(NX):
            Qux[i, j] = Rux[i, j]
    return change


@njit
def clamp(H, qu, limits, k, free, U):
    """Minimizer k of qu'k + k'Hk/2 within limits, and factors U of H on the free entries; False if there are none.

    What the solver sees are copies, so that the arrays of the other stages' path can stay in registers.
    """
    Hc, qc, kc, Uc, fc = new_matrix(NU, NU), new_vector(NU), new_vector(NU), new_matrix(NU, NU), new_vector(NU)
    for i in range(NU):
        qc[i], kc[i] = qu[i], k[i]
        for j in range(NU):
            Hc[i, j] = Uc[i, j] = H[i, j]
    if not factorize(Uc, NU) or not box_step(Hc, qc, limits, kc, fc, Uc):
        return False
    for i in range(NU):
        k[i], free[i] = kc[i], fc[i]
        for j in range(NU):
            U[i, j] = Uc[i, j]
    return True


@inlined
def predicted(qu, H, k):
    """q_u'k and k'Hk."""
    linear, quadratic = 0.0, 0.0
    for i in range(NU):
        linear += qu[i] * k[i]
        for j in range(NU):
            quadratic += k[i] * H[i, j] * k[j]
    return linear, quadratic


@inlined
def policy_step(H, Qxx, Qux, qx, qu, boxed, limits, free, U, K, k, P, p):
    """Row policy: K and k on the free controls, P and p; False if H is not positive definite. k holds a start."""
    Y, Z, y, z = new_matrix(NU, NX), new_matrix(NU, NX), new_vector(NU), new_vector(NU)
    for i in range(NU):
        y[i] = qu[i]
        for j in range(NU):
            U[i, j] = H[i, j]
        for j in range(NX):
            Y[i, j] = Qux[i, j]
    if boxed:
        if not clamp(H, qu, limits, k, free, U):
            return False
        for i in range(NU):
            for j in range(NX):
                Y[i, j] = free[i] * Qux[i, j]
    elif not factorize(U, NU):
        return False
    forward_substitute(U, Y, y, NU, NX)
    divide_by_pivots(U, Y, y, Z, z, NU, NX, -1.0)
    symmetric_product(Qxx, Y, Z, P, NX, NU, NX)
    mirror(P, NX)
    back_substitute(U, Z, z, NU, NX)
    for i in range(NU):
        k[i] = k[i] if boxed else z[i]
        for j in range(NX):
            K[i, j] = Z[i, j]
    product(qx, k, Qux, p, 1, NU, NX)
    return True


@njit
def backward(model, lS, half_inverse_lP, baseline, damping, box, value, ahead, policy, N):
    """The backward pass; fills values P, p, p0 (T + 1), P~, p~ (T) unless lS is 0, gains K, k and H (T), and N.

    p0 may have length 0 where it is not wanted; its logarithms take time.

    Args:
      model: A, B, d, G, E, Cxx, Cux, Cuu, cx, cu, c0.
      lS: lambda_transition.
      half_inverse_lP: 1 / (2 lambda_policy); 0 for an infinite one, infinity to evaluate the baseline itself.
      baseline: K_r, k_r, precision (lP S_r)^-1 (S_r itself to evaluate it), of 0 rows if flat; and constants (T,)
        that complete the logarithms of determinants.
      damping: (NX,) and (NU,), added to the diagonals of C_xx and of H.
      box: bounds (T, NU, 2) of k, or 0 rows.

    Returns:
      how it ended, stage at which it ended or -1, and slope and curvature of the predicted cost along k.
    """
    A, B, d, G, E, Cxx, Cux, Cuu, cx, cu, c0 = model
    (P, p, p0), (P_ahead, p_ahead), (K, k, H) = value, ahead, policy
    K_r, k_r, precision, constant = baseline
    flat, boxed, fixed = K_r.shape[0] == 0, box.shape[0] > 0, half_inverse_lP == np.inf
    V, v, Ps, ps = new_matrix(NX, NX), new_vector(NX), new_matrix(NX, NX), new_vector(NX)
    Qxx, Qux, Quu, qx, qu = new_matrix(NX, NX), new_matrix(NU, NX), new_matrix(NU, NU), new_vector(NX), new_vector(NU)
    U, ff, free = new_matrix(NU, NU), new_vector(NU), new_vector(NU)
    slope, curvature, T, counted = 0.0, 0.0, A.shape[0], p0.shape[0] > 0
    for i in range(NU):
        ff[i] = 0.0
    terminal_value(matrix(Cxx, T, NX, NX), vector(cx, T, NX), damping[0], V, v)
    store(V, v, matrix(P, T, NX, NX), vector(p, T, NX))
    if counted:
        p0[T] = c0[T]
    for t in range(T - 1, -1, -1):
        Gt, Ht, Kt = matrix(G, t, NX, NW), matrix(H, t, NU, NU), matrix(K, t, NU, NX)
        q0, fine = risk_step(V, v, p0[t + 1] if counted else 0.0, Gt, lS, counted, Ps, ps)
        if not fine:
            return RISK_BREAKDOWN, t, slope, curvature
        if lS != 0.0:
            store(Ps, ps, matrix(P_ahead, t, NX, NX), vector(p_ahead, t, NX))
        At, Bt, dt = matrix(A, t, NX, NX), matrix(B, t, NX, NU), vector(d, t, NX)
        blocks = matrix(Cxx, t, NX, NX), matrix(Cux, t, NU, NX), matrix(Cuu, t, NU, NU)
        q0 += c0[t] + q_step(At, Bt, dt, *blocks, vector(cx, t, NX), vector(cu, t, NU), Ps, ps, Qxx, Qux, Quu, qx, qu)
        if NM > 0:
            noise_step(E, t, Gt, Ps, matrix(N, t, NZ, NZ), Qxx, Qux, Quu, qx, qu)
        if not flat:
            q0 += about_baseline(matrix(K_r, t, NU, NX), vector(k_r, t, NU), Qxx, Qux, Quu, qx, qu)
        if fixed:
            q0 += keep_baseline(matrix(precision, t, NU, NU), Qux, Quu, qu, Ht)
        else:
            for i in range(NU):
                for j in range(NU):
                    Ht[i, j] = Quu[i, j]
                    if not flat:
                        Ht[i, j] += precision[t, i, j]
                Ht[i, i] += damping[1][i]
        for i in range(NX):
            Qxx[i, i] += damping[0][i]
        limits = matrix(box, t, NU, 2)
        if not policy_step(Ht, Qxx, Qux, qx, qu, boxed, limits, free, U, Kt, ff, V, v):
            return INDEFINITE, t, slope, curvature
        store(V, v, matrix(P, t, NX, NX), vector(p, t, NX))
        linear, quadratic = predicted(qu, Ht, ff)
        slope += linear
        curvature += quadratic
        if counted:
            p0[t] = q0 + linear + 0.5 * quadratic
            if half_inverse_lP > 0.0 and not fixed:
                p0[t] += half_inverse_lP * (log_pivots(U, NU) + constant[t])
        for i in range(NU):
            k[t, i] = ff[i]
            if not flat:
                k[t, i] += k_r[t, i]
                for j in range(NX):
                    Kt[i, j] += K_r[t, i, j]
        total = p0[t] if counted else 0.0  # not finite if any of these entries is not
        for i in range(NX):
            total += V[i, i] + v[i]
        if not np.isfinite(total):
            return NON_FINITE, t, slope, curvature
    return DONE, -1, slope, curvature


@inlined
def store(V, v, P, p):
    """Copy a value to its place in the output."""
    for i in range(NX):
        p[i] = v[i]
        for j in range(NX):
            P[i, j] = V[i, j]


@njit
def terminal_value(C, c, damping, P, p):
    """Value after the last stage: the terminal cost."""
    for i in range(NX):
        for j in range(NX):
            P[i, j] = 0.5 * (C[i, j] + C[j, i])
        P[i, i] += damping[i]
        p[i] = c[i]


@njit
def keep_baseline(S, Qux, Quu, qu, H):
    """For lambda_policy = 0 the policy is the baseline: v has mean 0 and covariance S; returns the change of q_0."""
    change = 0.0
    for i in range(NU):
        qu[i] = 0.0
        for j in range(NX):
            Qux[i, j] = 0.0
        for j in range(NU):
            change += 0.5 * S[i, j] * Quu[i, j]
            H[i, j] = 1.0 if i == j else 0.0
    return change


@njit
def forward(model, lS, P_ahead, p_ahead, K, k, x, u, w, y):
    """The forward pass, row path: means x (T + 1, NX) from x[0], u (T, NU), w (T, NW) and multipliers y (T, NX)."""
    A, B, d, G = model[:4]
    m, e = new_vector(NX), new_vector(NX)
    for t in range(A.shape[0]):
        xt, xn, ut, yt = vector(x, t, NX), vector(x, t + 1, NX), vector(u, t, NU), vector(y, t, NX)
        product(vector(k, t, NU), matrix(K, t, NU, NX), xt, ut, NU, NX, 1)
        product(vector(d, t, NX), matrix(A, t, NX, NX), xt, e, NX, NX, 1)
        product(e, matrix(B, t, NX, NU), ut, m, NX, NU, 1)
        product(vector(p_ahead, t, NX), m, matrix(P_ahead, t, NX, NX), yt, 1, NX, NX)
        if NW == 0 or lS == 0.0:
            for i in range(NX):
                xn[i] = m[i]
            for i in range(NW):
                w[t, i] = 0.0
        else:
            Gt, wt = matrix(G, t, NX, NW), vector(w, t, NW)
            transposed_product(None, Gt, yt, wt, NW, NX, 1)
            for i in range(NW):
                wt[i] *= -lS
            product(m, Gt, wt, xn, NX, NW, 1)
