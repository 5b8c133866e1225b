"""Template: one step of a plant over lanes, by an explicit Runge-Kutta scheme whose stages use the one before.

    k_s = f(x_s, u),   x_s = x + dt a_s k_{s-1},   x' = x + dt sum_s b_s k_s              (Euler, midpoint, RK4)
    v' = v + dt f_v,   q' = q + dt v'                                                     (semi-implicit Euler)
    x' = f(x, u)                                                                          (discrete plants)

Derivatives are chained through the stages, so that no expression grows with the scheme: with z = (x, u), the Jacobian
F_s of f at stage s, S_s = d(x_s, u)/dz and, for an adjoint y, the adjoint r_s of k_s,

    dk_s/dz = F_s S_s,   S_{s+1} = I + dt a_{s+1} [dk_s/dz; 0],   d2(y'x')/dz2 = sum_s S_s' (r_s'f)_zz S_s

The expressions of f are evaluated over lanes, the small matrices of each lane are multiplied one after the other.
"""

from ppi_robotics.kernels.generated import (
    KEEP,
    LANES,
    NODES,
    NX,
    NZ,
    SEMI_IMPLICIT,
    STAGES,
    WEIGHTS,
    derivative,
    derivative_hessian,
    derivative_jacobian,
    inlined,
)
from ppi_robotics.kernels.tiles import matrix, new_matrix, product, transposed_product, vector

JACOBIAN, HESSIAN, HALF = NX * NZ, NZ * NZ, NX // 2


@inlined
def combine(x, scale, k, result, n):
    """result = x + scale k, all (n, LANES); as one loop, which the compiler turns into vector instructions."""
    x, k, result = vector(x, 0, n * LANES), vector(k, 0, n * LANES), vector(result, 0, n * LANES)
    for m in range(n * LANES):
        result[m] = x[m] + scale * k[m]


@inlined
def start(x, xs, xn):
    """First stage's state xs = x, and xn = x, or 0 for discrete plants; all (NX, LANES)."""
    x, xs, xn = vector(x, 0, NX * LANES), vector(xs, 0, NX * LANES), vector(xn, 0, NX * LANES)
    for m in range(NX * LANES):
        xs[m] = x[m]
        xn[m] = KEEP * x[m]


@inlined
def advance(x, u, c, dt, xs, k, xn):
    """xn = f(x, u); xs and k (NX, LANES) are scratch."""
    if STAGES == 1:
        derivative(x, u, c, k)
        step_once(x, dt, k, xn)
        return
    start(x, xs, xn)
    for s in range(STAGES):
        if s > 0:
            combine(x, dt * NODES[s], k, xs, NX)
        derivative(xs, u, c, k)
        combine(xn, dt * WEIGHTS[s], k, xn, NX)


@inlined
def step_once(x, dt, k, xn):
    """xn from the one derivative k, without a pass over memory for every term."""
    x, k, xn = vector(x, 0, NX * LANES), vector(k, 0, NX * LANES), vector(xn, 0, NX * LANES)
    late = HALF * LANES if SEMI_IMPLICIT else 0
    for m in range(late):
        xn[m] = KEEP * x[m] + dt * WEIGHTS[0] * k[m] + dt * dt * k[late + m]
    for m in range(late, NX * LANES):
        xn[m] = KEEP * x[m] + dt * WEIGHTS[0] * k[m]


@inlined
def stages(x, u, c, dt, xn, xs, f_z):
    """xn, and for every stage s its state xs (STAGES * NX, LANES) and Jacobian f_z (STAGES * JACOBIAN, LANES)."""
    k = new_matrix(NX, LANES)
    start(x, xs, xn)
    for s in range(STAGES):
        at = matrix(xs, s, NX, LANES)
        if s > 0:
            combine(x, dt * NODES[s], k, at, NX)
        derivative_jacobian(at, u, c, k, matrix(f_z, s, JACOBIAN, LANES))
        combine(xn, dt * WEIGHTS[s], k, xn, NX)
    if SEMI_IMPLICIT:
        combine(xn, dt * dt, matrix(k, 1, HALF, LANES), xn, HALF)


@inlined
def stage_curvatures(xs, u, y, c, dt, f_z, f_zz):
    """f_zz (STAGES * HESSIAN, LANES): for every stage the second derivative of r_s'f."""
    r, after = new_matrix(NX, LANES), new_matrix(NX, LANES)
    for s in range(STAGES - 1, -1, -1):
        for i in range(NX):
            for lane in range(LANES):
                r[i, lane] = dt * WEIGHTS[s] * y[i, lane]
        if SEMI_IMPLICIT:
            for i in range(HALF):
                for lane in range(LANES):
                    r[HALF + i, lane] += dt * dt * y[i, lane]
        if s + 1 < STAGES:
            F = matrix(f_z, s + 1, JACOBIAN, LANES)
            for i in range(NX):
                for m in range(NX):
                    for lane in range(LANES):
                        r[i, lane] += dt * NODES[s + 1] * F[m * NZ + i, lane] * after[m, lane]
        combine(r, 0.0, r, after, NX)
        derivative_hessian(matrix(xs, s, NX, LANES), u, r, c, matrix(f_zz, s, HESSIAN, LANES))


@inlined
def gather(lanes, first, lane, M, n):
    """The n entries of one lane from row `first` on, into the matrix M by rows."""
    entries = vector(M, 0, n)
    for m in range(n):
        entries[m] = lanes[first + m, lane]


@inlined
def identity(S):
    """S (NZ, NZ) = I."""
    for i in range(NZ):
        for j in range(NZ):
            S[i, j] = 1.0 if i == j else 0.0


@inlined
def chain(f_z, f_zz, curved, lane, dt, J, H):
    """J (NX, NZ) of one lane and, if `curved`, H (NZ, NZ)."""
    S, F, dk, C, CS = new_matrix(NZ, NZ), new_matrix(NX, NZ), new_matrix(NX, NZ), new_matrix(NZ, NZ), new_matrix(NZ, NZ)
    identity(S)
    for s in range(STAGES):
        if s == 0:  # S = I
            gather(f_z, 0, lane, dk, JACOBIAN)
        else:
            for i in range(NX):
                for j in range(NZ):
                    S[i, j] = (1.0 if i == j else 0.0) + dt * NODES[s] * dk[i, j]
            gather(f_z, s * JACOBIAN, lane, F, JACOBIAN)
            product(None, F, S, dk, NX, NZ, NZ)
        for i in range(NX):
            for j in range(NZ):
                before = (KEEP if i == j else 0.0) if s == 0 else J[i, j]
                J[i, j] = before + dt * WEIGHTS[s] * dk[i, j]
        if curved and s == 0:
            gather(f_zz, 0, lane, H, HESSIAN)
        elif curved:
            gather(f_zz, s * HESSIAN, lane, C, HESSIAN)
            product(None, C, S, CS, NZ, NZ, NZ)
            transposed_product(H, S, CS, H, NZ, NZ, NZ)
    if SEMI_IMPLICIT:
        for i in range(HALF):
            for j in range(NZ):
                J[i, j] += dt * dt * dk[HALF + i, j]
