"""States with unit quaternions: differences and moves in the tangent space, compiled.

A state (nx,) holds scalars and unit quaternions (w, x, y, z); the tangent (ndx,) has three entries, a rotation
vector in the local frame, for the four of a quaternion: q * exp(w / 2). `quaternions` (k,) say where they start.
"""

import math

import numpy as np

from ppi_robotics.kernels.jit import njit

OPTIONS = {"nogil": True, "error_model": "numpy"}


@njit(**OPTIONS)
def subtract(x, y, quaternions, dx):
    """dx: the tangent that leads from y to x."""
    start = 0
    for k in range(quaternions.shape[0] + 1):
        stop = quaternions[k] if k < quaternions.shape[0] else x.shape[0]
        for i in range(start, stop):
            dx[i - k] = x[i] - y[i]
        start = stop + 4
        if k < quaternions.shape[0]:
            quaternion_log(x[stop:start], y[stop:start], dx[stop - k : stop - k + 3])


@njit(**OPTIONS)
def quaternion_log(a, b, w):
    """w: the rotation vector with b * exp(w / 2) = a, of length pi at most."""
    c = b[0] * a[0] + b[1] * a[1] + b[2] * a[2] + b[3] * a[3]
    w[0] = b[0] * a[1] - b[1] * a[0] - b[2] * a[3] + b[3] * a[2]
    w[1] = b[0] * a[2] + b[1] * a[3] - b[2] * a[0] - b[3] * a[1]
    w[2] = b[0] * a[3] - b[1] * a[2] + b[2] * a[1] - b[3] * a[0]
    s = math.sqrt(w[0] * w[0] + w[1] * w[1] + w[2] * w[2])
    if s < 1e-10:
        scale = 2.0 if c > 0.0 else -2.0
    else:
        # a quaternion and its negative are the same rotation: the shorter way round counts
        scale = 2.0 * math.atan2(s, c) / s if c >= 0.0 else -2.0 * math.atan2(s, -c) / s
    for n in range(3):
        w[n] *= scale


@njit(**OPTIONS)
def add(x, dx, quaternions, out):
    """out: the state reached from x along the tangent dx; may be x itself."""
    start = 0
    for k in range(quaternions.shape[0] + 1):
        stop = quaternions[k] if k < quaternions.shape[0] else x.shape[0]
        for i in range(start, stop):
            out[i] = x[i] + dx[i - k]
        start = stop + 4
        if k < quaternions.shape[0]:
            turn(x[stop:start], dx[stop - k : stop - k + 3], out[stop:start])


@njit(**OPTIONS)
def turn(q, w, out):
    """out: q * exp(w / 2), normalized; may be q itself."""
    angle = math.sqrt(w[0] * w[0] + w[1] * w[1] + w[2] * w[2])
    scale = 0.5 if angle < 1e-10 else math.sin(0.5 * angle) / angle
    c, u, v, z = math.cos(0.5 * angle), scale * w[0], scale * w[1], scale * w[2]
    a = q[0] * c - q[1] * u - q[2] * v - q[3] * z
    b = q[0] * u + q[1] * c + q[2] * z - q[3] * v
    d = q[0] * v - q[1] * z + q[2] * c + q[3] * u
    e = q[0] * z + q[1] * v - q[2] * u + q[3] * c
    length = math.sqrt(a * a + b * b + d * d + e * e)
    out[0], out[1], out[2], out[3] = a / length, b / length, d / length, e / length


@njit(**OPTIONS)
def subtract_rows(x, y, quaternions, dx):
    """`subtract` of rows x (N, nx) and y (N or 1, nx) into dx (N, ndx)."""
    for n in range(x.shape[0]):
        subtract(x[n], y[min(n, y.shape[0] - 1)], quaternions, dx[n])


@njit(**OPTIONS)
def add_rows(x, dx, quaternions, out):
    """`add` of rows x (N, nx) and dx (N, ndx) into out (N, nx)."""
    for n in range(x.shape[0]):
        add(x[n], dx[n], quaternions, out[n])


@njit(**OPTIONS)
def add_squares(x, goal, quaternions, factor, total):
    """total (N,) += |F (x - goal)|^2 of rows x (N, nx); `factor` (k, 3) are the entries of F: row, column, value."""
    dx = np.empty(x.shape[1] - quaternions.shape[0])
    for n in range(x.shape[0]):
        subtract(x[n], goal, quaternions, dx)
        residual = 0.0
        for k in range(factor.shape[0]):
            if k > 0 and factor[k, 0] != factor[k - 1, 0]:
                total[n] += residual * residual
                residual = 0.0
            residual += factor[k, 2] * dx[int(factor[k, 1])]
        total[n] += residual * residual
