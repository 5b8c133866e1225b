"""The backward sweep on square roots, for sums of squares whose values are lost to rounding otherwise.

    V(x) = |S x + s|^2 / 2 + g'x + const,   stage cost |F z + f|^2 / 2 + h'z + const,   z = (u, x)

    risk     R'R = I + lS SG(SG)',   S~ = R^-T S,   s~ = R^-T s,   e = R^-T SG G'g,   g~ = g - lS S~'e
    Q        rows (F, f), (S~[B A], S~d + s~), and (S~E_i, S~g_i) for noise that grows
    policy   QR of the columns (u, x, 1) of these rows:  (R R_x r; 0 S s),   u = -R^-1 (R_x x + r + R^-T q_u)

P = S'S is never the difference of two matrices, so it stays positive semidefinite, and K needs no Q_uu = R'R. Rows of
very different sizes keep their digits since Householder's reflections take sorted rows and pivot columns.

Source: N. J. Higham, *Accuracy and Stability of Numerical Algorithms* (2nd ed., SIAM 2002), section 20.3.
"""

from dataclasses import dataclass, replace

import numpy as np

from ppi_robotics.checks import correlations

ROUNDING = 1e-12  # of eigenvalues of Hessians whose diagonals are scaled to 1
DONE, RISK_BREAKDOWN, INDEFINITE, NON_FINITE = 0, 1, 2, 3  # as in the template kernels/sweep.py


@dataclass(frozen=True, slots=True)
class Squares:
    """|S x + s|^2 / 2 + g'x + const.

    Attributes:
      S, s, g: (n, nx), (n,), (nx,).
      const: number.
    """

    S: np.ndarray
    s: np.ndarray
    g: np.ndarray
    const: float

    @property
    def form(self):
        """P, p, p0 with x'Px/2 + p'x + p0 the same."""
        return self.S.T @ self.S, self.S.T @ self.s + self.g, 0.5 * float(self.s @ self.s) + self.const


def squares(C, c):
    """F, f, h with z'Cz/2 + c'z = |Fz + f|^2/2 - |f|^2/2 + h'z for C (T, n, n), c (T, n); None unless all C >= 0."""
    if not (np.isfinite(C).all() and np.isfinite(c).all()):
        return None
    correlation, scale = correlations(0.5 * (C + np.swapaxes(C, 1, 2)))
    sizes, V = np.linalg.eigh(correlation)
    if sizes.min() < -ROUNDING:
        return None
    kept = sizes > 1e-2 * ROUNDING
    roots = np.sqrt(np.where(kept, sizes, 0.0))
    F = roots[:, :, None] * np.swapaxes(V * scale[:, :, None], 1, 2)
    f = np.einsum("tij,ti->tj", V, c / scale) * kept / np.where(kept, roots, 1.0)
    return F, f, c - np.einsum("tij,ti->tj", F, f)


def reflected(M, n):
    """Q'M of a QR factorization that makes the first n columns, permuted, an upper triangle; and the permutation."""
    from scipy.linalg import lapack  # takes longer to import than the rest of the package

    M, order = M[np.argsort(-np.abs(M).max(axis=1, initial=0.0), kind="stable")], np.arange(n)
    if n:
        factors, order, tau, *_ = lapack.dgeqp3(M[:, :n])
        M[:, :n], order = np.triu(factors), order - 1
        M[:, n:] = lapack.dormqr("L", "T", factors, tau, M[:, n:], 64 * M.shape[1])[0]
    return M, order


def minimizer(M, m, q):
    """Minimizer of |Mk + m|^2/2 + q'k; `LinAlgError` if there are several."""
    n = M.shape[1]
    A, order = reflected(np.column_stack([M, m]), n)
    k, R = np.empty(n), A[:n, :n]
    k[order] = -np.linalg.solve(R, A[:n, n] + np.linalg.solve(R.T, q[order]))
    return k


