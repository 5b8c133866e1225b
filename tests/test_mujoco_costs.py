"""Costs on MuJoCo plants: every term by hand, derivatives against differences, and what is refused."""

import bodies
import mujoco
import numpy as np
import pytest
from oracles import close

import ppi_robotics as ppi
from ppi_robotics.symbolic.residuals import BoundResiduals

T = 5
GOAL = (0.2, -0.1, 0.3)
TURNED = (0.8, 0.2, -0.4, 0.4)  # length 1


def forward(plant, x, u):
    data = mujoco.MjData(plant.model)
    bodies.set_state(data, x, u)
    mujoco.mj_forward(plant.model, data)
    return data


def turn_from(goal, q):
    """Rotation vector from one orientation to another, by MuJoCo's quaternions."""
    inverse, between, out = np.empty(4), np.empty(4), np.empty(3)
    mujoco.mju_negQuat(inverse, np.array(goal))
    mujoco.mju_mulQuat(between, inverse, q)
    mujoco.mju_quat2Vel(out, between, 1.0)
    return out


def site_turn(d, name):
    q = np.empty(4)
    mujoco.mju_mat2Quat(q, d.site(name).xmat)
    return turn_from(TURNED, q)


def squared(weights, r):
    return float(np.sum(np.asarray(weights) * np.square(r)))


# term, its model, and its value by hand at (plant, x, u, data after mj_forward)
TERMS = {
    "site position": (
        ppi.SitePosition("tip", GOAL, (1.0, 2.0, 3.0)),
        "arm",
        lambda p, x, u, d: squared((1, 2, 3), d.site("tip").xpos - GOAL),
    ),
    "site orientation": (
        ppi.SiteOrientation("end", TURNED, 2.5),
        "ball",
        lambda p, x, u, d: squared(2.5, site_turn(d, "end")),
    ),
    "center of mass": (
        ppi.CenterOfMass("upper", GOAL, 4.0),
        "arm",
        lambda p, x, u, d: squared(4, d.body("upper").subtree_com - GOAL),
    ),
    "sensor": (ppi.SensorValue("rate", 0.5, 3.0), "arm", lambda p, x, u, d: 3 * (x[3] - 0.5) ** 2),
    "sensor of three": (
        ppi.SensorValue("tip", GOAL, (3.0, 0.0, 1.0)),
        "arm",
        lambda p, x, u, d: squared((3, 0, 1), d.site("tip").xpos - GOAL),
    ),
    "sensor of the control": (
        ppi.SensorValue("push", 0.25, 2.0),
        "runge kutta",
        lambda p, x, u, d: 2 * (u[0] - 0.25) ** 2,
    ),
    "joint position": (ppi.JointPosition("elbow", 0.7, 2.0), "arm", lambda p, x, u, d: 2 * (x[1] - 0.7) ** 2),
    "joint velocity": (ppi.JointVelocity("elbow", 0.7, 2.0), "arm", lambda p, x, u, d: 2 * (x[3] - 0.7) ** 2),
    "state deviation": (
        ppi.StateDeviation(None, np.arange(1.0, 13.0)),
        "box",
        lambda p, x, u, d: squared(np.arange(1.0, 13.0), bodies.apart(p.model, x, p.state())),
    ),
    "effort": (ppi.Effort((0.5, 0.1)), "arm", lambda p, x, u, d: 0.5 * u[0] ** 2 + 0.1 * u[1] ** 2),
    "residual": (
        ppi.Residual(lambda x, u, y: np.stack((np.sin(x[:, 0]) * u[:, 1], y["tip"][:, 0] ** 2), 1), ("tip",), (2, 3)),
        "arm",
        lambda p, x, u, d: 2 * (np.sin(x[0]) * u[1]) ** 2 + 3 * d.site("tip").xpos[0] ** 4,
    ),
}


def bound(name, terms, terminal=()):
    plant = ppi.MujocoPlant(bodies.MODELS[name], name=name)
    problem = ppi.Problem(plant, ppi.TaskCost(terms, terminal), plant.state(), T)
    return problem.plant, problem.cost


def gradients(plant, cost, x, u, h=1e-5):
    """Central differences of the cost of one stage in the tangent of the state and in the control."""
    columns = []
    for i in range(plant.ndx + plant.nu):
        e = np.zeros(plant.ndx + plant.nu)
        e[i] = h
        ends = [cost.stage(bodies.moved(plant.model, x, s * e[: plant.ndx])[None], u[None] + s * e[plant.ndx :])
                for s in (1, -1)]  # fmt: skip
        columns.append((ends[0][0] - ends[1][0]) / (2 * h))
    return np.split(np.array(columns), [plant.ndx])


