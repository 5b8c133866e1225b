"""Template: one step of a plant over lanes, by an explicit Runge-Kutta scheme whose stages use the one before.

    k_s = f(x + dt a_s k_{s-1}, u)        x' = x + dt sum_s b_s k_s                       (Euler, midpoint, RK4)
    v' = v + dt f_v,   q' = q + dt v'                                                     (semi-implicit Euler)
    x' = f(x, u)                                                                          (discrete plants)

Jacobians and second derivatives are chained through the stages, so that no expression grows with the scheme.
"""

import numpy as np
from numba import njit

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
)


@njit
def advance(x, u, c, dt, xs, k, xn):
    """xn = f(x, u); xs and k (NX, LANES) are scratch."""
    for i in range(NX):
        for lane in range(LANES):
            xn[i, lane] = KEEP * x[i, lane]
            xs[i, lane] = x[i, lane]
    for s in range(STAGES):
        if s > 0:
            for i in range(NX):
                for lane in range(LANES):
                    xs[i, lane] = x[i, lane] + dt * NODES[s] * k[i, lane]
        derivative(xs, u, c, k)
        for i in range(NX):
            for lane in range(LANES):
                xn[i, lane] += dt * WEIGHTS[s] * k[i, lane]
    if SEMI_IMPLICIT:
        half = NX // 2
        for i in range(half):
            for lane in range(LANES):
                xn[i, lane] += dt * dt * k[half + i, lane]


@njit
def chain(f_z, Z, dk):
    """dk = f_x Z + [0 f_u]: sensitivity of one stage's slope, all (NX * NZ, LANES)."""
    for i in range(NX):
        for j in range(NZ):
            for lane in range(LANES):
                dk[i * NZ + j, lane] = f_z[i * NZ + j, lane] if j >= NX else 0.0
            for m in range(NX):
                for lane in range(LANES):
                    dk[i * NZ + j, lane] += f_z[i * NZ + m, lane] * Z[m * NZ + j, lane]


@njit
def sensitivities(x, u, c, dt, xn, J, xs, f_z, Z):
    """xn and J = d xn / d(x, u); for every stage its state xs, the Jacobian of f there and Z = d xs / d(x, u)."""
    k, dk = np.empty((NX, LANES)), np.empty((NX * NZ, LANES))
    for i in range(NX):
        for lane in range(LANES):
            xn[i, lane] = KEEP * x[i, lane]
    for i in range(NX):
        for j in range(NZ):
            for lane in range(LANES):
                J[i * NZ + j, lane] = KEEP if i == j else 0.0
    for s in range(STAGES):
        for i in range(NX):
            for lane in range(LANES):
                xs[s, i, lane] = x[i, lane]
            if s > 0:
                for lane in range(LANES):
                    xs[s, i, lane] += dt * NODES[s] * k[i, lane]
            for j in range(NZ):
                for lane in range(LANES):
                    Z[s, i * NZ + j, lane] = 1.0 if i == j else 0.0
                if s > 0:
                    for lane in range(LANES):
                        Z[s, i * NZ + j, lane] += dt * NODES[s] * dk[i * NZ + j, lane]
        derivative_jacobian(xs[s], u, c, k, f_z[s])
        if s > 0:
            chain(f_z[s], Z[s], dk)
        else:
            for m in range(NX * NZ):
                for lane in range(LANES):
                    dk[m, lane] = f_z[0, m, lane]
        for i in range(NX):
            for lane in range(LANES):
                xn[i, lane] += dt * WEIGHTS[s] * k[i, lane]
        for m in range(NX * NZ):
            for lane in range(LANES):
                J[m, lane] += dt * WEIGHTS[s] * dk[m, lane]
    if SEMI_IMPLICIT:
        half = NX // 2
        for i in range(half):
            for lane in range(LANES):
                xn[i, lane] += dt * dt * k[half + i, lane]
        for m in range(half * NZ):
            for lane in range(LANES):
                J[m, lane] += dt * dt * dk[half * NZ + m, lane]


@njit
def curvature(xs, u, y, c, dt, f_z, Z, H):
    """H (NZ * NZ, LANES) = d^2 (y' xn) / d(x, u)^2, the stages' own curvatures pulled back through Z."""
    a = np.empty((NX, LANES))
    b = np.empty((NX, LANES))
    Hs = np.empty((NZ * NZ, LANES))
    half_product = np.empty((NZ * NZ, LANES))
    for m in range(NZ * NZ):
        for lane in range(LANES):
            H[m, lane] = 0.0
    for s in range(STAGES - 1, -1, -1):
        # a: adjoint of the slope k_s
        for i in range(NX):
            for lane in range(LANES):
                b[i, lane] = dt * WEIGHTS[s] * y[i, lane]
        if SEMI_IMPLICIT:
            half = NX // 2
            for i in range(half):
                for lane in range(LANES):
                    b[half + i, lane] += dt * dt * y[i, lane]
        if s + 1 < STAGES:
            for i in range(NX):
                for m in range(NX):
                    for lane in range(LANES):
                        b[i, lane] += dt * NODES[s + 1] * f_z[s + 1, m * NZ + i, lane] * a[m, lane]
        for i in range(NX):
            for lane in range(LANES):
                a[i, lane] = b[i, lane]
        derivative_hessian(xs[s], u, a, c, Hs)
        if s > 0:
            pull_back(Hs, Z[s], half_product, H)
        else:
            for m in range(NZ * NZ):
                for lane in range(LANES):
                    H[m, lane] += Hs[m, lane]


@njit
def pull_back(Hs, Z, half_product, H):
    """H += S' Hs S with S = [Z; 0 I]."""
    for i in range(NZ):
        for j in range(NZ):
            for lane in range(LANES):
                half_product[i * NZ + j, lane] = Hs[i * NZ + j, lane] if j >= NX else 0.0
            for m in range(NX):
                for lane in range(LANES):
                    half_product[i * NZ + j, lane] += Hs[i * NZ + m, lane] * Z[m * NZ + j, lane]
    for i in range(NZ):
        for j in range(NZ):
            if i >= NX:
                for lane in range(LANES):
                    H[i * NZ + j, lane] += half_product[i * NZ + j, lane]
            for m in range(NX):
                for lane in range(LANES):
                    H[i * NZ + j, lane] += Z[m * NZ + i, lane] * half_product[m * NZ + j, lane]
