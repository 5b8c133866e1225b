"""Template: the whole step of multiple shooting on a local model, in one call.

What stands between the sweeps is never seen outside, so that no arrays are handed over.
"""

import numpy as np
from numba import njit

from ppi_robotics.kernels.generated import NM, NU, NX, NZ
from ppi_robotics.kernels.spread import spread
from ppi_robotics.kernels.sweep import DONE, backward, forward
from ppi_robotics.kernels.trajectories import largest, moved


@njit
def sweep_back(model, lS, damping):
    """The backward sweep with the hard minimum, H damped by (NU,): how it ended, slope, curvature, P~, p~, K and k."""
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
def follow(model, x, u, w, lS, scales, x_out, u_out, w_out, Z, S_end):
    """Backward, forward and the whole step from x, u and disturbances w into x_out, u_out and w_out (T, NW).

    The model before may have had another number of noises than this one, so that w has columns of its own.
    Unless of 0 rows, Z (T, NZ, NZ) and S_end (NX, NX) take the covariances of (x, u) and of the last state under the
    belief, from a certain initial state.

    Returns:
      how the backward sweep ended, objective and largest defect of the path before, largest changes of x and u, and
      largest entries of x and u after them, all but the objective in `scales` (NX,) and (NU,), see `moved`.
    """
    T = u.shape[0]
    how, _, _, P_ahead, p_ahead, K, k = sweep_back(model, lS, np.zeros(NU))
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
        spread(model, lS, P_ahead, K, np.empty((0, NU, NU)), S, Z)
        S_end[:] = S[T]
    return how, cost, largest(model[2], scales[0]), dx_size, du_size, x_size, u_size
