"""Slow, obvious counterparts of what the library compiles: joint Gaussians, dense solves, plain loops, differences.

Quadratic functions are symmetric matrices F of homogeneous vectors h: f(z) = h'Fh / 2 with h = (1, z). Integrating
noise out of such a function is then one Schur complement.
"""

import itertools
from copy import copy
from dataclasses import dataclass, replace

import numpy as np

import ppi_robotics as ppi
from ppi_robotics.recursion import Baseline, LocalModel

SIZES = (3, 2, 2)  # nx, nu, nw of most models, so that few sweeps are compiled; two noises on three states are singular


def close(actual, expected, tolerance=1e-9):
    """Assert that the largest error, relative to 1 + the largest expected entry, is within the tolerance."""
    actual, expected = np.asarray(actual, float), np.asarray(expected, float)
    assert actual.shape == expected.shape
    error = np.max(np.abs(actual - expected), initial=0.0) / (1.0 + np.max(np.abs(expected), initial=0.0))
    assert error <= tolerance, f"error {error:.3g} above {tolerance:g}"


# -- random problems ---------------------------------------------------------------------------------------------------


def random_model(seed, T=4, sizes=SIZES, indefinite=False):
    """A `LocalModel` with defects, cross terms and gradients; `indefinite`: every C_xx has a negative eigenvalue."""
    rng, (nx, nu, nw) = np.random.default_rng(seed), sizes
    factor = rng.normal(size=(T + 1, nx + nu, nx + nu)) / np.sqrt(nx + nu)
    C = factor @ factor.transpose(0, 2, 1) + 0.1 * np.eye(nx + nu)
    if indefinite:
        C[:, :nx, :nx] -= (0.3 + np.linalg.eigvalsh(C[:, :nx, :nx])[:, :1, None]) * np.eye(nx)
        C[:, nx:, nx:] += 2.0 * np.eye(nu)
    return LocalModel(
        A=0.9 * np.linalg.qr(rng.normal(size=(T, nx, nx)))[0],
        B=rng.normal(size=(T, nx, nu)) / np.sqrt(nx),
        d=0.3 * rng.normal(size=(T, nx)),
        G=0.4 * rng.normal(size=(T, nx, nw)),
        Cxx=np.ascontiguousarray(C[:, :nx, :nx]),
        Cux=np.ascontiguousarray(C[:T, nx:, :nx]),
        Cuu=np.ascontiguousarray(C[:T, nx:, nx:]),
        cx=rng.normal(size=(T + 1, nx)),
        cu=rng.normal(size=(T, nu)),
        c0=rng.normal(size=T + 1),
    )


def random_baseline(seed, model):
    """A `Baseline` with feedback, feedforward and full covariances."""
    rng, (T, nx, nu) = np.random.default_rng([seed, 7]), model.B.shape
    factor = rng.normal(size=(T, nu, nu))
    cov = factor @ factor.transpose(0, 2, 1) + 0.2 * np.eye(nu)
    return Baseline(0.3 * rng.normal(size=(T, nu, nx)), 0.3 * rng.normal(size=(T, nu)), cov)


def with_cost(model, scale=1.0, control=None):
    """The model with all costs scaled, and with the given control costs (T, nu, nu) alone in the control."""
    names = ("Cxx", "Cux", "Cuu", "cx", "cu", "c0")
    model = replace(model, **{name: scale * getattr(model, name) for name in names})
    if control is None:
        return model
    return replace(model, Cux=0 * model.Cux, cu=0 * model.cu, Cuu=np.ascontiguousarray(control))


# -- quadratic forms ---------------------------------------------------------------------------------------------------


def stage_form(model, t):
    """Cost of stage t as a form of (1, x, u); of (1, x) for the terminal one."""
    if t == len(model.B):
        return np.block([[2 * model.c0[t], model.cx[t]], [model.cx[t][:, None], model.Cxx[t]]])
    c, C = (
        np.concatenate([model.cx[t], model.cu[t]]),
        np.block([[model.Cxx[t], model.Cux[t].T], [model.Cux[t], model.Cuu[t]]]),
    )
    return np.block([[2 * model.c0[t], c], [c[:, None], C]])


