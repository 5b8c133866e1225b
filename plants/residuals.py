"""Parts of swing-up costs, as functions that pickle: those within others do not."""

import ppi_robotics as ppi


def with_control(residuals, weight, x, u):
    """Residuals of a state, and that of a single control."""
    return ppi.vertcat(residuals(x), weight**0.5 * u[0])


def weighed(residuals, weight, x):
    """Residuals of a state times the root of a weight."""
    return weight**0.5 * residuals(x)
