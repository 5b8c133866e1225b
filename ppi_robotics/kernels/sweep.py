"""Template: the backward and the forward recursion on a linear-quadratic-Gaussian model, for given sizes.

    x' = A x + B u + d + G w,  w ~ N(0, I);   stage cost 1/2 z'C z + c'z + c_0,  z = (x, u);   V = 1/2 x'Px + p'x + p_0

Backward, with (P, p, p_0) of the stage after, lS = lambda_transition, lP = lambda_policy, rho = N(K_r x + k_r, S_r):

    risk     M = I + lS G'PG,   P~ = P - lS PG M^-1 G'P,   p~ = p - lS PG M^-1 G'p
             p~_0 = p_0 - lS/2 p'G M^-1 G'p + log det M / 2 lS                               [lS = 0: p_0 + tr(G'PG)/2]
    Q        Q_xx = C_xx + A'P~A,   Q_ux = C_ux + B'P~A,   Q_uu = C_uu + B'P~B
             q_x = c_x + A'(P~d + p~),   q_u = c_u + B'(P~d + p~),   q_0 = c_0 + d'P~d/2 + p~'d + p~_0
    policy   in v = u - K_r x - k_r:   H = Q_uu + (lP S_r)^-1,   v = K x + k,   K = -H^-1 Q_ux,   k = -H^-1 q_u
             P = Q_xx + Q_ux'K,   p = q_x + Q_ux'k,   p_0 = q_0 + q_u'k + k'Hk/2 + log det(I + lP S_r Q_uu) / 2 lP

Forward under the policy and the tilted dynamics, m = A x + B u + d:

    w = -lS M^-1 G'(P m + p),   x' = m + G w,   y = P x' + p
"""

import numpy as np
from numba import njit

from ppi_robotics.kernels.algebra import (
    add_symmetric_product,
    add_transposed_product,
    box_step,
    cholesky,
    mirror,
    product,
    solve_lower,
    solve_upper,
)
from ppi_robotics.kernels.generated import NU, NW, NX

DONE, RISK_BREAKDOWN, INDEFINITE = 0, 1, 2


@njit
def soften(P, p, p0, G, lS, M, V, v, Ps, ps):
    """Risk step: P~ and p~ into Ps and ps; returns p~_0 and whether M is positive definite.

    V (NW, NX) and v (NW, 1) are left holding C^-1 G'P and C^-1 G'p with M = CC'.
    """
    for i in range(NX):
        for j in range(NX):
            Ps[i, j] = P[i, j]
        ps[i] = p[i]
    if NW == 0:
        return p0, True
    if lS == 0.0:
        for i in range(NW):
            for r in range(NX):
                s = 0.0
                for j in range(NX):
                    s += P[r, j] * G[j, i]
                p0 += 0.5 * G[r, i] * s
        return p0, True
    for i in range(NW):
        v[i, 0] = 0.0
        for j in range(NX):
            V[i, j] = 0.0
        for r in range(NX):
            a = G[r, i]
            if a != 0.0:
                v[i, 0] += a * p[r]
                for j in range(NX):
                    V[i, j] += a * P[r, j]
    for i in range(NW):
        for j in range(NW):
            s = 0.0
            for r in range(NX):
                s += V[i, r] * G[r, j]
            M[i, j] = lS * s + (1.0 if i == j else 0.0)
    if not cholesky(M, NW):
        return p0, False
    solve_lower(M, V, NW, NX)
    solve_lower(M, v, NW, 1)
    add_symmetric_product(V, V, Ps, NW, NX, -lS)
    mirror(Ps, NX)
    for i in range(NW):
        for j in range(NX):
            ps[j] -= lS * V[i, j] * v[i, 0]
        p0 += np.log(M[i, i]) / lS - 0.5 * lS * v[i, 0] * v[i, 0]
    return p0, True


@njit
def evaluate(A, B, d, Cxx, Cux, Cuu, cx, cu, c0, Ps, ps, ps0, PA, PB, e, Qxx, Qux, Quu, qx, qu):
    """Q step: fills Qxx (lower triangle), Qux, Quu (lower triangle), qx, qu; returns q_0."""
    product(Ps, A, PA, NX, NX, NX)
    product(Ps, B, PB, NX, NX, NU)
    q0 = c0 + ps0
    for i in range(NX):
        e[i] = ps[i]
        for j in range(NX):
            e[i] += Ps[i, j] * d[j]
        q0 += 0.5 * d[i] * (e[i] + ps[i])
    for i in range(NX):
        for j in range(i + 1):
            Qxx[i, j] = Cxx[i, j]
        s = cx[i]
        for r in range(NX):
            s += A[r, i] * e[r]
        qx[i] = s
    for i in range(NU):
        for j in range(NX):
            Qux[i, j] = Cux[i, j]
        for j in range(i + 1):
            Quu[i, j] = Cuu[i, j]
        s = cu[i]
        for r in range(NX):
            s += B[r, i] * e[r]
        qu[i] = s
    add_symmetric_product(A, PA, Qxx, NX, NX, 1.0)
    add_transposed_product(B, PA, Qux, NX, NU, NX, 1.0)
    add_symmetric_product(B, PB, Quu, NX, NU, 1.0)
    mirror(Quu, NU)
    return q0


