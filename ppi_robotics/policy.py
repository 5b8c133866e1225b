"""Time-varying linear-Gaussian feedback policies, the product of every solve, and their files.

u_t ~ N( u_ref_t + K_t (x_t - x_ref_t), cov_t ),   clipped to the control limits where it is applied
"""

import io
import os
import warnings
import zipfile
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

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
from ppi_robotics.files import check_path, named, open_regular, write_whole
from ppi_robotics.gaussian import Record, frozen
from ppi_robotics.manifold import difference, retract, tangent_size

if TYPE_CHECKING:
    from ppi_robotics.problem import Plant, Problem


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
    state_names: tuple[str, ...] = field(default=())
    control_names: tuple[str, ...] = field(default=())
    quaternions: tuple[int, ...] = ()

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
    def horizon(self) -> int:
        """Number of stages T."""
        return len(self.x_ref)

    def mean(self, t: int, x: ArrayLike) -> np.ndarray:
        """Mean control (..., nu) at stage t in states x (..., nx)."""
        t, x = check_count(t, "t", 0, self.horizon - 1), as_floats(x, "x")
        if x.shape[-1:] != self.x_ref.shape[1:]:
            raise ProblemError(f"x has shape {x.shape}; expected (..., {self.x_ref.shape[1]})")
        return self.u_ref[t] + difference(x, self.x_ref[t], self.quaternions) @ self.K[t].T

    def sample(self, t: int, x: ArrayLike, rng: np.random.Generator) -> np.ndarray:
        """Control (..., nu) drawn at stage t in states x (..., nx) with a numpy Generator."""
        mean = self.mean(t, x)
        check_instance(rng, "rng", np.random.Generator, "such as numpy.random.default_rng(0)")
        return mean + rng.standard_normal(mean.shape) @ control_factors(self.cov[t]).T

    def interpolate(self, time: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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

    def transfer(self, plant: "Plant") -> "LinearGaussianPolicy":
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

    def check(self, problem: "Problem") -> None:
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

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the policy to a .npz file, all of it or nothing.

        Raises:
          ProblemError: if the file cannot be written.
        """
        write_file(path, self._arrays())

    def _arrays(self):
        return file_arrays({name: getattr(self, name) for name in FIELDS})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "LinearGaussianPolicy":
        """Read a policy written by `save`; nothing in the file is executed.

        Raises:
          ProblemError: if the file is missing, damaged, of another kind or of another format version.
        """
        path = check_path(path)
        fields = {name: array.tolist() if array.ndim < 2 else array for name, array in read_file(path).items()}
        try:
            return cls(**fields)
        except ProblemError as error:
            raise ProblemError(f"{named(path)} is damaged ({str(error)[:100]}); save the policy again") from error


def control_factors(cov: np.ndarray) -> np.ndarray:
    """Factors (..., nu, nu) of the covariances of a policy."""
    eigenvalues, vectors = np.linalg.eigh(cov)
    return np.ascontiguousarray(vectors * np.sqrt(np.maximum(eigenvalues, 0.0))[..., None, :])


FORMAT = "ppi_robotics.LinearGaussianPolicy"
FORMAT_VERSION = 1
NUMBERS, TEXT, WHOLE = "float64", "text", "whole numbers"
FIELDS = {  # type and number of axes
    "x_ref": (NUMBERS, 2),
    "u_ref": (NUMBERS, 2),
    "K": (NUMBERS, 3),
    "cov": (NUMBERS, 3),
    "dt": (NUMBERS, 0),
    "plant": (TEXT, 0),
    "state_names": (TEXT, 1),
    "control_names": (TEXT, 1),
    "quaternions": (WHOLE, 1),
}
MOST_UNPACKED = 2**26  # bytes of a file that is shorter than what it holds; `write_file` does not compress
ADVICE = "expected a .npz written by policy.save"


def file_arrays(fields: dict) -> dict[str, np.ndarray]:
    """The arrays of a file by name, from the fields of a policy."""
    kinds = {NUMBERS: np.float64, TEXT: np.str_, WHOLE: np.int64}
    made = {name: np.array(fields[name], dtype=kinds[kind]) for name, (kind, _) in FIELDS.items()}
    return {"format": np.array(FORMAT), "version": np.array(FORMAT_VERSION)} | made


def write_file(path: str | os.PathLike[str], entries: dict[str, np.ndarray]) -> None:
    """Write the arrays of a file, all of them or nothing.

    Raises:
      ProblemError: if the file cannot be written.
    """
    buffer = io.BytesIO()
    np.savez(buffer, **entries)
    write_whole(path, buffer.getvalue())


def read_file(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Fields of a policy file by name, of the types and shapes that a policy has.

    Raises:
      ProblemError: if the file is missing, damaged, of another kind or of another format version.
    """
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            entries = Entries(archive, os.fstat(file.fileno()).st_size)
            if entries.single("format") != FORMAT:
                raise ProblemError(f"{named(path)} holds no policy of this package; {ADVICE}")
            version = entries.single("version")
            if version != str(FORMAT_VERSION):
                raise ProblemError(
                    f"{named(path)} has format version {version or 'none'}; "
                    f"this release reads {FORMAT_VERSION}: solve again, or upgrade"
                )
            missing = [name for name in FIELDS if name not in entries.members]
            if missing:
                raise ProblemError(f"{named(path)} lacks {', '.join(missing)}; {ADVICE}")
            entries.check()
            return {name: entries.array(name) for name in FIELDS}
    except FileNotFoundError as error:
        raise ProblemError(f"no policy file {named(path)}; give the path of a file written by policy.save") from error
    except Damaged as error:
        raise ProblemError(f"{named(path)} is damaged ({error}); save the policy again") from error
    except ProblemError:
        raise
    except Exception as error:  # noqa: BLE001  (damaged archives raise anything; some texts advise to run their code)
        reason = getattr(error, "strerror", None) or "it is damaged or of another kind"
        raise ProblemError(f"cannot read {named(path)} ({reason}); {ADVICE}") from error


class Damaged(Exception):
    """A file that `save` has not written, or that was changed since; the message says what is wrong."""


class Entries:
    """The arrays of an archive; headers are read at once, data on demand.

    Args:
      archive: `ZipFile`.
      size: of the file, in bytes.
    """

    def __init__(self, archive, size):
        self.archive = archive
        members = archive.infolist()
        if sum(member.file_size for member in members) > max(size, MOST_UNPACKED):
            raise Damaged("it unpacks to far more than it holds")
        self.members = {member.filename.removesuffix(".npy"): member for member in members}
        if len(self.members) < len(members):
            raise Damaged("two entries have one name")

    def header(self, name: str) -> tuple[tuple, np.dtype]:
        """Shape and dtype of an entry."""
        with self.archive.open(self.members[name]) as file, warnings.catch_warnings():
            warnings.simplefilter("error")  # of headers that numpy would repair
            if np.lib.format.read_magic(file) != (1, 0):
                raise Damaged(f"{name} has a header of another kind")
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            size = file.tell() + dtype.itemsize * int(np.prod(shape, dtype=object))
        if size != self.members[name].file_size or min(shape, default=0) < 0:
            raise Damaged(f"{name} is not as long as its header says")
        return shape, dtype

    def single(self, name: str) -> str:
        """Text of a single item; empty where there is none."""
        if name not in self.members:
            return ""
        shape, dtype = self.header(name)
        if shape or dtype.hasobject:
            return "of another kind"
        return " ".join(str(self.array(name))[:60].split())

    def array(self, name: str) -> np.ndarray:
        """The data of an entry."""
        with self.archive.open(self.members[name]) as file:
            return np.lib.format.read_array(file, allow_pickle=False)

    def check(self) -> None:
        """Raise `Damaged` unless types and shapes are those of a policy."""
        shapes = {}
        for name, (kind, axes) in FIELDS.items():
            shape, dtype = self.header(name)
            if _kind(dtype) != kind or len(shape) != axes:
                raise Damaged(f"{name} has type {str(dtype)[:40]} and {len(shape)} axes; expected {kind} and {axes}")
            shapes[name] = shape
        (T, nx), nu = shapes["x_ref"], shapes["u_ref"][1]
        expected = {"u_ref": (T, nu), "K": (T, nu, nx - shapes["quaternions"][0]), "cov": (T, nu, nu)}
        for name, shape in expected.items():
            if shapes[name] != shape:
                raise Damaged(f"{name} has shape {shapes[name]}; expected {shape}")


def _kind(dtype):
    """What a dtype holds, in the words of FIELDS; its own name otherwise."""
    if dtype.kind == "f" and dtype.itemsize == 8:
        return NUMBERS
    return {"U": TEXT, "i": WHOLE}.get(dtype.kind, dtype.name)
