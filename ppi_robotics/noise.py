"""Process noise, one object for solver, estimator and evaluator.

x_{t+1} = f(x_t, u_t) + w_t,   w_t ~ N(0, W),   W = G G'
"""

from dataclasses import dataclass, field

import numpy as np

from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import as_covariance, as_finite, covariance_factor, frozen


@dataclass(frozen=True, eq=False)
class Noise:
    """Noise of a plant.

    Attributes:
      process: covariance W (ndx, ndx) added to the state at every stage, or its diagonal (ndx,); may be singular.
      factor: G (ndx, rank) with G G' = W.

    Raises:
      ProblemError: if W is not symmetric positive semidefinite.
    """

    process: np.ndarray
    factor: np.ndarray = field(init=False)

    def __post_init__(self):
        given = as_finite(self.process, "process noise")
        if given.ndim not in (1, 2):
            raise ProblemError(
                f"process noise has shape {given.shape}; expected (nx,) variances or (nx, nx) covariance"
            )
        cov = as_covariance(given, "process noise", len(given))
        object.__setattr__(self, "process", frozen(cov))
        object.__setattr__(self, "factor", frozen(covariance_factor(cov)))