def box_minimizer(M, m, q, limits):
    """Minimizer of |Mk + m|^2/2 + q'k in limits (n, 2), and which entries are off them.

    An active-set method: unlike projected Newton steps it does not slow down where M is close to singular. It ends
    where nothing is gained by letting go of a bound, or where rounding leads it to a set of free entries again.

    Source: P. B. Stark, R. L. Parker, *Bounded-variable least squares* (Computational Statistics 10, 1995).
    """
    (low, high), n = limits.T, len(q)
    A, order = reflected(np.column_stack([M, m]), n)
    M, m = A[:n, np.argsort(order)], A[:n, n]
    k, free, sizes, seen = np.clip(np.zeros(n), low, high), np.ones(n, dtype=bool), np.linalg.norm(M, axis=0), set()
    while True:
        step = np.zeros(n)
        step[free] = minimizer(M[:, free], M @ k + m, q[free])
        room = np.where(step > 0.0, high - k, np.where(step < 0.0, k - low, np.inf))
        room /= np.where(step == 0.0, 1.0, np.abs(step))
        if room.min() < 1.0:
            hit = room == room.min()
            k = np.where(hit, np.where(step > 0.0, high, low), np.clip(k + room.min() * step, low, high))
            free &= ~hit
            continue
        k = np.clip(k + step, low, high)
        left = M @ k + m
        inward = np.where(k <= low, -1.0, 1.0) * (M.T @ left + q) / (sizes * np.linalg.norm(left) + np.abs(q))
        wrong = np.where(free | (low == high), 0.0, inward)
        if not wrong.max() > ROUNDING or free.tobytes() in seen:
            return k, free
        seen.add(free.tobytes())
        free[np.argmax(wrong)] = True


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # what is not finite is found at its stage
def sweep_squares(model, lS, half_inverse_lP, constant, damping, box, value, ahead, policy, N):
    """As `kernels.sweep.backward`, for the flat baseline and lS >= 0; None unless all stages' costs are squares.

    The damping is part of the costs. With a finite lambda_policy also a Hessian ends the sweep as indefinite whose
    inverse, the policy's covariance, does not survive rounding.
    """
    (T, _, nu), (P, p, p0), (K, k, H) = model.B.shape, value, policy
    C, c = stage_costs(model, damping)
    stages, last = squares(C, c), squares((model.Cxx[T] + np.diag(damping[0]))[None], model.cx[T:])
    if stages is None or last is None:
        return None
    sizes = np.linalg.eigvalsh(correlations(C[:, :nu, :nu])[0])
    priced = sizes[:, 0] > ROUNDING  # controls whose Hessian is not singular
    V, slope, curvature = Squares(*(a[0] for a in last), model.c0[T] - 0.5 * float(np.sum(last[1] ** 2))), 0.0, 0.0
    P[T], p[T], p0[T] = V.form
    for t in range(T - 1, -1, -1):
        V = risk_step(V, model.G[t], lS)
        if lS:
            ahead[0][t], ahead[1][t], _ = V.form
        Q = q_step(model, t, [a[t] for a in stages], V, N)
        Mu, q = Q.S[:, :nu], Q.g[:nu]
        H[t] = Mu.T @ Mu
        try:
            if half_inverse_lP:
                np.linalg.cholesky(np.linalg.inv(H[t]))
            K[t], k[t], V, log_det = policy_step(Q, nu, box[t] if len(box) else None, priced[t])
        except np.linalg.LinAlgError:
            return INDEFINITE, t, slope, curvature
        V = replace(V, const=V.const + half_inverse_lP * (log_det + constant[t]))
        slope += float((Mu.T @ Q.s + q) @ k[t])
        curvature += float(np.sum((Mu @ k[t]) ** 2))
        P[t], p[t], p0[t] = V.form
        if not np.isfinite(P[t].sum() + p[t].sum() + p0[t]):
            return NON_FINITE, t, slope, curvature
    return DONE, -1, slope, curvature


