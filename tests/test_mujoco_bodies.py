"""Models of `plants.mujoco_bodies` are what they claim to be, and their tasks can be solved."""

import casadi as ca
import mujoco
import numpy as np
import pytest

import ppi_robotics as ppi
from plants import CartPole, mujoco_bodies

STILL = {  # poses that hold under the controls of their keyframes
    "cartpole": ("hanging", "upright"),
    "double_pendulum": ("hanging", "upright"),
    "arm2": ("home", "straight"),
    "arm7": ("home", "upright"),
    "hopper": ("home",),
    "quadruped": ("home", "crouch"),
}


def load(body):
    model = mujoco.MjModel.from_xml_path(str(mujoco_bodies.MODELS / f"{body}.xml"))
    return model, mujoco.MjData(model)


@pytest.fixture(params=mujoco_bodies.BODIES)
def body(request):
    return request.param


# -- models ------------------------------------------------------------------------------------------------------------


def test_every_model_belongs_to_a_body():
    files = {path.stem for path in mujoco_bodies.MODELS.glob("*.xml")}
    assert files == {*mujoco_bodies.BODIES, "scene"}


def test_joints_actuators_sites_and_cameras_are_named(body):
    model, _ = load(body)
    names = [model.joint(i).name for i in range(model.njnt)], [model.actuator(i).name for i in range(model.nu)]
    names += [model.site(i).name for i in range(model.nsite)], [model.camera(i).name for i in range(model.ncam)]
    assert all(names)
    for of_kind in names:
        assert all(of_kind)
        assert len(set(of_kind)) == len(of_kind)
    assert model.nkey >= 1
    assert all(model.key(i).name for i in range(model.nkey))


def test_timestep_and_integrator_allow_derivatives(body):
    model, _ = load(body)
    assert 0.002 <= model.opt.timestep <= 0.01
    assert model.opt.integrator != mujoco.mjtIntegrator.mjINT_RK4  # mjd_transitionFD refuses it
    assert mujoco_bodies.SUBSTEPS[body] * model.opt.timestep == pytest.approx(0.02)


@pytest.mark.parametrize(("body", "pose"), [(body, pose) for body, poses in STILL.items() for pose in poses])
def test_poses_hold(body, pose):
    model, data = load(body)
    mujoco.mj_resetDataKeyframe(model, data, model.key(pose).id)
    mujoco.mj_forward(model, data)
    # the pose is written with ten digits, and contact with its foot has a stiffness per mass of 1e4 to 1e5 / s^2
    np.testing.assert_allclose(data.qacc, 0.0, atol=1e-5)


@pytest.mark.parametrize(("body", "pose"), [("cartpole", [0.0, 2.0]), ("double_pendulum", [2.5, 0.5])])
def test_energy_is_conserved_without_motors(body, pose):
    model, data = load(body)
    model.opt.integrator = mujoco.mjtIntegrator.mjINT_RK4
    model.opt.timestep = 0.002
    model.opt.enableflags |= mujoco.mjtEnableBit.mjENBL_ENERGY
    data.qpos[:] = pose
    energies = []
    for _ in range(1000):
        mujoco.mj_step(model, data)
        energies.append(data.energy.sum())
    assert np.ptp(data.energy) > 0
    # RK4's global error is of order timestep^4 = 2e-11, times rates of some 10 rad/s to the fifth power
    assert np.ptp(energies) < 1e-6


@pytest.mark.parametrize(("body", "height"), [("hopper", 1), ("quadruped", 2)])
def test_dropped_bodies_come_to_rest_on_the_floor(body, height):
    model, data = load(body)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    data.qpos[height] += 0.3
    for _ in range(1000):
        mujoco.mj_step(model, data)
    assert data.ncon > 0
    assert min(contact.dist for contact in data.contact) > -0.005  # soft contact gives way by some millimetres
    assert np.abs(data.qvel).max() < 0.05


# -- the twin of the cart-pole -----------------------------------------------------------------------------------------


def states_and_forces():
    rng = np.random.default_rng(0)
    return rng.normal(size=(50, 4)) * [2.0, 3.0, 3.0, 5.0], rng.normal(size=(50, 1)) * 20.0