def value_at(V, x):
    """h'Vh / 2 at states (..., n)."""
    h = np.concatenate([np.ones((*np.shape(x)[:-1], 1)), x], axis=-1)
    return 0.5 * np.einsum("...i,ij,...j", h, V, h)


def tilt(F, n, weight, precision=1.0):
    """Posterior e ~ N(L h, S) of the last n entries e of a form, prior N(0, 1/precision), cost times weight added.

    Returns L and S. An infinite weight gives the minimizer; a precision of 0 is a flat prior.
    """
    k = len(F) - n
    if np.isinf(weight):
        np.linalg.cholesky(F[k:, k:])
        return -np.linalg.solve(F[k:, k:], F[k:, :k]), np.zeros((n, n))
    S = precision * np.eye(n) + weight * F[k:, k:]
    np.linalg.cholesky(S)
    return -weight * np.linalg.solve(S, F[k:, :k]), np.linalg.inv(S)


def entropic(F, n, weight, flat=False):
    """-(1/weight) log E exp(-weight f) over the last n entries, standard normal (or Lebesgue if flat), as a form."""
    k = len(F) - n
    if n == 0:
        return F
    if weight == 0.0:
        V = F[:k, :k].copy()
        V[0, 0] += np.trace(F[k:, k:])
        return V
    L, S = tilt(F, n, weight, 0.0 if flat else 1.0)
    V = F[:k, :k] + F[:k, k:] @ L
    if not np.isinf(weight):
        V[0, 0] += (-np.linalg.slogdet(S)[1] - (n * np.log(2 * np.pi) if flat else 0.0)) / weight
    return (V + V.T) / 2


# -- dynamic programming on forms --------------------------------------------------------------------------------------


@dataclass
class Program:
    """Values V (T + 1 forms), policy K, k, cov and the forms Q of (1, x, u)."""

    V: list
    Q: list
    K: np.ndarray
    k: np.ndarray
    cov: np.ndarray


def dynamic_program(model, lambda_policy=np.inf, lambda_transition=0.0, baseline=None):
    """The nested recursion, one integral after the other. Raises LinAlgError where an integral does not exist."""
    T, nx, nu = model.B.shape
    V, Q, policy = [stage_form(model, T)], [], []
    for t in reversed(range(T)):
        nw = model.G.shape[2]
        step = np.zeros((1 + nx, 1 + nx + nu + nw))  # (1, x') from (1, x, u, w)
        step[0, 0], step[1:] = 1.0, np.hstack([model.d[t][:, None], model.A[t], model.B[t], model.G[t]])
        Q.insert(0, stage_form(model, t) + entropic(step.T @ V[0] @ step, nw, lambda_transition))
        if baseline is None:
            V.insert(0, entropic(Q[0], nu, lambda_policy, flat=True))
            L, S = tilt(Q[0], nu, lambda_policy, 0.0)
        else:
            R, mean = np.linalg.cholesky(baseline.cov[t]), np.column_stack([baseline.k[t], baseline.K[t]])
            act = np.block([[np.eye(1 + nx), np.zeros((1 + nx, nu))], [mean, R]])  # (1, x, u) from (1, x, e)
            V.insert(0, entropic(act.T @ Q[0] @ act, nu, lambda_policy))
            L, S = tilt(act.T @ Q[0] @ act, nu, lambda_policy)
            L, S = mean + R @ L, R @ S @ R.T
        policy.insert(0, (L[:, 1:], L[:, 0], S))
    return Program(V, Q, *(np.array(part) for part in zip(*policy, strict=True)))


def expected_cost(model, policy, lambda_transition):
    """N(pi): value forms of a fixed stochastic policy, risk over the transitions alone."""
    return dynamic_program(model, 0.0, lambda_transition, policy).V


# -- one joint Gaussian ------------------------------------------------------------------------------------------------


