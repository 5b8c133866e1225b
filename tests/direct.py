"""An independent optimum: direct multiple shooting with IPOPT through CasADi, dynamics and cost written out here."""

import casadi as ca
import numpy as np


def integrator(plant):
    """CasADi function of the plant's next state, built from `plant.derivative` with its own integrator."""
    x, u, h = ca.SX.sym("x", plant.nx), ca.SX.sym("u", plant.nu), plant.dt
    if plant.integrator == "semi_implicit_euler":
        half = plant.nx // 2
        v = x[half:] + h * plant.derivative(x, u)[half:]
        after = ca.vertcat(x[:half] + h * v, v)
    else:
        assert plant.integrator == "rk4"
        k1 = plant.derivative(x, u)
        k2 = plant.derivative(x + h / 2 * k1, u)
        k3 = plant.derivative(x + h / 2 * k2, u)
        k4 = plant.derivative(x + h * k3, u)
        after = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return ca.Function("after", [x, u], [after], {"cse": True})


def cost_functions(cost, plant):
    """CasADi functions of the stage and the terminal cost from the cost's description."""
    x, u, given = ca.SX.sym("x", plant.nx), ca.SX.sym("u", plant.nu), cost.given
    if hasattr(given, "state"):
        stage = sum(q * x[i] ** 2 for i, q in enumerate(given.state)) + sum(
            r * u[i] ** 2 for i, r in enumerate(given.control)
        )
        terminal = sum(q * x[i] ** 2 for i, q in enumerate(given.terminal))
    else:
        stage, terminal = ca.sumsqr(given.stage(x, u)), ca.sumsqr(given.terminal(x))
    return ca.Function("stage", [x, u], [stage]), ca.Function("terminal", [x], [terminal])


def solve_directly(problem, guesses):
    """Costs and final states of the NLP's local optima from guesses (x (T + 1, nx), u (T, nu)), cheapest first."""
    plant, T = problem.plant, problem.horizon
    X, U = ca.MX.sym("X", plant.nx, T + 1), ca.MX.sym("U", plant.nu, T)
    stage, terminal = cost_functions(problem.cost, plant)
    objective = ca.sum2(stage.map(T)(X[:, :T], U)) + terminal(X[:, T])
    gaps = integrator(plant).map(T)(X[:, :T], U) - X[:, 1:]
    nlp = {"x": ca.veccat(X, U), "f": objective, "g": ca.vec(gaps)}
    options = {
        "ipopt": {"print_level": 0, "sb": "yes", "max_iter": 1000, "bound_relax_factor": 0.0},
        "print_time": False,
    }
    solver = ca.nlpsol("direct", "ipopt", nlp, options)
    low, high = (np.tile(plant.state_limits[:, i], (T + 1, 1)) for i in (0, 1))
    low[0] = high[0] = problem.initial.mean
    bounds = [np.concatenate([s.ravel(), np.tile(plant.control_limits[:, i], T)]) for i, s in enumerate((low, high))]
    optima = []
    for x, u in guesses:
        answer = solver(x0=np.concatenate([x.ravel(), u.ravel()]), lbx=bounds[0], ubx=bounds[1], lbg=0, ubg=0)
        if solver.stats()["success"]:
            final = np.array(answer["x"]).ravel()[plant.nx * T : plant.nx * (T + 1)]
            optima.append((float(answer["f"]), final))
    return sorted(optima, key=lambda optimum: optimum[0])
