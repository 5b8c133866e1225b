"""Plants: one contract for every plant that is shipped, every integrator, and every kind of wrong definition."""

import casadi as ca
import numpy as np
import pytest
from oracles import Swing, close, difference_jacobian, integrate, swing

import plants
import ppi_robotics as ppi
from ppi_robotics.problem import Plant
from ppi_robotics.symbolic.plant import INTEGRATORS


class Map(ppi.SymbolicPlant):
    """A discrete map whose next state shares no part with the state."""

    state_names = ("a", "b")
    control_names = ("u",)
    dt = 1.0

    def transition(self, x, u):
        return ppi.vertcat(ppi.sin(x[1]) + u[0] ** 2, x[0] * x[1] - ppi.exp(-u[0]))


def shipped():
    found = [getattr(plants, name) for name in plants.__all__]
    return [plant for plant in found if isinstance(plant, type) and issubclass(plant, ppi.SymbolicPlant)]


# the shipped plants use rk4 and semi-implicit Euler, Euler is the first stage of midpoint
CONTRACT = {cls.__name__: cls for cls in shipped()} | {"Swing": lambda: Swing("midpoint"), "Map": Map}


@pytest.fixture(params=CONTRACT.values(), ids=CONTRACT, scope="module")
def plant(request):
    return request.param()


def pairs(plant, n=40):
    """States around the equilibria of a plant, and controls; n is no multiple of the lanes."""
    rng = np.random.default_rng(0)
    center = getattr(plant, "hanging", np.zeros(plant.nx))
    return center + rng.normal(size=(n, plant.nx)), rng.normal(size=(n, plant.nu))


# -- the contract of every plant ---------------------------------------------------------------------------------------


class TestContract:
    def test_has_what_the_protocol_asks_for(self, plant):
        assert isinstance(plant, Plant)
        assert len(plant.state_names) == plant.nx == plant.ndx
        assert len(plant.control_names) == plant.nu
        assert len(plant.units) == plant.nx + plant.nu
        assert plant.control_limits.shape == (plant.nu, 2)
        assert plant.state_limits.shape == (plant.nx, 2)
        close(plant.noise.factor @ plant.noise.factor.T, plant.noise.process, 1e-15)

    def test_batch_equals_loop(self, plant):
        x, u = pairs(plant)
        y = np.random.default_rng(1).normal(size=x.shape)
        step, expanded = plant.step(x, u), plant.expand(x, u, y)
        for i in range(len(x)):
            one = slice(i, i + 1)
            np.testing.assert_array_equal(plant.step(x[one], u[one])[0], step[i])
            for alone, together in zip(plant.expand(x[one], u[one], y[one]), expanded, strict=True):
                np.testing.assert_array_equal(alone[0], together[i])

    def test_two_calls_give_equal_bits(self, plant):
        x, u = pairs(plant)
        for first, second in zip(plant.expand(x, u, x), plant.expand(x, u, x), strict=True):
            assert first.tobytes() == second.tobytes()

    def test_step_is_an_independent_integration(self, plant):
        x, u = pairs(plant)
        symbols = ca.SX.sym("x", plant.nx), ca.SX.sym("u", plant.nu)
        discrete = plant.transition is not None
        compiled = ca.Function("f", symbols, [(plant.transition if discrete else plant.derivative)(*symbols)])

        def f(x, u):
            return np.array(compiled(x, u)).ravel()

        expected = [
            f(a, b) if discrete else integrate(f, a, b, plant.dt, plant.integrator) for a, b in zip(x, u, strict=True)
        ]
        close(plant.step(x, u), expected, 1e-13)

    def test_jacobians_are_finite_differences(self, plant):
        x, u = pairs(plant, 6)
        xn, A, B = plant.expand(x, u)
        close(xn, plant.step(x, u), 1e-14)
        for i in range(6):
            J = difference_jacobian(
                lambda z: plant.step(z[None, : plant.nx], z[None, plant.nx :])[0], np.r_[x[i], u[i]]
            )
            close(np.hstack([A[i], B[i]]), J, 1e-8)  # error of the differences
        close(plant.linearize(x, u)[0], A, 0.0)
        close(plant.linearize(x, u)[1], B, 0.0)

    def test_second_derivatives_are_finite_differences_of_the_adjoint_product(self, plant):
        x, u = pairs(plant, 6)
        y = np.random.default_rng(1).normal(size=x.shape)
        H = plant.expand(x, u, y)[3]
        close(H, H.transpose(0, 2, 1), 1e-13)
        for i in range(6):

            def gradient(z, i=i):
                _, A, B = plant.expand(z[None, : plant.nx], z[None, plant.nx :])
                return y[i] @ np.hstack([A[0], B[0]])

            close(H[i], difference_jacobian(gradient, np.r_[x[i], u[i]]), 1e-8)

    def test_curvature_call_gives_the_same_first_derivatives(self, plant):
        x, u = pairs(plant)
        for plain, curved in zip(plant.expand(x, u), plant.expand(x, u, x)[:3], strict=True):
            close(curved, plain, 1e-14)

    def test_retract_inverts_difference(self, plant):
        x, _ = pairs(plant)
        y = np.roll(x, 1, axis=0)
        close(plant.retract(y, plant.difference(x, y)), x, 1e-15)
        close(plant.difference(x, x), 0 * x, 0.0)

    def test_cannot_be_changed(self, plant):
        with pytest.raises(ppi.PlantError, match="cannot be changed"):
            plant.dt = 1.0
        with pytest.raises(ppi.PlantError, match="cannot be changed"):
            plant.anything = 1.0
        for array in (
            plant.control_limits,
            plant.state_limits,
            plant.noise.process,
            plant.noise.factor,
            plant.model.constants,
        ):
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0.0

    @pytest.mark.parametrize(
        "shapes", [((3, 9), (3, 1)), ((3,), (1,)), ((0, 2), (0, 1)), ((3, 2), (2, 1)), ((2, 3, 2), (2, 3, 1))]
    )
    def test_refuses_other_shapes(self, plant, shapes):
        with pytest.raises(ppi.ProblemError, match=r"expected \(N, "):
            plant.step(*(np.zeros(shape) for shape in shapes))