def stage_costs(model, damping):
    """C (T, nu + nx, nu + nx) and c (T, nu + nx) of the stages in z = (u, x), with the damping."""
    T, nx, nu = model.B.shape
    C = np.empty((T, nu + nx, nu + nx))
    C[:, :nu, :nu], C[:, :nu, nu:], C[:, nu:, nu:] = model.Cuu, model.Cux, model.Cxx[:T]
    C[:, nu:, :nu] = np.swapaxes(model.Cux, 1, 2)
    return C + np.diag(np.concatenate([damping[1], damping[0]])), np.column_stack([model.cu, model.cx[:T]])


def risk_step(V, G, lS):
    """Row risk."""
    S, s, g, SG = V.S, V.s, V.g, V.S @ G
    if lS == 0.0:
        return replace(V, const=V.const + 0.5 * float(np.sum(SG**2)))
    n, pushed = len(S), G.T @ g
    R, order = reflected(np.vstack([np.eye(n), np.sqrt(lS) * SG.T]), n)
    right = np.linalg.solve(R[:n].T, np.column_stack([S, s, SG @ pushed])[order])
    S, s, e = right[:, :-2], right[:, -2], right[:, -1]
    const = V.const - lS * float(s @ e) - 0.5 * lS * float(pushed @ pushed - lS * (e @ e))
    return Squares(S, s, g - lS * S.T @ e, const + float(np.log(np.abs(np.diag(R))).sum()) / lS)


def q_step(model, t, stage, V, N):
    """Rows Q and noise: the cost of (u, x) at stage t, given its own F, f, h and the softened value ahead; fills N."""
    (F, f, h), nx = stage, model.A.shape[1]
    J, nm = np.column_stack([model.B[t], model.A[t]]), model.E.shape[1]
    rows, ends = [F, V.S @ J], [f, V.S @ model.d[t] + V.s]
    const = V.const + model.c0[t] + float(V.g @ model.d[t]) - 0.5 * float(f @ f)
    if nm:
        grown = V.S @ model.E[t]
        N[t] = np.einsum("mij,mik->jk", grown, grown)
        rows += list(np.concatenate([grown[:, :, nx:], grown[:, :, :nx]], axis=2))
        ends += list((V.S @ model.G[t, :, -nm:]).T)
        const -= 0.5 * float(np.sum(np.square(ends[2:])))
    return Squares(np.vstack(rows), np.concatenate(ends), h + J.T @ V.g, const)


def policy_step(Q, nu, limits, priced):
    """Row policy: K, k, value and the logarithm of the determinant of the free controls' Hessian.

    Raises:
      LinAlgError: if that is singular, which to rounding it never is where the controls are `priced` themselves.
    """
    (M, m, q), nx = (Q.S, Q.s, Q.g), Q.S.shape[1] - nu
    K, k, free = np.zeros((nu, nx)), np.zeros(nu), np.ones(nu, dtype=bool)
    if limits is not None:
        k, free = box_minimizer(M[:, :nu], m, q[:nu], limits)
    held, n = k * ~free, int(free.sum())
    A, order = reflected(np.column_stack([M[:, :nu][:, free], M[:, nu:], m + M[:, :nu] @ held]), n)
    R, places = A[:n, :n], np.flatnonzero(free)[order]
    sizes = np.abs(np.diag(R))
    if not priced and (sizes <= ROUNDING * np.linalg.norm(M[:, places], axis=0)).any():
        raise np.linalg.LinAlgError
    y = np.linalg.solve(R.T, q[places])
    K[places] = -np.linalg.solve(R, A[:n, n:-1])
    if limits is None:
        k[places] = -np.linalg.solve(R, A[:n, -1] + y)
    const = Q.const + float(q[:nu] @ held) - float(y @ (0.5 * y + A[:n, -1]))
    A, order = reflected(A[n:, n:], nx)
    S = np.empty((nx, nx))
    S[:, order] = A[:nx, :nx]
    const += 0.5 * float(np.sum(A[nx:, -1] ** 2))
    return K, k, Squares(S, A[:nx, -1], q[nu:] + K.T @ q[:nu], const), 2.0 * float(np.log(sizes).sum())