class Joint:
    """The whole trajectory from stage `start` on as an affine function of (1, x_start, standard normals).

    u = K x + k + R e with R R' = cov, x' = A x + B u + d + G w; the normals are e and w of every stage in turn.
    """

    def __init__(self, model, policy, start=0):
        T, nx, nu = model.B.shape
        nw = model.G.shape[2]
        self.n, self.nx = (T - start) * (nu + nw), nx
        width = 1 + nx + self.n
        one, x = np.eye(width)[:1], np.eye(width)[1 : 1 + nx]
        self.x, self.u, self.cost = [x], [], np.zeros((width, width))
        at = 1 + nx
        for t in range(start, T):
            u = policy.K[t] @ x + policy.k[t][:, None] * one
            u[:, at : at + nu] += _root(policy.cov[t])
            z = np.vstack([one, x, u])
            self.cost += z.T @ stage_form(model, t) @ z
            x = model.A[t] @ x + model.B[t] @ u + model.d[t][:, None] * one
            x[:, at + nu : at + nu + nw] += model.G[t]
            self.x.append(x)
            self.u.append(u)
            at += nu + nw
        z = np.vstack([one, x])
        self.cost += z.T @ stage_form(model, T) @ z

    def value(self, weight):
        """R_weight of the trajectory's cost as a form of (1, x_start)."""
        return entropic(self.cost, self.n, weight)

    def first_control(self, weight):
        """Posterior N(K x + k, cov) of the first control given the first state and exp(-weight cost)."""
        L, S = tilt(self.cost, self.n, weight)
        mean, R = self.u[0][:, : 1 + self.nx] + self.u[0][:, 1 + self.nx :] @ L, self.u[0][:, 1 + self.nx :]
        return mean[:, 1:], mean[:, 0], R @ S @ R.T

    def started(self, mean, cov):
        """The same trajectory from a Gaussian first state, whose normals join the others; forms are of (1,) then."""
        act = np.eye(len(self.cost))
        act[1 : 1 + self.nx, 0], act[1 : 1 + self.nx, 1 : 1 + self.nx] = mean, _root(cov)
        joint = copy(self)
        joint.n, joint.cost = self.n + self.nx, act.T @ self.cost @ act
        joint.x, joint.u = [x @ act for x in self.x], [u @ act for u in self.u]
        return joint

    def marginals(self, weight):
        """Posterior means (T + 1, nx) and covariances of the states."""
        L, S = tilt(self.cost, self.n, weight)
        return np.array([x[:, 0] + x[:, 1:] @ L[:, 0] for x in self.x]), np.array(
            [x[:, 1:] @ S @ x[:, 1:].T for x in self.x]
        )


def dense_optimum(model, x0, eta=0.0):
    """Minimizer over all controls, and over noises w at price |w|^2 / 2 eta: x (T + 1, nx), u, w (T, nw), cost."""
    T, nx, nu = model.B.shape
    nw = model.G.shape[2]
    free = Baseline(np.zeros((T, nu, nx)), np.zeros((T, nu)), np.tile(np.eye(nu), (T, 1, 1)))
    joint = Joint(model if eta else replace(model, G=0 * model.G), free)
    price = np.tile(np.r_[np.zeros(nu), np.full(nw, 1 / eta if eta else 1.0)], T)
    F, h0 = joint.cost + np.diag(np.r_[np.zeros(1 + nx), price]), np.r_[1.0, x0]
    e = -np.linalg.solve(F[1 + nx :, 1 + nx :], F[1 + nx :, : 1 + nx] @ h0)
    h, w = np.r_[h0, e], e.reshape(T, nu + nw)[:, nu:]
    return np.array([x @ h for x in joint.x]), np.array([u @ h for u in joint.u]), w, 0.5 * h @ F @ h


def _root(cov):
    eigenvalues, vectors = np.linalg.eigh(cov)
    return vectors * np.sqrt(np.maximum(eigenvalues, 0.0))


# -- inference as it is usually written --------------------------------------------------------------------------------


