"""Template: what is made of a backward pass on a local model: covariances, and the whole step of multiple shooting.

Under the policy and the tilted dynamics cov x' = F cov(x, u) F' + J W,   F = J [A B],   J = I - lS W P~,   W = G G'.
What stands between the passes of a step is never seen outside, so that no arrays are handed over.
"""

import numpy as np
from numba import njit

from ppi_robotics.kernels.generated import NM, NU, NW, NX, NZ, inlined
from ppi_robotics.kernels.sweep import DONE, backward, forward
from ppi_robotics.kernels.tiles import matrix, new_matrix, product, transposed_product
from ppi_robotics.kernels.trajectories import largest, moved


@njit
def propagate_covariances(model, lS, P_ahead, K, cov, S, Z):
    """Covariances S (T + 1, NX, NX) of the states from S[0] on, under policy and tilted dynamics.

    cov (T, NU, NU), or of 0 rows for none, is the policy's; Z (T, NZ, NZ), unless of 0 rows, takes those of (x, u).
    """
    A, B, _, G = model[:4]
    W, J, F, M, V = new_matrix(NX, NX), new_matrix(NX, NX), new_matrix(NX, NX), new_matrix(NX, NX), new_matrix(NX, NX)
    JB, JBS, Gt, closed = new_matrix(NX, NU), new_matrix(NX, NU), new_matrix(NW, NX), new_matrix(NX, NX)
    for t in range(A.shape[0]):
        At, Bt, Sn = matrix(A, t, NX, NX), matrix(B, t, NX, NU), matrix(S, t + 1, NX, NX)
        for i in range(NX):
            for j in range(NW):
                Gt[j, i] = G[t, i, j]
        transposed_product(None, Gt, Gt, W, NX, NW, NX)
        product(At, Bt, matrix(K, t, NU, NX), closed, NX, NU, NX)
        if Z.shape[0] > 0:
            join_control(matrix(S, t, NX, NX), matrix(K, t, NU, NX), cov, t, matrix(Z, t, NZ, NZ))
        product(None, W, matrix(P_ahead, t, NX, NX), J, NX, NX, NX)
        for i in range(NX):
            for j in range(NX):
                J[i, j] = (1.0 if i == j else 0.0) - lS * J[i, j]
        product(None, J, closed, F, NX, NX, NX)
        product(None, F, matrix(S, t, NX, NX), M, NX, NX, NX)
        times_transpose(M, F, V, NX)
        product(V, J, W, M, NX, NX, NX)
        if cov.shape[0] > 0:
            product(None, J, Bt, JB, NX, NX, NU)
            product(None, JB, matrix(cov, t, NU, NU), JBS, NX, NU, NU)
            for i in range(NX):
                for j in range(NX):
                    for r in range(NU):
                        M[i, j] += JBS[i, r] * JB[j, r]
        for i in range(NX):
            for j in range(NX):
                Sn[i, j] = 0.5 * (M[i, j] + M[j, i])


@inlined
def join_control(S, K, cov, t, Z):
    """Z = cov (x, u) for cov x = S and u = K x + N(0, cov[t])."""
    KS = new_matrix(NU, NX)
    product(None, K, S, KS, NU, NX, NX)
    for i in range(NX):
        for j in range(NX):
            Z[i, j] = S[i, j]
    for i in range(NU):
        for j in range(NX):
            Z[NX + i, j] = Z[j, NX + i] = KS[i, j]
        for j in range(NU):
            Z[NX + i, NX + j] = cov[t, i, j] if cov.shape[0] > 0 else 0.0
            for r in range(NX):
                Z[NX + i, NX + j] += KS[i, r] * K[j, r]


@inlined
def times_transpose(X, Y, Z, n):
    """Z = X Y' for (n, n) matrices."""
    for i in range(n):
        for j in range(n):
            total = 0.0
            for r in range(n):
                total += X[i, r] * Y[j, r]
            Z[i, j] = total


@njit
def backward_minimum(model, lS, damping):
    """The backward pass with the hard minimum, H damped by (NU,): how it ended, slope, curvature, P~, p~, K and k."""
    T = model[0].shape[0]
    P, p, p0 = np.empty((T + 1, NX, NX)), np.empty((T + 1, NX)), np.empty(0)
    K, k, H = np.empty((T, NU, NX)), np.empty((T, NU)), np.empty((T, NU, NU))
    P_ahead, p_ahead = P[1:], p[1:]
    if lS != 0.0:
        P_ahead, p_ahead = np.empty((T, NX, NX)), np.empty((T, NX))
    flat = np.empty((0, NU, NX)), np.empty((0, NU)), np.empty((0, NU, NU)), np.empty(0)
    no_box, N = np.empty((0, NU, 2)), np.empty((T if NM > 0 else 0, NZ, NZ))
    how, _, slope, curvature = backward(
        model, lS, 0.0, flat, (np.zeros(NX), damping), no_box, (P, p, p0), (P_ahead, p_ahead), (K, k, H), N
    )
    return how, slope, curvature, P_ahead, p_ahead, K, k


@njit
def whole_step(model, x, u, w, lS, scales, x_out, u_out, w_out, Z, S_end):
    """Backward, forward and the whole step from x, u and disturbances w into x_out, u_out and w_out (T, NW).

    The model before may have had another number of noises than this one, so that w has columns of its own.
    Unless of 0 rows, Z (T, NZ, NZ) and S_end (NX, NX) take the covariances of (x, u) and of the last state under the
    belief, from a certain initial state.

    Returns:
      how the backward pass ended, objective and largest defect of the path before, largest changes of x and u, and
      largest entries of x and u after them, all but the objective in `scales` (NX,) and (NU,), see `moved`.
    """
    T = u.shape[0]
    how, _, _, P_ahead, p_ahead, K, k = backward_minimum(model, lS, np.zeros(NU))
    if how != DONE:
        return how, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    dx, du, y = np.empty((T + 1, NX)), np.empty((T, NU)), np.empty((T, NX))
    dx[0] = 0.0
    forward(model, lS, P_ahead, p_ahead, K, k, dx, du, w_out, y)
    dx_size, x_size = moved(x, dx, 1.0, x_out, scales[0])
    du_size, u_size = moved(u, du, 1.0, u_out, scales[1])
    cost = model[10].sum()
    if lS != 0.0:
        for t in range(T):
            for i in range(w.shape[1]):
                cost += w[t, i] * w[t, i] / (2.0 * lS)
    if Z.shape[0] > 0:
        S = np.empty((T + 1, NX, NX))
        S[0] = 0.0
        propagate_covariances(model, lS, P_ahead, K, np.empty((0, NU, NU)), S, Z)
        S_end[:] = S[T]
    return how, cost, largest(model[2], scales[0]), dx_size, du_size, x_size, u_size