@njit
def rebase(K, k, Qxx, Qux, Quu, qx, qu):
    """Express Q in v = u - K x - k (Qxx by its lower triangle); returns the change of q_0."""
    change = 0.0
    for i in range(NU):
        s = qu[i]
        for r in range(NU):
            s += 0.5 * Quu[i, r] * k[r]
        change += s * k[i]
    for i in range(NX):
        for r in range(NU):
            s = 0.0
            for m in range(NU):
                s += Quu[r, m] * k[m]
            qx[i] += Qux[r, i] * k[r] + K[r, i] * (qu[r] + s)
    for i in range(NX):
        for j in range(i + 1):
            for r in range(NU):
                s = 0.0
                for m in range(NU):
                    s += Quu[r, m] * K[m, j]
                Qxx[i, j] += K[r, i] * (Qux[r, j] + s) + Qux[r, i] * K[r, j]
    for r in range(NU):
        for m in range(NU):
            qu[r] += Quu[r, m] * k[m]
            for j in range(NX):
                Qux[r, j] += Quu[r, m] * K[m, j]
    return change


@njit
def backward(model, lS, half_inverse_lP, baseline, damping, box, P, p, p0, K, k, H):
    """The backward sweep; fills values P, p, p0 (T + 1), gains K, k and H (T).

    Args:
      model: A, B, d, G, Cxx, Cux, Cuu, cx, cu, c0.
      lS: lambda_transition.
      half_inverse_lP: 1 / (2 lambda_policy); 0 for an infinite one, infinity to evaluate the baseline itself.
      baseline: K_r, k_r, precision (lP S_r)^-1 (S_r itself to evaluate it), of 0 rows if flat; and constants (T,)
        that complete the logarithms of determinants.
      damping: two numbers, added to the diagonals of C_xx and of H.
      box: bounds (T, NU, 2) of k, or 0 rows.

    Returns:
      how it ended, stage at which it ended or -1, and slope and curvature of the predicted cost along k.
    """
    A, B, d, G, Cxx, Cux, Cuu, cx, cu, c0 = model
    K_r, k_r, precision, constant = baseline
    T = A.shape[0]
    flat, boxed, fixed = K_r.shape[0] == 0, box.shape[0] > 0, half_inverse_lP == np.inf
    state_damping, control_damping = damping
    M, V, v = np.empty((max(NW, 1), max(NW, 1))), np.empty((max(NW, 1), NX)), np.empty((max(NW, 1), 1))
    Ps, ps, PA, PB, e = np.empty((NX, NX)), np.empty(NX), np.empty((NX, NX)), np.empty((NX, NU)), np.empty(NX)
    Qux, Quu, qx, qu = np.empty((NU, NX)), np.empty((NU, NU)), np.empty(NX), np.empty(NU)
    C, ff, free, warm = np.empty((NU, NU)), np.empty((NU, 1)), np.empty(NU, dtype=np.bool_), np.zeros(NU)
    slope, curvature = 0.0, 0.0
    for i in range(NX):
        for j in range(NX):
            P[T, i, j] = 0.5 * (Cxx[T, i, j] + Cxx[T, j, i])
        P[T, i, i] += damping[0]
        p[T, i] = cx[T, i]
    p0[T] = c0[T]
    for t in range(T - 1, -1, -1):
        ps0, fine = soften(P[t + 1], p[t + 1], p0[t + 1], G[t], lS, M, V, v, Ps, ps)
        if not fine:
            return RISK_BREAKDOWN, t, slope, curvature
        Pt, pt, Kt, kt, Ht = P[t], p[t], K[t], k[t], H[t]
        q0 = evaluate(A[t], B[t], d[t], Cxx[t], Cux[t], Cuu[t], cx[t], cu[t], c0[t], Ps, ps, ps0, PA, PB, e, Pt, Qux, Quu, qx, qu)
        for i in range(NX):
            Pt[i, i] += state_damping
        if not flat:
            q0 += rebase(K_r[t], k_r[t], Pt, Qux, Quu, qx, qu)
        for i in range(NU):
            for j in range(NU):
                Ht[i, j] = Quu[i, j] + (0.0 if flat or fixed else precision[t, i, j])
            Ht[i, i] += control_damping
        if fixed:
            for i in range(NU):
                qu[i] = 0.0
                for j in range(NX):
                    Qux[i, j] = 0.0
                for j in range(NU):
                    q0 += 0.5 * precision[t, i, j] * Quu[i, j]
                    Ht[i, j] = 1.0 if i == j else 0.0
        for i in range(NU):
            for j in range(NU):
                C[i, j] = Ht[i, j]
        if boxed:
            if not cholesky(C, NU) or not box_step(Ht, qu, box[t, :, 0], box[t, :, 1], warm, free, C, NU):
                return INDEFINITE, t, slope, curvature
        elif not cholesky(C, NU):
            return INDEFINITE, t, slope, curvature
        for i in range(NU):
            ff[i, 0] = -qu[i]
            for j in range(NX):
                Kt[i, j] = -Qux[i, j] if not boxed or free[i] else 0.0
        solve_lower(C, Kt, NU, NX)
        solve_upper(C, Kt, NU, NX)
        if boxed:
            for i in range(NU):
                kt[i] = warm[i]
        else:
            solve_lower(C, ff, NU, 1)
            solve_upper(C, ff, NU, 1)
            for i in range(NU):
                kt[i] = ff[i, 0]
        # P = Qxx + Qux'K is symmetric because H K = -Qux on the free controls
        add_symmetric_product(Qux, Kt, Pt, NU, NX, 1.0)
        mirror(Pt, NX)
        for j in range(NX):
            pt[j] = qx[j]
            for i in range(NU):
                pt[j] += Qux[i, j] * kt[i]
        linear, quadratic = 0.0, 0.0
        for i in range(NU):
            linear += qu[i] * kt[i]
            for j in range(NU):
                quadratic += kt[i] * Ht[i, j] * kt[j]
        slope += linear
        curvature += quadratic
        p0[t] = q0 + linear + 0.5 * quadratic
        if half_inverse_lP > 0.0 and not fixed:
            for i in range(NU):
                p0[t] += half_inverse_lP * 2.0 * np.log(C[i, i])
            p0[t] += half_inverse_lP * constant[t]
        if not flat:
            for i in range(NU):
                kt[i] += k_r[t, i]
                for j in range(NX):
                    Kt[i, j] += K_r[t, i, j]
    return DONE, -1, slope, curvature


