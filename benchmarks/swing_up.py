"""Cart-pole swing-up from cold starts to within 0.1 % of the optimum, against IPOPT and fatrop through CasADi.

Every solver is built and warm, starts from the same guesses, and is stopped by its own tolerance, set as loose as still
ends within 0.1 % from every guess. The peers solve the multiple-shooting NLP with a stage's dynamics expanded to SX.
"""

import casadi as ca
import numpy as np

from benchmarks.report import report
from benchmarks.timing import side_by_side

OPTIMUM, SEEDS = 264.6117, 3
# loosest tolerances that pass, tried by factors of ten
TOLERANCES = {"ours": 1e-2, "ipopt": 1e-2, "fatrop": 1e-2}


def problem():
    import ppi_robotics as ppi
    from plants import CartPole

    plant = CartPole()
    return ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, 150)


def stage_function(plant):
    """Semi-implicit Euler step of the plant as a CasADi function."""
    x, u = ca.SX.sym("x", 4), ca.SX.sym("u", 1)
    v = x[2:] + plant.dt * plant.derivative(x, u)[2:]
    return ca.Function("step", [x, u], [ca.vertcat(x[:2] + plant.dt * v, v)], {"cse": True})


def nlp_solver(swing, name):
    """The NLP's solver and its bounds, variables ordered x_0, u_0, x_1, ... as fatrop asks; x_0 is a constraint."""
    step, T = stage_function(swing.plant), swing.horizon
    Q, R = np.diag(swing.cost.given.state), swing.cost.given.control[0]
    X, U = [ca.SX.sym(f"x{t}", 4) for t in range(T + 1)], [ca.SX.sym(f"u{t}", 1) for t in range(T)]
    gaps, equality, w = [], [], []
    objective = ca.bilin(Q, X[T], X[T])
    for t in range(T):
        w += [X[t], U[t]]
        objective += ca.bilin(Q, X[t], X[t]) + R * U[t] ** 2
        gaps.append(X[t + 1] - step(X[t], U[t]))
        equality += [True] * 4
        if t == 0:
            gaps.append(X[0] - swing.initial.mean)
            equality += [True] * 4
    nlp = {"x": ca.vertcat(*w, X[T]), "f": objective, "g": ca.vertcat(*gaps)}
    options = {"print_time": False, "expand": True}
    if name == "ipopt":
        options["ipopt"] = {"print_level": 0, "sb": "yes", "tol": TOLERANCES[name]}
    else:
        options |= {
            "structure_detection": "auto",
            "equality": equality,
            "fatrop": {"print_level": 0, "tol": TOLERANCES[name]},
        }
    solver = ca.nlpsol("peer", name, nlp, options)

    def solve(x, u):
        start = np.concatenate([np.hstack([x[:-1], u]).ravel(), x[-1]])
        return float(solver(x0=start, lbg=0, ubg=0)["f"])

    return solve


def main():
    import ppi_robotics as ppi
    from ppi_robotics.guesses import cold_guess

    swing = problem()
    method = ppi.PPI(eta=1e-3, tolerance=TOLERANCES["ours"])
    guesses = [cold_guess(swing, seed, 0) for seed in range(SEEDS)]
    peers = {name: nlp_solver(swing, name) for name in ("ipopt", "fatrop")}

    worst = {name: max(solve(*guess) for guess in guesses) for name, solve in peers.items()}
    worst["ours"] = max(ppi.solve(swing, method, seed=seed, starts=1).nominal_cost for seed in range(SEEDS))
    for name, value in worst.items():
        if not value <= 1.001 * OPTIMUM:
            raise SystemExit(f"{name} ends at {value:.4f}, more than 0.1 % above {OPTIMUM}")

    def all_seeds():
        for seed in range(SEEDS):
            ppi.solve(swing, method, seed=seed, starts=1)

    contenders = {name: lambda solve=solve: [solve(*guess) for guess in guesses] for name, solve in peers.items()}
    timing = side_by_side({"ours": all_seeds} | contenders, 10.0, rounds=7)
    for name, peer in (("ipopt", "IPOPT"), ("fatrop", "fatrop")):
        seconds = timing.median("ours") / SEEDS * 1e3, timing.median(name) / SEEDS * 1e3
        ratio = timing.ratio(name, "ours")
        report("cart-pole swing-up", "ms", seconds[0], peer, seconds[1], ratio, 5.0, worst=[worst["ours"], worst[name]])


if __name__ == "__main__":
    main()
