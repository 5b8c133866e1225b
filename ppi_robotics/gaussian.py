"""Gaussian records: means and covariances with any leading axes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ppi_robotics.checks import as_covariance, as_finite, check_quaternions, correlations
from ppi_robotics.errors import ProblemError
from ppi_robotics.given import Floats


class Record:
    """A class whose read-only arrays stay so in pickled copies, which leave out compiled and derived attributes.

    Attributes:
      _derived: names of attributes that copies derive again.
    """

    _derived = ()

    def __getstate__(self):
        state = {name: value for name, value in vars(self).items() if name not in self._derived}
        arrays = ((name, value) for name, value in state.items() if isinstance(value, np.ndarray))
        return state, [name for name, array in arrays if not array.flags.writeable]

    def __setstate__(self, given):
        state, read_only = given
        vars(self).update(state)
        for name in read_only:
            state[name].setflags(write=False)


def frozen(array: ArrayLike, dtype: type = float) -> np.ndarray:
    """C-contiguous, read-only copy of an array."""
    array = np.array(array, dtype=dtype, order="C")
    array.setflags(write=False)
    return array


def writable(array: ArrayLike) -> np.ndarray:
    """The array, or a copy that the compiled code takes: read-only arrays would compile it once more."""
    array = np.asarray(array, dtype=float)
    return array if array.flags.carray else array.copy()


def entries(array: np.ndarray) -> np.ndarray:
    """Rows (index, ..., value) of the entries that are not zero, in their order."""
    if not array.size:
        return np.empty((0, array.ndim + 1))
    where = np.argwhere(array)
    return np.column_stack((where, array[tuple(where.T)]))


def covariance_factor(cov: np.ndarray) -> np.ndarray:
    """Factor G (n, rank) with G G' = cov, of full column rank; singular covariances give fewer columns."""
    if np.count_nonzero(cov - np.diag(np.diag(cov))) == 0:
        std = np.sqrt(np.diag(cov))
        return np.ascontiguousarray(np.diag(std)[:, std > 0])
    correlation, std = correlations(cov)
    eigenvalues, vectors = np.linalg.eigh(correlation)
    keep = eigenvalues > 1e-14 * eigenvalues[-1]
    return np.ascontiguousarray(std[:, None] * vectors[:, keep] * np.sqrt(eigenvalues[keep]))


@dataclass(frozen=True, eq=False)
class Gaussian(Record):
    """A normal distribution, or a stack of them.

    Attributes:
      mean: (..., n).
      cov: (..., n, n), positive semidefinite; of the tangent, one entry less for every quaternion.
      quaternions: indices at which unit quaternions start in the mean; none by default.
    """

    mean: Floats
    cov: Floats
    quaternions: tuple[int, ...] = ()

    def __post_init__(self):
        mean = as_finite(self.mean, "mean")
        cov = as_finite(self.cov, "cov")
        nx = mean.shape[-1] if mean.ndim else 0
        quaternions = check_quaternions(self.quaternions, nx)
        n = nx - len(quaternions)
        if mean.ndim < 1 or cov.shape != (*mean.shape[:-1], n, n):
            raise ProblemError(
                f"a Gaussian with mean of shape {mean.shape} needs a cov of shape {(*mean.shape[:-1], n, n)}; "
                f"it has {cov.shape}"
            )
        if mean.ndim == 1:
            cov = as_covariance(cov, "cov", n)
        object.__setattr__(self, "mean", frozen(mean))
        object.__setattr__(self, "cov", frozen(cov))
        object.__setattr__(self, "quaternions", quaternions)