def test_cart_pole_accelerates_like_its_twin():
    model, data = load("cartpole")
    state, control = ca.SX.sym("x", 4), ca.SX.sym("u", 1)
    derivative = ca.Function("derivative", [state, control], [CartPole().derivative(state, control)])
    for x, u in zip(*states_and_forces(), strict=True):
        data.qpos[:], data.qvel[:], data.ctrl[:] = x[:2], x[2:], u
        mujoco.mj_forward(model, data)
        np.testing.assert_allclose(data.qacc, np.array(derivative(x, u))[2:, 0], rtol=1e-9, atol=1e-9)


def test_cart_pole_steps_like_its_twin():
    x, u = states_and_forces()
    twin, one = mujoco_bodies.plant("cartpole"), CartPole(dt=0.01)
    assert (twin.dt, twin.substeps) == (0.02, 2)
    np.testing.assert_allclose(twin.step(x, u), one.step(one.step(x, u), u), rtol=1e-12, atol=1e-12)
    assert [name.replace(" velocity", "") for name in twin.state_names] == ["position", "angle", "position", "angle"]
    assert twin.control_names == one.control_names
    assert twin.units == one.units


def test_cart_pole_costs_what_its_twin_costs():
    x, u = states_and_forces()
    here = mujoco_bodies.task("cartpole", "swingup")
    there = ppi.Problem(CartPole(), CartPole().swing_up_cost(), CartPole.hanging, 150)
    np.testing.assert_allclose(here.cost.stage(x, u), there.cost.stage(x, u))
    np.testing.assert_array_equal(here.success(x), there.success(x))
    np.testing.assert_allclose(here.initial.mean, there.initial.mean)


# -- tasks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_policies_swing_up_the_other_cart_pole(noise):
    """Their integrators differ at 20 ms, which the feedback makes up for."""
    one = CartPole(sigma=0.0, cart_sigma=0.0)
    ours = ppi.Problem(one, one.swing_up_cost(), one.hanging, 150)
    twin = mujoco_bodies.task("cartpole", "swingup", noise=noise)
    for solved, other in ((ours, twin), (twin, ours)):
        solution = ppi.solve(solved, ppi.PPI(eta=0.01), seed=0, starts=1)
        rollouts = ppi.rollout(other, solution.policy.transfer(other.plant), samples=20, seed=0)
        assert other.success(rollouts.x[:, -1]).all()


