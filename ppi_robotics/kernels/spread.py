"""Template: covariances under a policy and the tilted dynamics of a local model.

cov x' = F cov(x, u) F' + J W,   F = J [A B],   J = I - lS W P~,   W = G G'
"""

from numba import njit

from ppi_robotics.kernels.generated import NU, NW, NX, NZ, inlined
from ppi_robotics.kernels.tiles import matrix, new_matrix, product, transposed_product


@njit
def spread(model, lS, P_ahead, K, cov, S, Z):
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
