"""Template: rollouts of a feedback policy, LANES samples at a time, noise and cost inside the loop.

u_t = clip(u_ref_t + K_t (x_t - x_ref_t) + S_t e_t),   x_{t+1} = f(x_t, u_t) + G w_t,   e, w ~ N(0, I)
"""

import numpy as np
from numba import njit, uint64

from ppi_robotics.kernels.feedback import clip, control
from ppi_robotics.kernels.generated import LANES, NU, NW, NX, stage_value, terminal_value
from ppi_robotics.kernels.integrate import advance
from ppi_robotics.kernels.lanes import add_product, normals

DIVERGED = 1e5  # entries of a state beyond it cost infinity: sine and cosine hold up to there
PROCESS, INITIAL, CONTROL = uint64(0), uint64(1), uint64(2)  # streams of random numbers


@njit
def sampled(seed, first, x0, x0_factor, x_ref, u_ref, K, S, G, limits, dt, c, cs, ct, cost, final, xs_out, us_out):
    """Noisy rollouts of samples first, first + 1, ...: cost (N,) and final state (N, NX).

    S (T, NU, NU) or (0, NU, NU) for the mean policy; xs_out (N, T + 1, NX) and us_out (N, T, NU) are filled unless
    they have length 0.
    """
    N, T = cost.shape[0], u_ref.shape[0]
    record, stochastic = xs_out.shape[0] > 0, S.shape[0] > 0
    x, xn, dx, k = np.empty((NX, LANES)), np.empty((NX, LANES)), np.empty((NX, LANES)), np.empty((NX, LANES))
    u, e, v, total = np.empty((NU, LANES)), np.empty((NU, LANES)), np.empty((1, LANES)), np.empty(LANES)
    farthest = np.empty(LANES)
    w, w0 = np.empty((max(NW, 1), LANES)), np.empty((max(x0_factor.shape[1], 1), LANES))
    for start in range(0, N, LANES):
        sample = first + start
        lanes = min(LANES, N - start)
        for i in range(NX):
            x[i, :] = x0[i]
        if x0_factor.shape[1] > 0:
            normals(seed, INITIAL, sample, 0, w0)
            add_product(x0_factor, w0, x)
        total[:] = 0.0
        farthest[:] = 0.0
        for t in range(T):
            control(x, x_ref[t], u_ref[t], K[t], dx, u)
            if stochastic:
                normals(seed, CONTROL, sample, t, e)
                add_product(S[t], e, u)
            clip(u, limits)
            stage_value(x, u, cs, v)
            for lane in range(LANES):
                total[lane] += v[0, lane]
            if record:
                for lane in range(lanes):
                    xs_out[start + lane, t, :] = x[:, lane]
                    us_out[start + lane, t, :] = u[:, lane]
            advance(x, u, c, dt, dx, k, xn)
            if NW > 0:
                normals(seed, PROCESS, sample, t, w)
                add_product(G, w, xn)
            x, xn = xn, x
            for i in range(NX):
                for lane in range(LANES):
                    farthest[lane] = max(farthest[lane], abs(x[i, lane]))
        terminal_value(x, ct, v)
        for lane in range(lanes):
            cost[start + lane] = total[lane] + v[0, lane] if farthest[lane] <= DIVERGED else np.inf
            final[start + lane, :] = x[:, lane]
            if record:
                xs_out[start + lane, T, :] = x[:, lane]
