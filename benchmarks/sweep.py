"""One backward sweep against Crocoddyl's, on random linear-quadratic problems with other matrices at every stage."""

import os

import numpy as np
from numba import njit

from benchmarks.report import check, missing, report
from benchmarks.timing import side_by_side
from ppi_robotics import recursion

# beyond some 50 states Eigen's threads wait for each other longer than one of them works
os.environ.setdefault("OMP_NUM_THREADS", "1")

HORIZON = 150
TARGETS = {(4, 1): 4.0, (6, 1): 2.5, (14, 7): 1.0, (36, 12): 1.0, (54, 21): 1.0}


def random_model(nx, nu, T, rng, dt=0.02):
    """`LocalModel` without noise or defects: a discretised stable system and well conditioned costs."""

    def definite(n, least):
        M = rng.standard_normal((n, n)) / np.sqrt(n)
        return M @ M.T + least * np.eye(n)

    A = np.eye(nx) + dt * (rng.standard_normal((T, nx, nx)) / np.sqrt(nx) - 0.5 * np.eye(nx))
    B = dt * rng.standard_normal((T, nx, nu))
    C = np.array([definite(nx + nu, 0.1) for _ in range(T)])
    Cxx = np.concatenate([C[:, :nx, :nx], [definite(nx, 0.1)]])
    cx, cu = rng.standard_normal((T + 1, nx)), rng.standard_normal((T, nu))
    blocks = Cxx, np.ascontiguousarray(C[:, nx:, :nx]), np.ascontiguousarray(C[:, nx:, nx:])
    return recursion.LocalModel(A, B, np.zeros((T, nx)), np.zeros((T, nx, 0)), *blocks, cx, cu, np.zeros(T + 1))


def crocoddyl_solver(model):
    """Crocoddyl's solver with the same blocks, its derivatives computed at the origin, its damping off."""
    import crocoddyl

    T, nx, nu = model.B.shape
    stages = [
        crocoddyl.ActionModelLQR(
            model.A[t], model.B[t], model.Cxx[t], model.Cuu[t], model.Cux[t].T, np.zeros(nx), model.cx[t], model.cu[t]
        )
        for t in range(T)
    ]
    idle = np.zeros((nx, nu)), np.eye(nu), np.zeros((nx, nu)), np.zeros(nx), model.cx[T], np.zeros(nu)
    end = crocoddyl.ActionModelLQR(np.eye(nx), idle[0], model.Cxx[T], *idle[1:])
    solver = crocoddyl.SolverDDP(crocoddyl.ShootingProblem(np.zeros(nx), stages, end))
    solver.setCandidate([np.zeros(nx)] * (T + 1), [np.zeros(nu)] * T, True)
    solver.problem.nthreads = 1
    solver.preg = solver.dreg = 0.0
    solver.calcDiff()
    return solver


def kernel_loop(model):
    """The sweep's kernel alone: a function of a number of calls, without Python in between."""
    kernel = model.kernels.backward
    T, nx, nu = model.B.shape
    damping = np.zeros(nx), np.zeros(nu)
    arguments = (model.arrays(), 0.0, 0.0, recursion._flat(T, nx, nu, np.inf), damping, recursion._no_box(nu))
    P, p = np.empty((T + 1, nx, nx)), np.empty((T + 1, nx))
    out = (P, p, np.empty(T + 1)), (P[1:], p[1:]), (np.empty((T, nu, nx)), np.empty((T, nu)), np.empty((T, nu, nu)))

    @njit(error_model="numpy")
    def repeat(n, arguments, out):
        model, lS, half_inverse_lP, baseline, damping, box = arguments
        value, ahead, policy = out
        for _ in range(n):
            kernel(model, lS, half_inverse_lP, baseline, damping, box, value, ahead, policy, P)

    return lambda n: repeat(n, arguments, out)


def compare(nx, nu, target, seconds=3.0):
    """Check that the gains and values agree, then time."""
    model = random_model(nx, nu, HORIZON, np.random.default_rng(nx))
    solver = crocoddyl_solver(model)
    solver.backwardPass()
    sweep = recursion.backward(model)
    worst = max(
        check("gains", sweep.K, -np.array(solver.K).reshape(sweep.K.shape)),
        check("feedforward", sweep.k, -np.array(solver.k).reshape(HORIZON, nu)),
        check("value Hessians", sweep.value.P, np.array(solver.Vxx)),
        check("value gradients", sweep.value.p, np.array(solver.Vx)),
    )
    many = kernel_loop(model)
    timing = side_by_side(
        {
            "ours": lambda: recursion.backward(model),
            "crocoddyl": solver.backwardPass,
            "kernel": lambda: many(20),
        },
        seconds,
    )
    report(
        f"backward sweep ({nx}, {nu})",
        "us",
        timing.median("ours") * 1e6,
        "Crocoddyl",
        timing.median("crocoddyl") * 1e6,
        timing.ratio("crocoddyl", "ours"),
        target,
        kernel=timing.median("kernel") / 20 * 1e6,
        best=[timing.best("ours") * 1e6, timing.best("crocoddyl") * 1e6, timing.best("kernel") / 20 * 1e6],
        agreement=worst,
    )


def main():
    try:
        import crocoddyl  # noqa: F401
    except ImportError as error:
        missing("backward sweep", error)
        return
    for (nx, nu), target in TARGETS.items():
        compare(nx, nu, target)


if __name__ == "__main__":
    main()