def same_derivatives(plant, cost, tolerance=1e-6):
    """Gradients equal differences of the values, and Hessians are positive semidefinite."""
    x, u = bodies.pairs(plant, T + 1)
    (xn, A, B), (c, cx, cu, Cxx, Cux, Cuu) = cost.expand(plant, x, u[:T])
    for given, expected in zip((xn, A, B), plant.expand(x[:T], u[:T]), strict=True):
        close(given, expected, 1e-12)
    close(c[:T], cost.stage(x[:T], u[:T]), 1e-9)
    close(c[T:], cost.terminal(x[T:]), 1e-9)
    for t in range(T):
        gx, gu = gradients(plant, cost, x[t], u[t])
        close(cx[t], gx, tolerance)
        close(cu[t], gu, tolerance)
        H = np.block([[Cxx[t], Cux[t].T], [Cux[t], Cuu[t]]])
        close(H, H.T, 1e-12)
        assert np.linalg.eigvalsh(H)[0] >= -1e-9 * (1 + np.abs(H).max())
    for part, expected in zip(cost.quadratize(x, u[:T]), (c, cx, cu, Cxx, Cux, Cuu), strict=True):
        close(part, expected, 1e-12)


# -- terms -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("term", "model", "by_hand"), TERMS.values(), ids=TERMS)
def test_terms_are_what_they_say(term, model, by_hand):
    plant, cost = bound(model, [term])
    x, u = bodies.pairs(plant)
    expected = [by_hand(plant, *pair, forward(plant, *pair)) for pair in zip(x, u, strict=True)]
    assert np.ptp(expected) > 0.0
    close(cost.stage(x, u), expected, 1e-12)
    close(cost.terminal(x), np.zeros(len(x)), 0.0)


@pytest.mark.parametrize(("term", "model", "by_hand"), TERMS.values(), ids=TERMS)
def test_terms_have_the_derivatives_of_their_values(term, model, by_hand):
    same_derivatives(*bound(model, [term]))


def test_terms_add_up_along_a_trajectory():
    terms = [ppi.SitePosition("tip", GOAL, 3.0), ppi.Effort(0.2), ppi.JointVelocity("elbow", 0.0, 0.1)]
    plant, cost = bound("arm", terms, [ppi.SitePosition("tip", GOAL, 100.0)])
    x, u = bodies.pairs(plant, T + 1)
    stages = sum(bound("arm", [term])[1].stage(x[:T], u[:T]) for term in terms)
    end = 100.0 * np.sum((forward(plant, x[T], np.zeros(2)).site("tip").xpos - GOAL) ** 2)
    close(cost.stage(x[:T], u[:T]), stages, 1e-14)
    close(cost.terminal(x[T:]), [end], 1e-13)
    assert cost.trajectory(x, u[:T]) == pytest.approx(stages.sum() + end, rel=1e-13)
    y = plant.sense(x, np.vstack((u[:T], np.zeros((1, 2)))))
    close(cost.stages(x[None], u[None, :T], y[None]).sum(axis=1), [stages.sum() + end], 1e-13)
    assert cost.residuals(T) == T * (3 + 2 + 1) + 3
    same_derivatives(plant, cost)


def test_a_single_term_needs_no_list():
    plant, cost = bound("arm", ppi.Effort(1.0))
    close(cost.stage(*bodies.pairs(plant)), np.sum(bodies.pairs(plant)[1] ** 2, axis=1), 1e-15)


def test_force_of_a_contact():
    plant, cost = bound("box", [ppi.ContactForce("middle", 15.0, 0.1)])
    x, u = np.repeat(plant.state()[None], 2, axis=0), np.zeros((2, 6))
    for _ in range(100):
        x = plant.step(x, u)
    u[1, 2] = -5.0  # pressed down
    force = []
    for pair in zip(x, u, strict=True):
        data, normal = forward(plant, *pair), np.zeros((4, 6))
        for i in range(data.ncon):
            mujoco.mj_contactForce(plant.model, data, i, normal[i])
        force.append(normal[:, 0].sum())
    assert force[0] == pytest.approx(2 * 9.81, rel=1e-3)
    assert 4.0 < force[1] - force[0] < 5.0  # soft contacts give way at first
    close(cost.stage(x, u), 0.1 * (np.array(force) - 15.0) ** 2, 1e-9)
    _, (_, cx, cu, *_) = cost.expand(plant, x, u[:1])
    gx, gu = gradients(plant, cost, x[0], u[0], 1e-7)
    close(cu[0], gu, 1e-4)
    close(cx[0, 2], gx[2], 1e-3)  # stiff: 1e4 N/m, so the differences curve