def rts_policy(model, baseline, eta, mean, cov):
    """Kalman filter on (x, u), costs as precisions, then Rauch-Tung-Striebel; K, k, cov of u given x, and beliefs."""
    T, nx, _ = model.B.shape
    filtered, predicted, m, S = [], [], mean, cov
    for t in range(T):
        K = baseline.K[t]
        m_z = np.r_[m, K @ m + baseline.k[t]]
        S_z = np.block([[S, S @ K.T], [K @ S, K @ S @ K.T + baseline.cov[t]]])
        F, form = np.hstack([model.A[t], model.B[t]]), stage_form(model, t)
        S_z, precision = np.linalg.inv(np.linalg.inv(S_z) + eta * form[1:, 1:]), np.linalg.inv(S_z)
        m_z = S_z @ (precision @ m_z - eta * form[1:, 0])
        filtered.append((m_z, S_z))
        m, S = F @ m_z + model.d[t], F @ S_z @ F.T + model.G[t] @ model.G[t].T
        predicted.append((m, S))
    precision = np.linalg.inv(S)
    S = np.linalg.inv(precision + eta * model.Cxx[T])
    m = S @ (precision @ m - eta * model.cx[T])
    beliefs, policy = [(m, S)], []
    for t in reversed(range(T)):
        (m_z, S_z), (m_next, S_next), F = filtered[t], predicted[t], np.hstack([model.A[t], model.B[t]])
        gain = np.linalg.solve(S_next, F @ S_z).T
        m_z, S_z = m_z + gain @ (m - m_next), S_z + gain @ (S - S_next) @ gain.T
        m, S = m_z[:nx], S_z[:nx, :nx]
        K = np.linalg.solve(S, S_z[:nx, nx:]).T
        beliefs.insert(0, (m, S))
        policy.insert(0, (K, m_z[nx:] - K @ m, S_z[nx:, nx:] - K @ S_z[:nx, nx:]))
    return [np.array(a) for a in zip(*policy, strict=True)], [np.array(a) for a in zip(*beliefs, strict=True)]


def aico_messages(model, control_cost, mean, cov):
    """AICO's forward, backward and task messages in information form: eta P_t, and means and covariances of beliefs."""
    T, nx, _ = model.B.shape
    inv, Q = (
        np.linalg.inv,
        [G @ G.T + B @ np.linalg.solve(H, B.T) for G, B, H in zip(model.G, model.B, control_cost, strict=True)],
    )
    R, r, s, S = model.Cxx, -model.cx, [mean], [cov]
    for t in range(T):
        posterior = inv(inv(S[t]) + R[t])
        s.append(model.d[t] + model.A[t] @ posterior @ (np.linalg.solve(S[t], s[t]) + r[t]))
        S.append(Q[t] + model.A[t] @ posterior @ model.A[t].T)
    back, shift = [np.zeros((nx, nx))], [np.zeros(nx)]
    for t in reversed(range(T)):
        after = inv(back[0] + R[t + 1])
        spread = inv(after + Q[t])
        shift.insert(0, model.A[t].T @ spread @ (after @ (shift[0] + r[t + 1]) - model.d[t]))
        back.insert(0, model.A[t].T @ spread @ model.A[t])
    cov = [inv(inv(S[t]) + back[t] + R[t]) for t in range(T + 1)]
    means = [cov[t] @ (np.linalg.solve(S[t], s[t]) + shift[t] + r[t]) for t in range(T + 1)]
    return np.array([back[t] + R[t] for t in range(T + 1)]), np.array(means), np.array(cov)


def box_minimum(H, g, low, high):
    """Minimizer of g'k + k'Hk/2 over a box, by trying every active set."""
    best, best_value = None, np.inf
    for pattern in itertools.product((-1, 0, 1), repeat=len(g)):
        pattern = np.array(pattern)
        k, free = np.where(pattern < 0, low, np.where(pattern > 0, high, 0.0)), pattern == 0
        if not np.isfinite(k).all():
            continue
        if free.any():
            k[free] = -np.linalg.solve(H[np.ix_(free, free)], g[free] + H[np.ix_(free, ~free)] @ k[~free])
        value = g @ k + 0.5 * k @ H @ k
        if value < best_value and (k >= low - 1e-12).all() and (k <= high + 1e-12).all():
            best, best_value = k, value
    return best


# -- derivatives and integrators ---------------------------------------------------------------------------------------


def difference_jacobian(f, z, h=1e-3):
    """Jacobian of f at z by central differences of fourth order; its columns lie on the last axis."""
    columns = []
    for e in h * np.eye(len(z)):
        columns.append((8 * (f(z + e) - f(z - e)) - (f(z + 2 * e) - f(z - 2 * e))) / (12 * h))
    return np.stack(columns, axis=-1)


