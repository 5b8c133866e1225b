"""Template: line search along noise-free closed-loop rollouts (single shooting).

    u_t = clip(u_ref_t + a k_t + K_t (x_t - x_ref_t)),   x_{t+1} = f(x_t, u_t) + w_t
    w_t = w_ref_t + a h_t + D_t (x_t - x_ref_t)          merit = sum C_t + C_T + sum 1/2 w_t' S w_t

w is the disturbance that the most likely path of a noisy model takes, priced by S; it is zero for noise-free models.
"""

import numpy as np
from numba import njit

from ppi_robotics.kernels.feedback import clip, control
from ppi_robotics.kernels.generated import LANES, NU, NX, stage_value, terminal_value
from ppi_robotics.kernels.integrate import advance
from ppi_robotics.kernels.tiles import matrix, new_matrix, new_vector, vector


@njit
def shoot(a, x0, x_ref, u_ref, K, k, w_ref, h, D, S, limits, dt, c, cs, ct, xs_out, us_out):
    """Merit of the rollout with step length a; fills xs_out (T + 1, NX), us_out (T, NU). No w if D has length 0."""
    T, disturbed = u_ref.shape[0], D.shape[0] > 0
    x, xn, dx, xs = new_matrix(NX, LANES), new_matrix(NX, LANES), new_matrix(NX, LANES), new_matrix(NX, LANES)
    slope, u, v, w = new_matrix(NX, LANES), new_matrix(NU, LANES), new_matrix(1, LANES), new_vector(NX)
    merit = 0.0
    for i in range(NX):
        x[i, 0] = x0[i]
        xs_out[0, i] = x0[i]
    for t in range(T):
        control(x, vector(x_ref, t, NX), vector(u_ref, t, NU), matrix(K, t, NU, NX), dx, u)
        for i in range(NU):
            u[i, 0] += a * k[t, i]
        clip(u, limits)
        for i in range(NU):
            us_out[t, i] = u[i, 0]
        stage_value(x, u, cs, v)
        merit += v[0, 0]
        advance(x, u, c, dt, xs, slope, xn)
        if disturbed:
            for i in range(NX):
                w[i] = w_ref[t, i] + a * h[t, i]
                for j in range(NX):
                    w[i] += D[t, i, j] * dx[j, 0]
                xn[i, 0] += w[i]
            for i in range(NX):
                for j in range(NX):
                    merit += 0.5 * w[i] * S[i, j] * w[j]
        for i in range(NX):
            x[i, 0] = xn[i, 0]
            xs_out[t + 1, i] = xn[i, 0]
        if not np.isfinite(merit):
            xs_out[t + 1 :] = np.nan
            us_out[t + 1 :] = np.nan
            return np.inf
    terminal_value(x, ct, v)
    return merit + v[0, 0]


@njit
def search(steps, merit, slope, curvature, ratio, path, constants, xs_out, us_out):
    """First step length a whose merit falls by `ratio` of the prediction a slope + a^2 curvature / 2.

    Returns its index, or -1 if there is none, and its merit. `path` and `constants` are the other arguments of `shoot`.
    """
    x0, x_ref, u_ref, K, k, w_ref, h, D, S = path
    limits, dt, c, cs, ct = constants
    for n in range(steps.shape[0]):
        a = steps[n]
        trial = shoot(a, x0, x_ref, u_ref, K, k, w_ref, h, D, S, limits, dt, c, cs, ct, xs_out, us_out)
        if trial <= merit + ratio * (a * slope + 0.5 * a * a * curvature):
            return n, trial
    return -1, merit
