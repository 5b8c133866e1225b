"""Small MuJoCo models for tests, and plain loops of mj_step and of differences over them."""

import mujoco
import numpy as np

import ppi_robotics as ppi


def mjcf(bodies, actuators, option="", more=""):
    return (
        f"<mujoco><option timestep='0.01' {option}/><worldbody>{bodies}</worldbody>"
        f"<actuator>{actuators}</actuator>{more}</mujoco>"
    )


SWING = (
    "<body><joint name='swing' axis='0 1 0' {0}/><geom type='sphere' size='0.05' pos='0 0 -0.5' mass='1'/>"
    "<site name='bob' pos='0 0 -0.5'/></body>"
)
PENDULUM = mjcf(SWING.format(""), "<motor name='torque' joint='swing'/>")
SERVO = mjcf(
    SWING.format("damping='0.1'"),
    "<general name='drive' joint='swing' dyntype='filter' dynprm='0.05' gainprm='3' ctrllimited='true' "
    "ctrlrange='-1 1'/><position name='servo' joint='swing' kp='2' ctrllimited='true' ctrlrange='-2 2'/>",
)
RUNGE_KUTTA = mjcf(
    SWING.format("damping='0.1'"),
    "<motor name='torque' joint='swing' ctrllimited='true' ctrlrange='-2 3'/>",
    "integrator='RK4'",
    "<sensor><framepos name='bob' objtype='site' objname='bob'/><actuatorfrc name='push' actuator='torque'/></sensor>",
)
ARM = mjcf(
    "<body name='upper'><joint name='shoulder' axis='0 1 0' damping='0.2'/>"
    "<geom type='capsule' fromto='0 0 0 0 0 -0.5' size='0.03' mass='1'/>"
    "<body name='lower' pos='0 0 -0.5'><joint name='elbow' axis='0 1 0' damping='0.2'/>"
    "<geom type='capsule' fromto='0 0 0 0 0 -0.4' size='0.03' mass='0.7'/><site name='tip' pos='0 0 -0.4'/>"
    "</body></body>",
    "<motor name='at shoulder' joint='shoulder' gear='4' ctrllimited='true' ctrlrange='-3 3'/>"
    "<motor name='at elbow' joint='elbow' gear='2' ctrllimited='true' ctrlrange='-2 2'/>",
    "integrator='implicitfast'",
    "<sensor><jointvel name='rate' joint='elbow'/><framepos name='tip' objtype='site' objname='tip'/></sensor>"
    "<keyframe><key name='bent' qpos='0.3 1.2' qvel='0.1 -0.2'/><key qpos='1 -1'/></keyframe>",
)
BOX = mjcf(
    "<geom type='plane' size='2 2 0.1'/><body name='box' pos='0 0 0.12'><freejoint name='free'/>"
    "<geom name='cube' type='box' size='0.1 0.08 0.1' mass='2'/>"
    "<site name='middle' type='box' size='0.12 0.12 0.12'/></body>",
    "".join(
        f"<motor name='{name}' joint='free' gear='{' '.join('1' if i == j else '0' for j in range(6))}' "
        "ctrllimited='true' ctrlrange='-50 50'/>"
        for i, name in enumerate(("fx", "fy", "fz", "tx", "ty", "tz"))
    ),
    "iterations='200' tolerance='1e-14'",
    "<sensor><touch name='press' site='middle'/><framequat name='turn' objtype='body' objname='box'/></sensor>",
)
BALL = mjcf(
    "<body><joint name='ball' type='ball' damping='0.05'/>"
    "<geom type='box' size='0.1 0.2 0.3' pos='0.1 0 -0.3' mass='1'/>"
    "<site name='end' pos='0.1 0 -0.6'/><body pos='0 0 -0.6'><joint name='slide' type='slide' axis='0 0 1' damping='1' "
    "stiffness='20'/><geom type='sphere' size='0.05' mass='0.3'/></body></body>",
    "<motor joint='ball' gear='1 0 0'/><motor joint='ball' gear='0 1 0'/><motor joint='ball' gear='0 0 1'/>"
    "<motor name='push' joint='slide'/>",
)
TOP = mjcf(
    "<body><joint name='top' type='ball'/><geom type='box' size='0.1 0.2 0.3'/></body>",
    "<motor joint='top' gear='1 0 0'/>",
)
MODELS = {
    "pendulum": PENDULUM,
    "servo": SERVO,
    "runge kutta": RUNGE_KUTTA,
    "arm": ARM,
    "box": BOX,
    "ball": BALL,
}