@pytest.fixture(params=shipped(), ids=[cls.__name__ for cls in shipped()], scope="module")
def swinger(request):
    return request.param()


class TestShippedPlants:
    def test_named_equilibria_stay_where_they_are(self, swinger):
        for x in (swinger.hanging, swinger.upright):
            close(swinger.step(x[None], np.zeros((1, swinger.nu)))[0], x, 1e-14)

    def test_upright_is_unstable_and_hanging_is_not(self, swinger):
        x, u = np.stack([swinger.hanging, swinger.upright]), np.zeros((2, swinger.nu))
        hanging, upright = (np.abs(np.linalg.eigvals(A)).max() for A in swinger.linearize(x, u)[0])
        assert upright > 1.02
        assert hanging < 1.005  # double integrators sit at 1, and explicit schemes gain a little

    def test_success_is_upright_and_not_hanging(self, swinger):
        np.testing.assert_array_equal(swinger.success(np.stack([swinger.upright, swinger.hanging])), [True, False])

    def test_swing_up_cost_is_least_upright_at_rest(self, swinger):
        cost = swinger.swing_up_cost().bind(swinger)
        x, u = pairs(swinger)
        assert cost.terminal(swinger.upright[None])[0] == 0.0
        assert cost.stage(swinger.upright[None], np.zeros((1, swinger.nu)))[0] == 0.0
        assert cost.terminal(swinger.hanging[None])[0] > 0.0
        assert (cost.stage(x, u) > 0.0).all()

    def test_start_is_inside_the_limits(self, swinger):
        assert (swinger.hanging >= swinger.state_limits[:, 0]).all()
        assert (swinger.hanging <= swinger.state_limits[:, 1]).all()
        assert swinger.default_horizon >= 1


def test_cart_pole_has_the_equations_of_barto_sutton_and_anderson():
    plant = plants.CartPole()
    x, u = pairs(plant)
    push = (u[:, 0] + 0.1 * 0.5 * x[:, 3] ** 2 * np.sin(x[:, 1])) / 1.1
    swing_rate = (9.8 * np.sin(x[:, 1]) - np.cos(x[:, 1]) * push) / (0.5 * (4 / 3 - 0.1 * np.cos(x[:, 1]) ** 2 / 1.1))
    acceleration = push - 0.1 * 0.5 * swing_rate * np.cos(x[:, 1]) / 1.1
    velocity = x[:, 2:] + 0.02 * np.stack([acceleration, swing_rate], axis=1)
    close(plant.step(x, u), np.hstack([x[:, :2] + 0.02 * velocity, velocity]), 1e-14)


@pytest.mark.parametrize("scheme", list(INTEGRATORS))
def test_integrators_are_those_of_the_textbook(scheme):
    plant = Swing(scheme)
    x, u = pairs(plant)
    close(plant.step(x, u), [integrate(swing, a, b, plant.dt, scheme) for a, b in zip(x, u, strict=True)], 1e-13)


