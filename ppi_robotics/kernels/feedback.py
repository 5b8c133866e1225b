"""Template: the control of a feedback policy, over lanes."""

from ppi_robotics.kernels.generated import LANES, NU, NX, inlined


@inlined
def control(x, x_ref, u_ref, K, dx, u):
    """u = u_ref + K (x - x_ref); dx (NX, LANES) is left holding x - x_ref."""
    for i in range(NU):
        for lane in range(LANES):
            total = u_ref[i]
            for j in range(NX):
                dx[j, lane] = x[j, lane] - x_ref[j]
                total += K[i, j] * dx[j, lane]
            u[i, lane] = total


@inlined
def clip(u, limits):
    """Hold u (NU, LANES) within limits (NU, 2)."""
    for i in range(NU):
        for lane in range(LANES):
            u[i, lane] = min(max(u[i, lane], limits[i, 0]), limits[i, 1])