def integrate(f, x, u, dt, scheme):
    """One step of x' = f(x, u), as in a textbook."""
    if scheme == "euler":
        return x + dt * f(x, u)
    if scheme == "semi_implicit_euler":
        half = len(x) // 2
        velocity = x[half:] + dt * f(x, u)[half:]
        return np.r_[x[:half] + dt * velocity, velocity]
    if scheme == "midpoint":
        return x + dt * f(x + dt / 2 * f(x, u), u)
    k1 = f(x, u)
    k2 = f(x + dt / 2 * k1, u)
    k3 = f(x + dt / 2 * k2, u)
    return x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + f(x + dt * k3, u))


# -- a plant of two states ---------------------------------------------------------------------------------------------


class Swing(ppi.SymbolicPlant):
    """A pendulum with a motor and air drag."""

    state_names = ("angle", "rate")
    control_names = ("torque",)
    dt = 0.05
    noise = (0.0, 0.01)

    def __init__(self, integrator="rk4", drag=0.2):
        self.integrator, self.drag = integrator, drag

    def derivative(self, x, u):
        return ppi.vertcat(x[1], u[0] - 9.81 * ppi.sin(x[0]) - self.drag * x[1] ** 3)


def swing(x, u):
    """Numpy counterpart of `Swing.derivative`."""
    return np.array([x[1], u[0] - 9.81 * np.sin(x[0]) - 0.2 * x[1] ** 3])


# -- statistical linearization -----------------------------------------------------------------------------------------


def semidefinite_root(S):
    """Lower factor of a positive semidefinite matrix, with a column of zeros where a pivot vanishes."""
    L, rest = np.zeros_like(S), S.copy()
    for j in range(len(S)):
        if rest[j, j] > 1e-14 * np.max(np.diag(S)):
            L[j:, j] = rest[j:, j] / np.sqrt(rest[j, j])
            rest -= np.outer(L[:, j], L[:, j])
    return L


def sigma_model(problem, x, u, S, points):
    """A, B, mean next state, noise covariance W + R, and cost model c0, cx, cu, Cxx, Cux, Cuu by sums over points.

    Only `plant.expand` and `cost.quadratize` at single points are used.
    """
    plant, cost, (joint, last) = problem.plant, problem.cost, S
    T, nx = len(u), plant.nx
    rows = [[] for _ in range(10)]

    def average(w, values):
        return np.tensordot(w, values, 1)

    for t in range(T + 1):
        cov = joint[t] if t < T else last
        xi, w, v = points.points(len(cov))
        L, mean = semidefinite_root(cov), np.r_[x[t], u[t]] if t < T else x[T]
        z = mean + xi @ L.T
        models = [cost.quadratize(np.vstack([z_i[:nx]] * 2), z_i[None, nx:] if t < T else u[:1]) for z_i in z]
        for row, k in zip(rows[4:], range(6), strict=True):
            if t < T or k not in (2, 4, 5):
                row.append(average(w, np.array([m[k][0 if t < T else 1] for m in models])))
        H = rows[7][t] if t == T else np.block([[rows[7][t], rows[8][t].T], [rows[8][t], rows[9][t]]])
        rows[4][t] -= np.trace(H @ cov) / 2  # so that the model's own mean is the cost's
        if t == T:
            break
        y = plant.step(z[:, :nx], z[:, nx:])
        mean_next = w @ y
        S_yy = np.einsum("i,ia,ib", v, y - mean_next, y - mean_next)
        S_yz = np.einsum("i,ia,ib", v, y - mean_next, z - mean)
        _, A, B = plant.expand(x[t : t + 1], u[t : t + 1])
        J, free = np.hstack([A[0], B[0]]), np.diag(L) > 0
        M = np.einsum("i,ia,ib", v, y - mean_next, xi) - J @ L
        AB = J.copy()
        AB[:, free] += np.linalg.solve(L[np.ix_(free, free)].T, M[:, free].T).T
        close(AB @ cov, S_yz, 1e-9)  # the normal equations of the regression
        for row, entry in zip(rows, (AB[:, :nx], AB[:, nx:], mean_next, S_yy - AB @ cov @ AB.T), strict=False):
            row.append(entry)
    A, B, y, R, c0, cx, cu, Cxx, Cux, Cuu = (np.array(row) for row in rows)
    return A, B, y, plant.noise.process + R, c0, cx, cu, Cxx, Cux, Cuu