@pytest.mark.parametrize(("body", "name"), mujoco_bodies.TASKS)
def test_tasks_are_not_done_at_their_start(body, name):
    problem = mujoco_bodies.task(body, name, noise=0.05)
    np.testing.assert_allclose(problem.plant.noise.control.sum(axis=0), 0.05 * np.eye(problem.plant.nu))
    done = problem.success(problem.initial.mean[None])
    assert done.shape == (1,)
    assert not done[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mujoco_bodies.plant("octopus"), "body is 'octopus'; choose from cartpole, double_pendulum"),
        (lambda: mujoco_bodies.plant("arm2", noise=-1), "is -1; expected a finite number at least 0"),
        (lambda: mujoco_bodies.task("arm7", "juggle"), "unknown task 'arm7' 'juggle'; choose from cartpole swingup"),
        (lambda: mujoco_bodies.task("hopper", "hop", goal=(1.0,)), "hopper hop takes no goal"),
        (lambda: mujoco_bodies.task("arm2", "reach", goal=(0.1, 0.2, 0.3)), "expected 2 coordinates"),
        (lambda: mujoco_bodies.task("arm2", "reach", goal="left"), "goal of arm2 reach is 'left'; expected an array"),
        (lambda: mujoco_bodies.task("arm2", "reach", goal=(2.0, 0.0)), "is 2 m from the shoulder, which reaches"),
        (lambda: mujoco_bodies.task("arm2", "reach", goal=(0.1, 0.0)), "is 0.1 m from the shoulder, which reaches"),
        (lambda: mujoco_bodies.task("arm7", "reach", goal=(0.4, 0.2, np.nan)), "expected 3 coordinates"),
        (lambda: mujoco_bodies.task("arm7", "reach", goal=(0.9, 0.2, 0.5)), "from the shoulder"),
        (lambda: mujoco_bodies.task("arm7", "reach", goal=(0.5, 0.2, 0.0)), "in the floor"),
        (lambda: mujoco_bodies.task("arm7", "reach", goal=(0.1, 0.0, 0.05)), "the arm's own column"),
    ],
)
def test_what_does_not_exist_or_cannot_be_reached_is_refused(call, message):
    with pytest.raises(ppi.ProblemError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("body", ["arm2", "arm7"])
def test_tips_reach_no_farther_than_goals_may_be(body):
    arm = mujoco_bodies.plant(body)
    rng = np.random.default_rng(0)
    free = np.pi * (1 - arm.model.jnt_limited[:, None]) * [-1, 1]
    limits = arm.model.jnt_range + free
    q = rng.uniform(*limits.T, (20_000, arm.nu))
    tip = arm.sense(np.hstack((q, np.zeros_like(q))))[:, arm.sensor_names["tip"]]
    origin = mujoco_bodies.SHOULDER if body == "arm7" else np.array([0.0, 0.0, mujoco_bodies.TIP_HEIGHT])
    distance = np.linalg.norm(tip - origin, axis=1)
    nearest, farthest = {"arm2": (0.16, 0.74), "arm7": (0.25, 0.78)}[body]
    # allowed distances lie inside the reachable ones, and within 15 cm of their ends
    assert nearest - 0.15 < distance.min() < nearest
    assert farthest < distance.max() < farthest + 0.1
    if body == "arm2":
        np.testing.assert_allclose(tip[:, 2], mujoco_bodies.TIP_HEIGHT, atol=1e-12)


@pytest.mark.parametrize(
    ("body", "name", "method"),
    [
        ("cartpole", "swingup", ppi.PPI(eta=0.01)),
        ("double_pendulum", "balance", ppi.PPI(eta=0.01)),
        ("double_pendulum", "balance", ppi.ILQG(tolerance=1e-4)),
        ("arm2", "reach", ppi.PPI(eta=0.01)),
        ("arm2", "reach", ppi.ILQG(tolerance=1e-4)),
        ("arm7", "reach", ppi.PPI(eta=0.01)),
        ("hopper", "balance", ppi.ILQG(tolerance=1e-4)),
    ],
)
def test_tasks_succeed_under_their_noise(body, name, method):
    problem = mujoco_bodies.task(body, name)
    solution = ppi.solve(problem, method, seed=0, starts=1)
    assert problem.success(solution.x[-1:])[0]
    assert ppi.evaluate(problem, solution.policy, samples=100, seed=0).success_rate > 0.95


def touching(x):
    """Names of the hopper's geoms that touch the floor in each of its states (N, nx)."""
    model, data = load("hopper")
    names = []
    for state in x:
        data.qpos[:], data.qvel[:] = state[: model.nq], state[model.nq :]
        mujoco.mj_forward(model, data)
        names.append({model.geom(i).name for contact in data.contact for i in contact.geom} - {"floor"})
    return names


def test_the_hopper_flies_and_lands():
    problem = mujoco_bodies.task("hopper", "hop", noise=0)
    plant = problem.plant
    solution = ppi.solve(problem, ppi.ILQG(tolerance=1e-4), seed=0, starts=1)
    assert solution.status is ppi.Status.CONVERGED
    x, contacts = solution.x, touching(solution.x)
    air = np.flatnonzero([not names for names in contacts])
    assert np.ptp(air) == len(air) - 1  # one flight
    assert (len(air) - 1) * plant.dt >= 0.2  # between its first and its last stage
    assert set().union(*contacts) == {"heel", "toe"}  # never on the trunk
    sensors = plant.sense(x)
    feet = np.stack([sensors[:, plant.sensor_names[name]][:, 2] for name in ("heel", "toe")])
    assert (feet.min(axis=0) - 0.025).max() > 0.1  # less the spheres' radius
    assert all(contacts[-10:])  # stands for the last 0.2 s
    assert np.abs(x[-1, 5:8]).max() < 0.1  # and is at rest, [m/s] and [rad/s]
    assert (np.abs(solution.u) <= plant.control_limits[:, 1]).all()
    assert problem.success(x[-1:])[0]
    noisy = mujoco_bodies.task("hopper", "hop")
    assert ppi.evaluate(noisy, solution.policy, samples=100, seed=0).success_rate > 0.95


def test_standing_up_is_no_hop():
    problem = mujoco_bodies.task("hopper", "hop")
    there = problem.plant.state("home")
    here, there[0] = there.copy(), there[0] + mujoco_bodies.HOP
    np.testing.assert_array_equal(problem.success(np.stack((here, there))), [False, True])