@pytest.mark.parametrize(("scheme", "order"), [("euler", 1), ("semi_implicit_euler", 1), ("midpoint", 2), ("rk4", 4)])
def test_integrators_converge_with_their_order(scheme, order):
    class Faster(Swing):
        def __init__(self, dt):
            super().__init__(scheme)
            self.dt = dt

    def end(n):
        plant, x, u = Faster(0.4 / n), np.array([[0.7, -0.3]]), np.array([[0.5]])
        for _ in range(n):
            x = plant.step(x, u)
        return x[0]

    exact = np.array([0.7, -0.3])
    for _ in range(2000):
        exact = integrate(swing, exact, np.array([0.5]), 0.4 / 2000, "rk4")
    errors = [np.linalg.norm(end(n) - exact) for n in (16, 32)]
    assert abs(np.log2(errors[0] / errors[1]) - order) < 0.15  # the next order at these steps


def test_discrete_plants_take_the_transition_as_it_is():
    x, u = pairs(Map())
    close(
        Map().step(x, u),
        np.stack([np.sin(x[:, 1]) + u[:, 0] ** 2, x[:, 0] * x[:, 1] - np.exp(-u[:, 0])], axis=1),
        1e-14,
    )


def test_parameters_reuse_the_compiled_code():
    one, other = Swing(drag=0.2), Swing(drag=0.7)
    assert one.model.kernels is other.model.kernels
    x, u = pairs(one)
    assert np.abs(one.step(x, u) - other.step(x, u)).max() > 1e-3


def test_dynamics_may_be_a_list():
    class Listed(Swing):
        def derivative(self, x, u):
            return [x[1], u[0] - 9.81 * ppi.sin(x[0]) - self.drag * x[1] ** 3]

    x, u = pairs(Swing())
    np.testing.assert_array_equal(Listed().step(x, u), Swing().step(x, u))


# -- wrong definitions -------------------------------------------------------------------------------------------------


def defined(**attributes):
    """A plant class like `Swing` with other attributes."""
    plain = {
        "state_names": ("angle", "rate"),
        "control_names": ("torque",),
        "dt": 0.05,
        "derivative": Swing.derivative,
        "drag": 0.2,
    }
    return type(
        "Given", (ppi.SymbolicPlant,), {name: value for name, value in (plain | attributes).items() if value is not ...}
    )


def outside_symbol(self, x, u):
    return ppi.vertcat(x[1], ca.SX.sym("mystery"))


def namesake_symbol(self, x, u):
    return ppi.vertcat(x[1], ca.SX.sym("x"))


