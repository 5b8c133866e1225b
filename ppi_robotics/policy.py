"""Time-varying linear-Gaussian feedback policies, the product of every solve.

u_t ~ N( u_ref_t + K_t (x_t - x_ref_t), cov_t ),   clipped to the control limits where it is applied
"""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import numpy as np

from ppi_robotics import policy_file
from ppi_robotics.checks import (
    as_finite,
    as_floats,
    check_count,
    check_covariances,
    check_instance,
    check_names,
    check_number,
    check_quaternions,
    check_text,
    shown,
)
from ppi_robotics.errors import ProblemError
from ppi_robotics.files import check_path, named
from ppi_robotics.gaussian import Record, frozen
from ppi_robotics.manifold import difference, retract, tangent_size


@dataclass(frozen=True, eq=False)
class LinearGaussianPolicy(Record):
    """Feedback about a reference trajectory.

    Attributes:
      x_ref: (T, nx) reference states.
      u_ref: (T, nu) controls at the reference.
      K: (T, nu, ndx) gains.
      cov: (T, nu, nu) covariances of the control, positive semidefinite.
      dt: seconds a stage.
      plant: name of the plant that it was made for.
      state_names, control_names: names of the entries, for checks and figures; or none.
      quaternions: indices at which unit quaternions start in the state; gains act on the tangent, see `manifold`.

    Raises:
      ProblemError: if the shapes do not fit each other, an entry is not finite, a covariance is indefinite, quaternions
        lie outside the state or overlap, or a name is no text that can be printed.
    """

    x_ref: np.ndarray
    u_ref: np.ndarray
    K: np.ndarray
    cov: np.ndarray
    dt: float
    plant: str = ""
    state_names: tuple = field(default=())
    control_names: tuple = field(default=())
    quaternions: tuple = ()

    def __post_init__(self):
        x_ref = as_finite(self.x_ref, "x_ref", (None, None))
        u_ref = as_finite(self.u_ref, "u_ref", (len(x_ref), None))
        nx, nu = x_ref.shape[1], u_ref.shape[1]
        quaternions = check_quaternions(self.quaternions, nx)
        ndx = tangent_size(nx, quaternions)
        K = as_finite(self.K, "K", (len(x_ref), nu, ndx))
        cov = as_finite(self.cov, "cov", (len(x_ref), nu, nu))
        dt = check_number(self.dt, "dt")
        if len(x_ref) == 0 or dt <= 0:
            raise ProblemError(
                f"a policy with {len(x_ref)} stages of {dt:g} s; expected at least one of positive length"
            )
        check_covariances(cov, "cov")
        for name, value in (("x_ref", x_ref), ("u_ref", u_ref), ("K", K), ("cov", cov)):
            object.__setattr__(self, name, frozen(value))
        object.__setattr__(self, "dt", float(dt))
        object.__setattr__(self, "plant", check_text(self.plant, "plant"))
        for name, size in (("state_names", nx), ("control_names", nu)):
            names = check_names(getattr(self, name), name)
            if len(names) not in (0, size):
                raise ProblemError(f"{name} has {len(names)} entries; expected {size}, or none")
            object.__setattr__(self, name, names)
        object.__setattr__(self, "quaternions", quaternions)

    @property
    def horizon(self):
        """Number of stages T."""
        return len(self.x_ref)

    def mean(self, t, x):
        """Mean control (..., nu) at stage t in states x (..., nx)."""
        t, x = check_count(t, "t", 0, self.horizon - 1), as_floats(x, "x")
        if x.shape[-1:] != self.x_ref.shape[1:]:
            raise ProblemError(f"x has shape {x.shape}; expected (..., {self.x_ref.shape[1]})")
        return self.u_ref[t] + difference(x, self.x_ref[t], self.quaternions) @ self.K[t].T

    def sample(self, t, x, rng):
        """Control (..., nu) drawn at stage t in states x (..., nx) with a numpy Generator."""
        mean = self.mean(t, x)
        check_instance(rng, "rng", np.random.Generator, "such as numpy.random.default_rng(0)")
        eigenvalues, vectors = np.linalg.eigh(self.cov[t])
        factor = vectors * np.sqrt(np.maximum(eigenvalues, 0.0))
        return mean + rng.standard_normal(mean.shape) @ factor.T

    def interpolate(self, time):
        """Reference state (nx,), control (nu,) and gain (nu, ndx) at a time [s], linear between stages.

        Times before the first or after the last stage take that stage's values.

        Raises:
          ProblemError: if the time is no finite number.
        """
        s = min(max(check_number(time, "time") / self.dt, 0.0), self.horizon - 1.0)
        t = min(int(s), max(self.horizon - 2, 0))
        after = min(t + 1, self.horizon - 1)
        weight = s - t

        def between(values):
            return (1.0 - weight) * values[t] + weight * values[after]

        if not self.quaternions:
            return between(self.x_ref), between(self.u_ref), between(self.K)
        ahead = difference(self.x_ref[after], self.x_ref[t], self.quaternions)
        return retract(self.x_ref[t], weight * ahead, self.quaternions), between(self.u_ref), between(self.K)

    def transfer(self, plant):
        """The policy for another plant whose states and controls mean the same in the same order, whatever their names.

        Raises:
          ProblemError: if the sizes or the lengths of a stage differ.
        """
        if not hasattr(plant, "control_names") or not hasattr(plant, "state_names"):
            raise ProblemError(f"plant is {shown(plant)}; expected a plant such as CartPole()")
        moved = replace(
            self, plant=plant.name, state_names=tuple(plant.state_names), control_names=tuple(plant.control_names)
        )
        moved.check(SimpleNamespace(plant=plant, horizon=self.horizon))
        return moved

    def check(self, problem):
        """Raise `ProblemError` unless the policy fits the problem's plant and horizon."""
        plant = getattr(problem, "plant", None)
        if plant is None or not hasattr(problem, "horizon"):
            raise ProblemError(f"problem is {shown(problem)}; expected a Problem(plant, cost, initial, horizon)")
        if self.plant and self.plant != plant.name:
            raise ProblemError(
                f"the policy was made for plant '{self.plant}', not for '{plant.name}'; solve for this plant"
            )
        given = (self.x_ref.shape[1], self.u_ref.shape[1], self.quaternions)
        if given != (plant.nx, plant.nu, tuple(plant.quaternions)):
            raise ProblemError(
                f"the policy has {given[0]} states and {given[1]} controls, plant '{plant.name}' has "
                f"{plant.nx} and {plant.nu}; solve for this plant"
            )
        for role, own, names in (
            ("states", self.state_names, plant.state_names),
            ("controls", self.control_names, plant.control_names),
        ):
            if own and own != tuple(names):
                raise ProblemError(
                    f"the policy has {role} {own}, plant '{plant.name}' has {tuple(names)}; solve for this plant"
                )
        if self.horizon != problem.horizon or not np.isclose(self.dt, plant.dt, rtol=1e-12, atol=0.0):
            raise ProblemError(
                f"the policy has {self.horizon} stages of {self.dt:g} s, the problem {problem.horizon} of "
                f"{plant.dt:g} s; give the problem the policy's horizon, or solve again"
            )

    def save(self, path):
        """Write the policy to a .npz file, all of it or nothing.

        Raises:
          ProblemError: if the file cannot be written.
        """
        policy_file.write(path, self._arrays())

    def _arrays(self):
        return policy_file.arrays({name: getattr(self, name) for name in policy_file.FIELDS})

    @classmethod
    def load(cls, path):
        """Read a policy written by `save`; nothing in the file is executed.

        Raises:
          ProblemError: if the file is missing, damaged, of another kind or of another format version.
        """
        path = check_path(path)
        fields = {name: array.tolist() if array.ndim < 2 else array for name, array in policy_file.read(path).items()}
        try:
            return cls(**fields)
        except ProblemError as error:
            raise ProblemError(f"{named(path)} is damaged ({str(error)[:100]}); save the policy again") from error


def control_factors(cov):
    """Factors (T, nu, nu) of the covariances of a policy."""
    eigenvalues, vectors = np.linalg.eigh(cov)
    return np.ascontiguousarray(vectors * np.sqrt(np.maximum(eigenvalues, 0.0))[:, None, :])
