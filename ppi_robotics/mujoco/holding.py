"""Controls under which a model stays where it is, as well as its actuators can make it."""

import copy

import mujoco
import numpy as np

STEP = 1e-4  # of the differences in the controls, in which forces are affine for all but a few actuators
ROUNDS = 3  # for those few: muscles, orientation servos
CLEARLY = 1e-9  # by which part other controls must hold better than none, or than a keyframe's


def unclamped(model):
    """A copy of the model whose actuators take any control and give any force."""
    free = copy.copy(model)
    free.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_CLAMPCTRL)
    for name in ("actuator_forcelimited", "jnt_actfrclimited", "tendon_actfrclimited"):
        getattr(free, name)[:] = False
    return free


def hold(model, free, x, limits):
    """Controls (nu,) within limits (nu, 2) that leave the least acceleration at the positions of a state, at rest.

    What has to be held is the inverse dynamics without acceleration, contacts and springs included; what a control
    adds to it, and to the rates of activations, is found by differences. Accelerations that no control can prevent
    are minimized in the norm of the mass matrix (Gauss's principle of least constraint), which knows no units. Where
    others do not hold clearly better, no control at all is returned, or that of a keyframe with these positions.

    Args:
      model: MjModel.
      free: `unclamped` model.
      x: state (nx,).
      limits: of the controls (nu, 2).
    """
    need, data = Need(free, x), mujoco.MjData(free)
    data.qpos[:], data.act[:] = x[: model.nq], x[model.nq + model.nv :]
    mujoco.mj_forward(free, data)
    low, high = limits.T
    u = nothing = np.clip(np.zeros(model.nu), low, high)
    for _ in range(ROUNDS):
        miss = need.miss(data, u)
        columns = [(need.miss(data, u + STEP * e) - miss) / STEP for e in np.eye(model.nu)]
        u = u - np.linalg.lstsq(np.stack(columns, axis=1), miss, rcond=1e-9)[0]
    ways = [nothing, *(np.clip(model.key_ctrl[k], low, high) for k in keyframes_at(model, x)), np.clip(u, low, high)]
    left = [float(np.linalg.norm(need.miss(data, way))) for way in ways]
    least = min(size for size in left if np.isfinite(size)) if np.isfinite(left).any() else np.inf
    return next((way for way, size in zip(ways, left, strict=True) if size <= least + CLEARLY * left[0]), nothing)


class Need:
    """Forces that hold a model at rest at the positions of a state, and how far controls are from giving them."""

    def __init__(self, model, x):
        self.model, data = model, mujoco.MjData(model)
        data.qpos[:], data.act[:] = x[: model.nq], x[model.nq + model.nv :]
        mujoco.mj_inverse(model, data)
        self.forces, mass = data.qfrc_inverse.copy(), np.empty((model.nv, model.nv))
        for row, e in zip(mass, np.eye(model.nv), strict=True):
            mujoco.mj_mulM(model, data, row, e)
        self.root = np.linalg.cholesky(mass)

    def miss(self, data, u):
        """Accelerations in the norm of the mass matrix (nv,) and rates of activations (na,) under controls u (nu,)."""
        data.ctrl[:] = u
        mujoco.mj_fwdActuation(self.model, data)
        lacking = np.linalg.solve(self.root, data.qfrc_actuator - self.forces)
        return np.concatenate((lacking, data.act_dot))


def keyframes_at(model, x):
    """Numbers of the keyframes with the positions of a state."""
    return np.flatnonzero((model.key_qpos == x[: model.nq]).all(axis=1))