@pytest.mark.parametrize(
    ("own", "term"),
    [
        (ppi.Residual(lambda x, u, y: y["tip"] - GOAL, ("tip",), 2.0), ppi.SitePosition("tip", GOAL, 2.0)),
        (ppi.Residual(lambda x, u, y: u, weight=0.3), ppi.Effort(0.3)),
        (ppi.Residual(lambda x, u, y: x[:, 1:2] - 0.7), ppi.JointPosition("elbow", 0.7)),
        (ppi.Residual(lambda x, u, y: x, weight=(1, 2, 3, 4)), ppi.StateDeviation(np.zeros(4), (1, 2, 3, 4))),
    ],
)
def test_functions_of_ones_own_equal_the_terms(own, term):
    (plant, mine), (other, given) = bound("arm", [own]), bound("arm", [term])
    x, u = bodies.pairs(plant, T + 1)
    close(mine.stage(x, u), given.stage(x, u), 1e-14)
    for a, b in zip(mine.expand(plant, x, u[:T])[1], given.expand(other, x, u[:T])[1], strict=True):
        close(a, b, 1e-7)  # differences against derivatives


# -- other costs on quaternions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("full", [False, True])
def test_quadratic_costs_weigh_the_tangent_to_the_goal(full):
    plant, rng = ppi.MujocoPlant(bodies.BALL, name="ball"), np.random.default_rng(0)
    Q, R, QT = (rng.normal(size=(n, n)) for n in (8, 4, 8))
    Q, R, QT = Q @ Q.T, R @ R.T + np.eye(4), QT @ QT.T
    if not full:
        Q, R, QT = (np.diag(np.diag(M)) for M in (Q, R, QT))
    goal = bodies.pairs(plant, 1, seed=5)[0][0]
    given = ppi.Quadratic(Q, R, QT, goal) if full else ppi.Quadratic(np.diag(Q), np.diag(R), np.diag(QT), goal)
    cost = ppi.Problem(plant, given, plant.state(), T).cost
    assert isinstance(cost, BoundResiduals)
    x, u = bodies.pairs(plant)
    e = np.array([bodies.apart(plant.model, row, goal) for row in x])
    stage = np.einsum("ni,ij,nj->n", e, Q, e) + np.einsum("ni,ij,nj->n", u, R, u)
    close(cost.stage(x, u), stage, 1e-12)
    close(cost.terminal(x), np.einsum("ni,ij,nj->n", e, QT, e), 1e-12)
    same_derivatives(plant, cost)


def test_quadratic_costs_of_quaternions_aim_at_no_rotation_by_default():
    plant = ppi.MujocoPlant(bodies.BALL)
    cost = ppi.Quadratic(np.ones(8), np.ones(4), np.ones(8)).bind(plant)
    assert cost.terminal(plant.state()[None])[0] == 0.0


def test_casadi_costs_have_tangent_derivatives():
    plant = ppi.MujocoPlant(bodies.TOP, name="top")

    def residuals(x, u):
        return ppi.vertcat(x[1] * x[2] - x[3], ppi.sin(x[4]) + x[5], 0.5 * u * x[0])

    def end(x):
        return ppi.vertcat(x[0] * x[3], x[4])

    cost = ppi.LeastSquares(residuals, end).bind(plant)
    x, u = bodies.pairs(plant, T + 1)
    _, (_, cx, cu, Cxx, Cux, Cuu) = cost.expand(plant, x, u[:T])
    assert cx.shape == (T + 1, 6)
    assert Cxx.shape == (T + 1, 6, 6)
    assert Cux.shape == (T, 1, 6)
    for t in range(T):
        gx, gu = gradients(plant, cost, x[t], u[t])
        close(cx[t], gx, 1e-8)
        close(cu[t], gu, 1e-8)
        H = np.block([[Cxx[t], Cux[t].T], [Cux[t], Cuu[t]]])
        assert np.linalg.eigvalsh(H)[0] >= -1e-9


# -- what is refused ---------------------------------------------------------------------------------------------------