def pairs(plant, n=7, seed=0):
    """States about the default, clear of contacts, and controls within their limits."""
    rng = np.random.default_rng(seed)
    x = plant.retract(plant.state(), 0.4 * rng.normal(size=(n, plant.ndx)))
    if "free x" in plant.state_names:
        x[:, 2] = 1.0 + 0.1 * np.arange(n)
    low, high = np.clip(plant.control_limits, -1.0, 1.0).T
    return x, rng.uniform(low, high, (n, plant.nu))


def stepped(plant, x, u, warm_at=None):
    """State and first sensors after a stage of mj_step from (x, u), the solver warm from `warm_at` if given."""
    model, data = plant.model, mujoco.MjData(plant.model)
    if warm_at is not None:
        set_state(data, *warm_at)
        mujoco.mj_forward(model, data)
    set_state(data, x, u)
    for s in range(plant.substeps):
        mujoco.mj_step(model, data)
        if s == 0:
            y = data.sensordata.copy()
    return np.r_[data.qpos, data.qvel, data.act], y


def set_state(data, x, u):
    nq, nv = len(data.qpos), len(data.qvel)
    data.qpos, data.qvel, data.act, data.ctrl = x[:nq], x[nq : nq + nv], x[nq + nv :], u


def moved(model, x, dx):
    """The state moved along a tangent, by mj_integratePos."""
    nq, nv, qpos = model.nq, model.nv, x[: model.nq].copy()
    mujoco.mj_integratePos(model, qpos, dx[:nv], 1.0)
    return np.r_[qpos, x[nq:] + dx[nv:]]


def apart(model, x, y):
    """The tangent from y to x, by mj_differentiatePos."""
    dq = np.empty(model.nv)
    mujoco.mj_differentiatePos(model, dq, 1.0, y[: model.nq], x[: model.nq])
    return np.r_[dq, (x - y)[model.nq :]]


def differenced(plant, x, u, h=1e-5):
    """A, B, C, D at one state and control by central differences of plain steps."""
    ndx, columns = plant.ndx, []
    for i in range(ndx + plant.nu):
        ends = []
        for side in (h, -h):
            e = np.zeros(ndx + plant.nu)
            e[i] = side
            ends.append(stepped(plant, moved(plant.model, x, e[:ndx]), u + e[ndx:], (x, u)))
        (xn, y), (x0, y0) = ends
        columns.append(np.r_[apart(plant.model, xn, x0), y - y0] / (2 * h))
    J = np.array(columns).T
    return J[:ndx, :ndx], J[:ndx, ndx:], J[ndx:, :ndx], J[ndx:, ndx:]


def policy(plant, T, seed=0, gain=0.1, spread=0.0):
    """A random policy about the plant's default."""
    rng = np.random.default_rng(seed)
    x_ref = plant.retract(np.tile(plant.state(), (T, 1)), 0.1 * rng.normal(size=(T, plant.ndx)))
    u_ref, K = 0.3 * rng.normal(size=(T, plant.nu)), gain * rng.normal(size=(T, plant.nu, plant.ndx))
    L = spread * (np.eye(plant.nu) + 0.2 * rng.normal(size=(T, plant.nu, plant.nu)))
    cov = L @ L.transpose(0, 2, 1)
    return ppi.LinearGaussianPolicy(x_ref, u_ref, K, cov, plant.dt, quaternions=plant.quaternions)
