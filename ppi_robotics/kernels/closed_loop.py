"""Template: rollouts of a feedback policy, LANES samples at a time, noise and cost inside the loop.

u_t = clip(u_ref_t + K_t (x_t - x_ref_t) + S_t e_t + push_t)
x_{t+1} = f(x_t, u_t + sum_i a_i C_i u_t) + sum_j b_j D_j x_t + G w_t          a, b, e, w ~ N(0, I)
"""

import numpy as np
from numba import njit

from ppi_robotics.kernels.feedback import clip, control
from ppi_robotics.kernels.generated import LANES, NA, NB, NU, NW, NX, inlined, stage_value, terminal_value
from ppi_robotics.kernels.integrate import advance
from ppi_robotics.kernels.lanes import add_product, normals
from ppi_robotics.streams import ACTUATOR, CONTROL, INITIAL, PROCESS, STATE


@njit
def sampled(seed, first, initial, x_ref, u_ref, K, S, trial, noise, limits, nearness, dt, c, cs, ct, cost, final, out):
    """Rollouts of samples first, first + 1, ...: cost (N,) and final state (N, NX).

    A sample costs infinity where an entry of its state times that of `nearness` (NX,) is above 1, or not finite.
    `initial` holds the mean and a factor of the covariance of the initial state, `noise` holds G, C and D. S (T, NU,
    NU) or (0, NU, NU) for the mean policy. `trial` holds what is added to the controls, push (N / repeats, T, NU) or 0
    rows, how many samples share a row, and whether there is noise at all. `out` holds states (N, T + 1, NX), controls
    (N, T, NU) and costs of the stages (N, T + 1), filled unless they have length 0.
    """
    (x0, x0_factor), (G, C, D), (push, repeats, noisy), (xs_out, us_out, cs_out) = initial, noise, trial, out
    N, T = cost.shape[0], u_ref.shape[0]
    record, stochastic, pushed, staged = xs_out.shape[0] > 0, S.shape[0] > 0, push.shape[0] > 0, cs_out.shape[0] > 0
    x, xn, dx, k = np.empty((NX, LANES)), np.empty((NX, LANES)), np.empty((NX, LANES)), np.empty((NX, LANES))
    u, e, v, total = np.empty((NU, LANES)), np.empty((NU, LANES)), np.empty((1, LANES)), np.empty(LANES)
    farthest, rows = np.empty(LANES), np.empty(LANES, np.uint64)
    a, b, applied = np.empty((max(NA, 1), LANES)), np.empty((max(NB, 1), LANES)), np.empty((NU, LANES))
    w, w0 = np.empty((max(NW, 1), LANES)), np.empty((max(x0_factor.shape[1], 1), LANES))
    for start in range(0, N, LANES):
        sample = first + start
        lanes = min(LANES, N - start)
        for lane in range(lanes):
            rows[lane] = (start + lane) // repeats
        for i in range(NX):
            x[i, :] = x0[i]
        if noisy and x0_factor.shape[1] > 0:
            normals(seed, INITIAL, sample, 0, w0)
            add_product(x0_factor, w0, x)
        total[:] = 0.0
        farthest[:] = 0.0
        for t in range(T):
            control(x, x_ref[t], u_ref[t], K[t], dx, u)
            if stochastic:
                normals(seed, CONTROL, sample, t, e)
                add_product(S[t], e, u)
            if pushed:
                for lane in range(lanes):
                    for i in range(NU):
                        u[i, lane] += push[rows[lane], t, i]
            clip(u, limits)
            stage_value(x, u, cs, v)
            for lane in range(LANES):
                total[lane] += v[0, lane]
            if staged:
                for lane in range(lanes):
                    cs_out[start + lane, t] = v[0, lane]
            if record:
                keep(x, lanes, t, NX, xs_out[start:])
                keep(u, lanes, t, NU, us_out[start:])
            if NA > 0 and noisy:
                normals(seed, ACTUATOR, sample, t, a)
                applied[:] = u
                add_scaled(C, u, a, applied, NA, NU)
                advance(x, applied, c, dt, dx, k, xn)
            else:
                advance(x, u, c, dt, dx, k, xn)
            if NB > 0 and noisy:
                normals(seed, STATE, sample, t, b)
                add_scaled(D, x, b, xn, NB, NX)
            if NW > 0 and noisy:
                normals(seed, PROCESS, sample, t, w)
                add_product(G, w, xn)
            x, xn = xn, x
            for lane in range(LANES):
                most = farthest[lane]
                for i in range(NX):
                    most = most if abs(x[i, lane]) * nearness[i] <= 1.0 else np.inf  # nan is not below 1 either
                farthest[lane] = most
        terminal_value(x, ct, v)
        for lane in range(lanes):
            cost[start + lane] = total[lane] + v[0, lane] if farthest[lane] <= 1.0 else np.inf
            final[start + lane, :] = x[:, lane]
            if staged:
                cs_out[start + lane, T] = v[0, lane]
        if record:
            keep(x, lanes, T, NX, xs_out[start:])


@inlined
def add_scaled(factors, v, a, y, count, n):
    """y += sum_i a_i F_i v for factors F (count, n, n), v and y (n, LANES), a (count, LANES)."""
    for m in range(count):
        for i in range(n):
            for j in range(n):
                if factors[m, i, j] != 0.0:
                    for lane in range(LANES):
                        y[i, lane] += factors[m, i, j] * v[j, lane] * a[m, lane]


@inlined
def keep(v, lanes, t, n, out):
    """out[lane, t] = v[:, lane] for the lanes in use; v (n, LANES), out (N, T, n)."""
    for lane in range(lanes):
        for i in range(n):
            out[lane, t, i] = v[i, lane]