WRONG = {
    "no states": ({"state_names": ()}, "state_names"),
    "states as one string": ({"state_names": "angle"}, "state_names"),
    "controls as one string": ({"control_names": "torque"}, "control_names"),
    "no controls": ({"control_names": ()}, "control_names"),
    "no dynamics": ({"derivative": ...}, "defines neither"),
    "no dt": ({"dt": None}, "dt is None"),
    "negative dt": ({"dt": -0.1}, "dt is -0.1"),
    "dt zero": ({"dt": 0}, "dt is 0"),
    "infinite dt": ({"dt": np.inf}, "dt is inf"),
    "dt not a number": ({"dt": np.nan}, "dt is nan"),
    "dt as text": ({"dt": "0.1"}, "dt is '0.1'"),
    "unknown integrator": ({"integrator": "rk5"}, "'rk5'; choose from euler"),
    "units": ({"units": ("rad",)}, "units has 1 entries"),
    "too many limits": ({"control_limits": [(-1, 1), (-1, 1)]}, "control_limits"),
    "limits reversed": ({"control_limits": [(1, -1)]}, "torque has lower limit 1 and upper limit -1"),
    "limits equal": ({"state_limits": [(1, 1), None]}, "angle has lower limit 1"),
    "limits not a number": ({"state_limits": [(np.nan, 1), None]}, "state_limits"),
    "limits of the wrong form": ({"control_limits": [(1, 2, 3)]}, "control_limits"),
    "ragged limits": ({"state_limits": [(1, 2, 3), (1, 2)]}, "state_limits"),
    "limits as text": ({"control_limits": [("low", "high")]}, "control_limits"),
    "limits as one number": ({"control_limits": 3.0}, "control_limits"),
    "noise of the wrong size": ({"noise": [0.1]}, "noise is for 1 states"),
    "negative noise": ({"noise": [0.1, -0.1]}, "noise"),
    "indefinite noise": ({"noise": [[1.0, 2.0], [2.0, 1.0]]}, "indefinite"),
    "asymmetric noise": ({"noise": [[1.0, 0.5], [0.0, 1.0]]}, "not symmetric"),
    "noise not a number": ({"noise": [np.nan, 0.1]}, "non-finite"),
    "too few entries": ({"derivative": lambda self, x, u: x[1]}, "returns 1 entries; expected 2"),
    "too many entries": ({"derivative": lambda self, x, u: ppi.vertcat(x, u)}, "returns 3 entries"),
    "nothing returned": ({"derivative": lambda self, x, u: None}, "use ppi.sin"),
    "an outside symbol": ({"derivative": outside_symbol}, "mystery"),
    "a symbol named like the state": ({"derivative": namesake_symbol}, "symbol"),
    "python's own sine": (
        {"derivative": lambda self, x, u: [x[1], __import__("math").sin(x[0])]},
        "not finite.*ppi.sin",
    ),
    "an index too far": ({"derivative": lambda self, x, u: [x[1], x[2]]}, "out of bounds"),
    "a branch on a symbol": ({"derivative": lambda self, x, u: [x[1], 1.0 if x[0] > 0 else -1.0]}, "truth value"),
    "a parameter not a number": ({"drag": np.nan}, "not finite"),
    "an operation without counterpart": (
        {"derivative": lambda self, x, u: [x[1], ca.erfinv(x[0])]},
        "cannot be compiled",
    ),
    "states out of order": (
        {"integrator": "semi_implicit_euler", "derivative": lambda self, x, u: [u[0], x[0]]},
        "ordered positions, velocities",
    ),
    "an odd number of states": (
        {
            "integrator": "semi_implicit_euler",
            "state_names": ("a", "b", "c"),
            "derivative": lambda self, x, u: [x[1], x[2], u[0]],
        },
        "ordered positions, velocities",
    ),
}


@pytest.mark.parametrize(("attributes", "message"), WRONG.values(), ids=WRONG)
def test_wrong_definitions_are_refused_in_one_line(attributes, message):
    cls = defined(**attributes)
    with pytest.raises(ppi.PlantError, match=message) as caught:
        cls()
    assert "\n" not in str(caught.value)


def test_messages_name_the_plant():
    with pytest.raises(ppi.PlantError, match="Given"):
        defined(dt=None)()


def test_infinite_and_missing_limits_are_the_same():
    given = defined(control_limits=[(-np.inf, np.inf)], state_limits=[None, (0.0, np.inf)])()
    np.testing.assert_array_equal(given.control_limits, defined()().control_limits)
    np.testing.assert_array_equal(given.state_limits, [[-np.inf, np.inf], [0.0, np.inf]])


# -- holding ---------------------------------------------------------------------------------------------------------


class Spring(ppi.SymbolicPlant):
    """A mass on a spring of its third power, in units of length and force of one's own choice."""

    state_names = ("position", "velocity")
    control_names = ("pull", "twice")
    dt = 0.05
    meter, newton = 1.0, 1.0

    def derivative(self, x, u):
        force = (u[0] + 2 * u[1]) / self.newton
        return ppi.vertcat(x[1], (force - (x[0] / self.meter) ** 3) * self.meter)


class Foreign(Spring):
    meter, newton = 2.0**20, 2.0**-20


def test_controls_that_hold_a_plant_keep_its_state():
    plant, x = Spring(), np.array([0.7, 0.0])
    u = plant.hold_controls(x)
    close(plant.step(x[None], u[None])[0], x, 1e-12)
    close(u[0] + 2 * u[1], 0.7**3, 1e-12)
    close(plant.hold_controls([0.0, 0.0]), [0.0, 0.0], 0.0)
    close(plant.hold_controls([0.7, 0.3]), [0.0, 0.0], 0.0)  # nothing holds what moves
    other = Foreign()
    close(other.hold_controls(x * other.meter), u * other.newton, 1e-15)
    with pytest.raises(ppi.ProblemError, match="x has a non-finite"):
        plant.hold_controls([0.0, np.inf])


def test_controls_that_hold_a_cart_with_a_pole_are_none():
    plant = plants.CartPole()
    for x in (plant.hanging, np.zeros(4), [0.3, 1.0, 0.0, 0.0]):  # at rest, at rest, and where no force holds it
        close(plant.hold_controls(x), [0.0], 1e-12)
