"""Template: points of a Gaussian and weighted sums over them, LANES stages at a time.

Matrices over lanes (n, LANES) are handled as one long vector, which the compiler turns into vector instructions.
"""

from ppi_robotics.kernels.generated import LANES, NX, NZ, inlined
from ppi_robotics.kernels.lanes import load
from ppi_robotics.kernels.tiles import matrix, vector

ROOT = NZ * NZ


@inlined
def copy(value, result, n):
    """result = value, both (n, LANES)."""
    value, result = vector(value, 0, n * LANES), vector(result, 0, n * LANES)
    for m in range(n * LANES):
        result[m] = value[m]


@inlined
def add(total, weight, value, n):
    """total += weight value, both (n, LANES)."""
    total, value = vector(total, 0, n * LANES), vector(value, 0, n * LANES)
    for m in range(n * LANES):
        total[m] += weight * value[m]


@inlined
def add_change(total, weight, value, start, n):
    """total += weight (value - start), all (n, LANES)."""
    total, value, start = vector(total, 0, n * LANES), vector(value, 0, n * LANES), vector(start, 0, n * LANES)
    for m in range(n * LANES):
        total[m] += weight * (value[m] - start[m])


@inlined
def load_means(x, u, first, z):
    """z (NZ, LANES) = (x, u) of the stages from `first` on; x has a row more than u."""
    load(x[: u.shape[0]], first, z[:NX])
    load(u, first, z[NX:])


@inlined
def load_upper(S, first, Sl):
    """Upper triangles of the matrices S (T, NZ * NZ) from `first` on into Sl (NZ * NZ, LANES), the last one repeated.

    Row by row: with many columns written in turn it takes four times as long.
    """
    count = min(LANES, S.shape[0] - first)
    for i in range(NZ):
        for m in range(i * NZ, i * NZ + i):
            for lane in range(LANES):
                Sl[m, lane] = 0.0
        for m in range(i * NZ + i, i * NZ + NZ):
            for lane in range(count):
                Sl[m, lane] = S[first + lane, m]
            for lane in range(count, LANES):
                Sl[m, lane] = S[first + count - 1, m]


@inlined
def displace(z, U, xi, p, zp):
    """zp (NZ, LANES) = z + U' xi_p for factors U (NZ * NZ, LANES)."""
    copy(z, zp, NZ)
    for j in range(NZ):
        if xi[p, j] != 0.0:
            add(zp, xi[p, j], matrix(U, j, NZ, LANES), NZ)
