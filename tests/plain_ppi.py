"""One iteration of PPI on the cart-pole as one writes it in numpy: a loop over the stages, derivatives by hand.

    x' = f(x, u) + L w,  w ~ N(0, I)        cost a^2 + 0.1 rate^2 + 0.01 u^2 per stage, without the force at the end

K. Rawlik, M. Toussaint, S. Vijayakumar, *On stochastic optimal control and reinforcement learning by approximate
inference* (RSS 2012), with the backward recursion of arXiv 2512.06109, equations 16 and 17.
"""

import numpy as np

CART, POLE, LENGTH, GRAVITY, DT = 1.0, 0.1, 0.5, 9.8, 0.02
STATE, CONTROL = np.diag([0.0, 1.0, 0.0, 0.1]), np.array([[0.01]])
NOISE = np.sqrt(DT) * np.array([[0.0, 0.0], [0.0, 0.0], [0.1, 0.0], [0.0, 0.5]])


def expand(x, u):
    """Next state and its derivatives A and B, semi-implicit Euler."""
    total, moment = CART + POLE, POLE * LENGTH / (CART + POLE)
    s, c, velocity, rate = np.sin(x[1]), np.cos(x[1]), x[2], x[3]
    push, lever = u[0] / total + moment * rate**2 * s, LENGTH * (4 / 3 - POLE * c**2 / total)
    swing = (GRAVITY * s - c * push) / lever
    thrust = push - moment * swing * c
    # derivatives with respect to angle, rate and force
    push_z = np.array([moment * rate**2 * c, 2 * moment * rate * s, 1 / total])
    swing_z = -c * push_z / lever
    swing_z[0] += (GRAVITY * c + s * push - swing * 2 * LENGTH * POLE * c * s / total) / lever
    thrust_z = push_z - moment * c * swing_z
    thrust_z[0] += moment * swing * s
    velocity, rate = velocity + DT * thrust, rate + DT * swing
    A, B = np.eye(4), np.zeros((4, 1))
    A[2, [1, 3]] += DT * thrust_z[:2]
    A[3, [1, 3]] += DT * swing_z[:2]
    B[2, 0], B[3, 0] = DT * thrust_z[2], DT * swing_z[2]
    A[:2] += DT * A[2:]
    B[:2] = DT * B[2:]
    return np.array([x[0] + DT * velocity, x[1] + DT * rate, velocity, rate]), A, B


def backward_stage(A, B, d, cx, cu, P, p, eta):
    """Gain, feedforward and value of a stage, and P and p of the next one after the risk step."""
    PL = P @ NOISE
    risk = eta * np.linalg.solve(np.eye(2) + eta * NOISE.T @ PL, PL.T)
    P_ahead, p_ahead = P - PL @ risk, p - risk.T @ (NOISE.T @ p)
    ahead = P_ahead @ d + p_ahead
    Qux, Quu = B.T @ P_ahead @ A, 2 * CONTROL + B.T @ P_ahead @ B
    qx, qu = cx + A.T @ ahead, cu + B.T @ ahead
    gains = -np.linalg.solve(Quu, np.column_stack([Qux, qu]))
    K, k = gains[:, :-1], gains[:, -1]
    P = 2 * STATE + A.T @ P_ahead @ A + Qux.T @ K
    return K, k, (P + P.T) / 2, qx + Qux.T @ k, P_ahead, p_ahead


def iteration(x, u, eta):
    """States (T + 1, 4), controls (T, 1) and disturbances (T, 2) after one iteration from x, u."""
    T = len(u)
    models, stages = [], [None] * T
    for t in range(T):
        y, A, B = expand(x[t], u[t])
        models.append((A, B, y - x[t + 1]))
    P, p = 2 * STATE, 2 * STATE @ x[T]
    for t in reversed(range(T)):
        K, k, P, p, P_ahead, p_ahead = backward_stage(*models[t], 2 * STATE @ x[t], 2 * CONTROL @ u[t], P, p, eta)
        stages[t] = K, k, P_ahead, p_ahead
    dx, x_new, u_new, w = np.zeros(4), x.copy(), u.copy(), np.empty((T, 2))
    for t in range(T):
        (A, B, d), (K, k, P_ahead, p_ahead) = models[t], stages[t]
        du = K @ dx + k
        mean = A @ dx + B @ du + d
        w[t] = -eta * NOISE.T @ (P_ahead @ mean + p_ahead)
        dx = mean + NOISE @ w[t]
        u_new[t] += du
        x_new[t + 1] += dx
    return x_new, u_new, w
