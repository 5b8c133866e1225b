"""Time-varying linear-Gaussian feedback policies, the product of every solve.

    u_t ~ N( u_ref_t + K_t (x_t - x_ref_t), cov_t ),   clipped to the control limits where it is applied
"""

import os
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import as_finite, frozen

FORMAT = "ppi_robotics.LinearGaussianPolicy"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class LinearGaussianPolicy:
    """Feedback about a reference trajectory.

    Attributes:
      x_ref: (T, nx) reference states.
      u_ref: (T, nu) controls at the reference.
      K: (T, nu, ndx) gains.
      cov: (T, nu, nu) covariances of the control.
      dt: seconds a stage.
      plant: name of the plant that it was made for.
      state_names, control_names: names of the entries, for checks and figures.

    Raises:
      ProblemError: if the shapes do not fit each other or an entry is not finite.
    """

    x_ref: np.ndarray
    u_ref: np.ndarray
    K: np.ndarray
    cov: np.ndarray
    dt: float
    plant: str = ""
    state_names: tuple = field(default=())
    control_names: tuple = field(default=())

    def __post_init__(self):
        x_ref = as_finite(self.x_ref, "x_ref", (None, None))
        u_ref = as_finite(self.u_ref, "u_ref", (len(x_ref), None))
        nu = u_ref.shape[1]
        K = as_finite(self.K, "K", (len(x_ref), nu, None))
        cov = as_finite(self.cov, "cov", (len(x_ref), nu, nu))
        dt = as_finite(self.dt, "dt", ())
        if len(x_ref) == 0 or dt <= 0:
            raise ProblemError(f"a policy with {len(x_ref)} stages of {float(dt)} s; expected at least one of positive length")
        for name, value in (("x_ref", x_ref), ("u_ref", u_ref), ("K", K), ("cov", cov)):
            object.__setattr__(self, name, frozen(value))
        object.__setattr__(self, "dt", float(dt))
        object.__setattr__(self, "state_names", tuple(self.state_names))
        object.__setattr__(self, "control_names", tuple(self.control_names))

    @property
    def horizon(self):
        """Number of stages T."""
        return len(self.x_ref)

    def mean(self, t, x):
        """Mean control (..., nu) at stage t in states x (..., nx)."""
        return self.u_ref[t] + (np.asarray(x, float) - self.x_ref[t]) @ self.K[t].T

    def sample(self, t, x, rng):
        """Control (..., nu) drawn at stage t in states x (..., nx) with a numpy Generator."""
        mean = self.mean(t, x)
        eigenvalues, vectors = np.linalg.eigh(self.cov[t])
        factor = vectors * np.sqrt(np.maximum(eigenvalues, 0.0))
        return mean + rng.standard_normal(mean.shape) @ factor.T

    def interpolate(self, time):
        """Reference state (nx,), control (nu,) and gain (nu, ndx) at a time [s], linear between stages.

        Times before the first or after the last stage take that stage's values.
        """
        s = min(max(float(time) / self.dt, 0.0), self.horizon - 1.0)
        t = min(int(s), max(self.horizon - 2, 0))
        after = min(t + 1, self.horizon - 1)
        weight = s - t

        def between(values):
            return (1.0 - weight) * values[t] + weight * values[after]

        return between(self.x_ref), between(self.u_ref), between(self.K)

    def check(self, problem):
        """Raise `ProblemError` unless the policy fits the problem's plant and horizon."""
        plant = problem.plant
        if self.plant and self.plant != plant.name:
            raise ProblemError(f"the policy was made for plant '{self.plant}', not for '{plant.name}'; solve for this plant")
        given = (self.x_ref.shape[1], self.u_ref.shape[1], self.K.shape[2])
        if given != (plant.nx, plant.nu, plant.ndx):
            raise ProblemError(
                f"the policy has {given[0]} states and {given[1]} controls, plant '{plant.name}' has "
                f"{plant.nx} and {plant.nu}; solve for this plant"
            )
        if self.horizon != problem.horizon or not np.isclose(self.dt, plant.dt, rtol=1e-12):
            raise ProblemError(
                f"the policy has {self.horizon} stages of {self.dt:g} s, the problem {problem.horizon} of {plant.dt:g} s; "
                "give the problem the policy's horizon, or solve again"
            )

    def save(self, path):
        """Write the policy to a .npz file, all of it or nothing.

        Raises:
          ProblemError: if the file cannot be written.
        """
        path = Path(path)
        try:
            handle, partial = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
            try:
                with os.fdopen(handle, "wb") as file:
                    np.savez(file, **self._arrays())
                os.chmod(partial, 0o644)
                os.replace(partial, path)
            except BaseException:
                os.unlink(partial)
                raise
        except OSError as error:
            raise ProblemError(f"cannot write the policy to '{path}': {error.strerror}; choose a writable place") from error

    def _arrays(self):
        return {
            "format": np.array(FORMAT),
            "version": np.array(FORMAT_VERSION),
            "x_ref": self.x_ref,
            "u_ref": self.u_ref,
            "K": self.K,
            "cov": self.cov,
            "dt": np.array(self.dt),
            "plant": np.array(self.plant),
            "state_names": np.array(self.state_names, dtype=str),
            "control_names": np.array(self.control_names, dtype=str),
        }

    @classmethod
    def load(cls, path):
        """Read a policy written by `save`; nothing in the file is executed.

        Raises:
          ProblemError: if the file is missing, damaged, of another kind or of a later format version.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                data = {name: file[name] for name in file.files} if hasattr(file, "files") else {}
        except FileNotFoundError as error:
            raise ProblemError(f"no policy file '{path}'; give the path of a file written by policy.save") from error
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zipfile.zlib.error) as error:
            raise ProblemError(f"'{path}' is no readable policy file; expected a .npz written by policy.save") from error
        if str(data.pop("format", "")) != FORMAT:
            raise ProblemError(f"'{path}' holds no policy of this package; expected a .npz written by policy.save")
        version = int(data.pop("version", -1))
        if version != FORMAT_VERSION:
            raise ProblemError(f"'{path}' has format version {version}; this release reads {FORMAT_VERSION}: solve again, or upgrade")
        names = ("x_ref", "u_ref", "K", "cov", "dt", "plant", "state_names", "control_names")
        missing = [name for name in names if name not in data]
        if missing:
            raise ProblemError(f"'{path}' lacks {', '.join(missing)}; expected a .npz written by policy.save")
        return cls(
            *(data[name] for name in names[:4]),
            dt=float(data["dt"]),
            plant=str(data["plant"]),
            state_names=tuple(str(name) for name in data["state_names"]),
            control_names=tuple(str(name) for name in data["control_names"]),
        )