@njit
def forward(model, lS, P, p, K, k, x, u, w, y):
    """The forward sweep: means x (T + 1, NX) from x[0], u (T, NU), w (T, NW) and multipliers y (T, NX)."""
    A, B, d, G, Cxx, Cux, Cuu, cx, cu, c0 = model
    M, v, m = np.empty((max(NW, 1), max(NW, 1))), np.empty((max(NW, 1), 1)), np.empty(NX)
    for t in range(A.shape[0]):
        for i in range(NU):
            u[t, i] = k[t, i]
            for j in range(NX):
                u[t, i] += K[t, i, j] * x[t, j]
        for i in range(NX):
            m[i] = d[t, i]
            for j in range(NX):
                m[i] += A[t, i, j] * x[t, j]
            for j in range(NU):
                m[i] += B[t, i, j] * u[t, j]
            x[t + 1, i] = m[i]
        for i in range(NX):
            y[t, i] = p[t + 1, i]
            for j in range(NX):
                y[t, i] += P[t + 1, i, j] * m[j]
        if NW > 0 and lS != 0.0:
            disturb(P[t + 1], G[t], lS, y[t], M, v)
            for i in range(NW):
                w[t, i] = v[i, 0]
                for j in range(NX):
                    x[t + 1, j] += G[t, j, i] * v[i, 0]
            for i in range(NX):
                y[t, i] = p[t + 1, i]
                for j in range(NX):
                    y[t, i] += P[t + 1, i, j] * x[t + 1, j]
        else:
            for i in range(NW):
                w[t, i] = 0.0


@njit
def disturb(P, G, lS, y, M, v):
    """v (NW, 1) = -lS M^-1 G'y, the mean of the tilted noise."""
    for i in range(NW):
        v[i, 0] = 0.0
        for r in range(NX):
            v[i, 0] -= lS * G[r, i] * y[r]
        for j in range(NW):
            s = 0.0
            for r in range(NX):
                for q in range(NX):
                    s += G[r, i] * P[r, q] * G[q, j]
            M[i, j] = lS * s + (1.0 if i == j else 0.0)
    cholesky(M, NW)
    solve_lower(M, v, NW, 1)
    solve_upper(M, v, NW, 1)