WRONG = {
    "an unknown site": ("arm", ppi.SitePosition("hand", GOAL), "has no site 'hand'; it has tip"),
    "an unknown site, turned": ("arm", ppi.SiteOrientation("hand"), "has no site 'hand'; it has tip"),
    "an unknown body": ("arm", ppi.CenterOfMass("hand", GOAL), "has no body 'hand'; it has world, upper, lower"),
    "an unknown joint": ("arm", ppi.JointPosition("wrist"), "has no joint 'wrist'; it has shoulder, elbow"),
    "an unknown joint, moving": ("arm", ppi.JointVelocity("wrist"), "has no joint 'wrist'; it has shoulder, elbow"),
    "an unknown sensor": ("arm", ppi.SensorValue("force"), "has no sensor 'force'; it has rate, tip"),
    "an unknown sensor of a function": (
        "arm",
        ppi.Residual(lambda x, u, y: x, ("force",)),
        "has no sensor 'force'; it has rate, tip",
    ),
    "a ball's position": ("ball", ppi.JointPosition("ball"), "'ball' is no hinge or slide"),
    "no site at all": ("servo", ppi.SitePosition("tip", GOAL), "it has bob"),
    "a goal of two": ("arm", ppi.SitePosition("tip", (1.0, 2.0)), "goal of SitePosition 'tip' is .*; expected 3"),
    "a goal of one": ("arm", ppi.SitePosition("tip", 1.0), "expected 3 entries"),
    "a goal not a number": ("arm", ppi.SitePosition("tip", (np.nan, 0, 0)), "goal of SitePosition 'tip'.*non-finite"),
    "an infinite goal": ("arm", ppi.JointPosition("elbow", np.inf), "goal of JointPosition 'elbow'.*non-finite"),
    "a goal as text": ("arm", ppi.JointPosition("elbow", "up"), "goal of JointPosition 'elbow'"),
    "a sensor's goal of two": ("arm", ppi.SensorValue("tip", (1.0, 2.0)), "expected 3 entries"),
    "an orientation of length 0": ("ball", ppi.SiteOrientation("end", (0, 0, 0, 0)), "quaternion of length 0"),
    "an orientation of three": ("ball", ppi.SiteOrientation("end", (0, 0, 0)), "has shape"),
    "a state of another size": ("arm", ppi.StateDeviation((0, 0)), "goal of StateDeviation has shape"),
    "a state of length 0": ("ball", ppi.StateDeviation(np.zeros(9)), "quaternion of length 0"),
    "a negative weight": ("arm", ppi.Effort(-1.0), "weight of Effort"),
    "weights of two": ("arm", ppi.SitePosition("tip", GOAL, (1.0, 2.0)), "expected a scalar or 3 entries"),
    "a weight not a number": ("arm", ppi.Effort(np.nan), "weight of Effort has a non-finite entry"),
    "no function": ("arm", ppi.Residual(3.0), "expected a function of"),
}


@pytest.mark.parametrize(("model", "term", "message"), WRONG.values(), ids=WRONG)
def test_wrong_terms_are_refused_in_one_line(model, term, message):
    plant = ppi.MujocoPlant(bodies.MODELS[model], name=model)
    with pytest.raises(ppi.ProblemError, match=message) as caught:
        ppi.Problem(plant, ppi.TaskCost([term]), plant.state(), T)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((), ()), "no terms"),
        (((3.0,), ()), "expected terms such as"),
        (((), (ppi.Effort(1.0),)), "leave it out of terminal"),
    ],
)
def test_wrong_lists_of_terms_are_refused(arguments, message):
    with pytest.raises(ppi.ProblemError, match=message):
        ppi.TaskCost(*arguments)


def test_functions_of_wrong_shape_are_refused():
    _, cost = bound("arm", [ppi.Residual(lambda x, u, y: x[:, 0])])
    with pytest.raises(ppi.ProblemError, match=r"returns shape \(7,\); expected \(7, k\)"):
        cost.stage(np.zeros((7, 4)), np.zeros((7, 2)))
    _, cost = bound("arm", [ppi.Residual(lambda x, u, y: x, weight=(1, 2))])
    with pytest.raises(ppi.ProblemError, match=r"expected \(7, 2\)"):
        cost.stage(np.zeros((7, 4)), np.zeros((7, 2)))


def test_task_costs_are_for_mujoco_plants():
    class Point(ppi.SymbolicPlant):
        state_names, control_names, dt = ("x", "v"), ("u",), 0.1

        def derivative(self, x, u):
            return ppi.vertcat(x[1], u[0])

    with pytest.raises(ppi.ProblemError, match="a TaskCost needs a MujocoPlant"):
        ppi.Problem(Point(), ppi.TaskCost([ppi.Effort(1.0)]), [0.0, 0.0], 3)


def test_quadratic_goals_that_are_no_states_are_refused():
    plant = ppi.MujocoPlant(bodies.BALL)
    for goal, message in ((np.zeros(9), "length 0"), (np.zeros(8), "goal has shape"), (np.full(9, np.nan), "goal")):
        with pytest.raises(ppi.ProblemError, match=message):
            ppi.Problem(plant, ppi.Quadratic(np.ones(8), np.ones(4), goal=goal), plant.state(), 3)
    with pytest.raises(ppi.ProblemError, match=r"`state` weights.*expected \(8,\)"):
        ppi.Problem(plant, ppi.Quadratic(np.ones(9), np.ones(4)), plant.state(), 3)
