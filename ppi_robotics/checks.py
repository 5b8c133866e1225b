"""The one door through which arguments come in: each check returns the value in plain form or raises `ProblemError`.

`as_...` gives arrays, `check_...` plain Python values. All of them take the value, the argument's name for the
message, and what is expected of it.
"""

import math
import pathlib
import reprlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from ppi_robotics.errors import ProblemError, one_line
from ppi_robotics.streams import LARGEST_STATE

MOST_COUNT = 2**63 - 1  # what a 64-bit integer of compiled code holds
MOST_SEED = 2**64 - 1
FLOATS = np.dtype(float)
Shape = tuple[int | None, ...]  # None allows any length
ROUNDING = 1e-9  # of correlations

FEW = 4  # entries of an array that a message shows

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60
_SHORT.maxlevel, _SHORT.maxtuple, _SHORT.maxlist, _SHORT.maxdict = 2, 4, 4, 2


def shown(value: object) -> str:
    """A short text of a value for a message, in one line; arrays are named by type and shape."""
    value = _scalar(value)
    if isinstance(value, np.ndarray):
        if value.size > FEW or value.dtype.kind not in "bif":
            return f"an array of shape {value.shape} and type {value.dtype}"
        value = value.tolist()
    if type(value).__repr__ is object.__repr__:
        return f"a {type(value).__name__}"
    try:
        text = str(value) if isinstance(value, float | np.number) else _SHORT.repr(value)
    except Exception:  # noqa: BLE001  (a foreign __repr__ may raise anything)
        text = f"a {type(value).__name__}"
    return one_line(text, 100)


# -- arrays ------------------------------------------------------------------------------------------------------------


def as_finite(value: object, name: str, shape: Shape | None = None) -> np.ndarray:
    """Array of finite floats, of the given shape if one is given (None in it allows any length).

    Raises:
      ProblemError: with the name of the argument, what it was and what it should be.
    """
    array = as_floats(value, name, shape)
    _refuse(~np.isfinite(array), array, name, "give finite numbers", "a non-finite entry")
    return array


def as_state(value: object, name: str, size: int) -> np.ndarray:
    """The same for a state (size,), in the range where its squares and costs can be computed."""
    array = as_finite(value, name, (size,))
    _refuse(
        np.abs(array) > LARGEST_STATE, array, name, f"a state out of range; expected entries within ±{LARGEST_STATE:g}"
    )
    return array


def as_pair(x: object, other: object, name: str, size: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """States x (..., size) and what goes with them (..., width) as arrays of floats that broadcast."""
    x, other = as_floats(x, "x"), as_floats(other, name)
    fits = x.shape[-1:] == (size,) and other.shape[-1:] == (width,)
    if fits and x.shape != other.shape:
        try:
            np.broadcast_shapes(x.shape[:-1], other.shape[:-1])
        except ValueError:
            fits = False
    if not fits:
        raise ProblemError(f"x has shape {x.shape} and {name} {other.shape}; expected (..., {size}) and (..., {width})")
    return x, other


def as_costs(value: object, name: str, shape: Shape | None = None) -> np.ndarray:
    """The same, which may be inf, to forbid something."""
    array = as_floats(value, name, shape)
    _refuse(np.isnan(array) | (array == -np.inf), array, name, "expected finite numbers, or inf to forbid")
    return array


def as_logs(value: object, name: str, shape: Shape | None = None) -> np.ndarray:
    """The same for logarithms, which may be -inf."""
    array = as_floats(value, name, shape)
    _refuse(np.isnan(array) | (array == np.inf), array, name, "expected logarithms, which may be -inf")
    return array


def as_wholes(
    value: object, name: str, shape: Shape | None = None, least: int | None = None, most: int | None = None
) -> np.ndarray:
    """Array of whole numbers (int64) from least to most."""
    array = as_floats(value, name, shape)
    low, high = -(2.0**53) if least is None else least, 2.0**53 if most is None else most
    bad = ~((array >= low) & (array <= high) & (array == np.round(array)))
    bounds = f" from {least}" * (least is not None) + f" to {most}" * (most is not None)
    _refuse(bad, array, name, f"expected whole numbers{bounds}")
    return array.astype(np.int64)


def as_flags(value: object, name: str, shape: Shape | None = None) -> np.ndarray:
    """Array of bools; numbers that are 0 or 1 are taken as well."""
    array = as_floats(value, name, shape)
    _refuse((array != 0.0) & (array != 1.0), array, name, "expected True or False")
    return array.astype(bool)


def as_floats(value: object, name: str, shape: Shape | None = None) -> np.ndarray:
    """Array of floats, which may be infinite or nan.

    Raises:
      ProblemError: if the value is no array of real numbers (texts, complex numbers, ragged lists, other objects), or
        has another shape.
    """
    plain = type(value) is np.ndarray and value.dtype is FLOATS  # the most frequent case by far, from inside
    array = value if plain else _converted(value, name)
    if shape is None:
        return array
    fits = array.ndim == len(shape) and all(n is None or n == m for n, m in zip(shape, array.shape, strict=True))
    if not fits:
        expected = tuple("any" if n is None else n for n in shape)
        raise ProblemError(f"{name} has shape {array.shape}; expected {expected}".replace("'", ""))
    return array


def _converted(value, name):
    """Anything as an array of floats."""
    try:
        array = np.asarray(value)
        objects = array.flat if array.dtype.kind == "O" else ()  # such as whole numbers beyond 64 bits
        if array.dtype.kind not in "buifO" or not all(isinstance(x, int | float | np.number) for x in objects):
            raise TypeError
        with np.errstate(over="ignore"):  # of longer floats: infinite then
            return np.asarray(array, dtype=float)
    except Exception as error:  # noqa: BLE001  (a foreign __array__ or __float__ may raise anything)
        raise ProblemError(f"{name} is {shown(value)}; expected an array of numbers") from error


def _refuse(bad, array, name, advice, kind=""):
    """Raise `ProblemError` about the first bad entry, if there is one."""
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ProblemError(f"{name} has {kind or f'{array[where]:g}'} at index {where}; {advice}")


def correlations(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Matrices (..., n, n) in units in which their diagonals are 1, -1 or 0, and these units (..., n)."""
    diagonal = np.abs(np.diagonal(matrices, axis1=-2, axis2=-1))
    units = np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
    return matrices / units[..., :, None] / units[..., None, :], units


def as_covariance(value: object, name: str, size: int) -> np.ndarray:
    """Symmetric positive semidefinite matrix (size, size); a vector is taken as its diagonal.

    Raises:
      ProblemError: if the shape, the symmetry or the definiteness is wrong.
    """
    array = as_finite(value, name)
    matrix = np.diag(array) if array.ndim == 1 else array
    if matrix.shape != (size, size):
        raise ProblemError(
            f"{name} has shape {array.shape}; expected ({size},) for a diagonal or ({size}, {size}) for a matrix"
        )
    correlation, _ = correlations(matrix)
    if np.abs(correlation - correlation.T).max(initial=0.0) > 1e-12:
        raise ProblemError(f"{name} is not symmetric; give (M + M.T) / 2")
    if size and np.linalg.eigvalsh(correlation)[0] < -1e-12:
        smallest = np.linalg.eigvalsh(matrix)[0]
        raise ProblemError(f"{name} is indefinite (smallest eigenvalue {smallest:.3g}); expected no eigenvalue below 0")
    return (matrix + matrix.T) / 2


def check_covariances(cov: np.ndarray, name: str) -> None:
    """Raise `ProblemError` unless covariances (..., n, n) are symmetric and positive semidefinite, up to rounding.

    What was computed carries rounding that `as_covariance`, which checks what was typed, does not allow.
    """
    if cov.shape[-1] == 1:  # a variance takes a tenth of the time
        if (cov < 0.0).any():
            raise ProblemError(f"{name} is indefinite; expected no eigenvalue below 0")
        return
    n, (correlation, _) = cov.shape[-1], correlations(cov)
    if np.abs(correlation - correlation.swapaxes(-1, -2)).max(initial=0.0) > ROUNDING:
        raise ProblemError(f"{name} is not symmetric; give (M + M.T) / 2")
    try:
        np.linalg.cholesky(correlation + 2 * n * ROUNDING * np.eye(n))
    except np.linalg.LinAlgError:
        raise ProblemError(f"{name} is indefinite; expected no eigenvalue below 0") from None


# -- numbers -----------------------------------------------------------------------------------------------------------


def check_number(
    value: object,
    name: str,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> float:
    """The number as a float within bounds, `least` and `most` included, `above` and `below` excluded.

    It is finite, unless `least` or `most` is an infinite number, which is allowed then.

    Raises:
      ProblemError: if it is no real number (bools and arrays are none) or out of bounds.
    """
    value = _scalar(value)
    fits = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if fits:
        try:
            with np.errstate(over="ignore"):
                number = float(value)
        except OverflowError:  # a whole number beyond floats
            number = math.nan
        fits = not math.isnan(number) and (math.isfinite(number) or number in (least, most))
    fits = (
        fits
        and (least is None or number >= least)
        and (above is None or number > above)
        and (most is None or number <= most)
        and (below is None or number < below)
    )
    if not fits:
        raise ProblemError(f"{name} is {shown(value)}; expected a {_range_of(least, above, most, below)}")
    return number


def _scalar(value):
    """The entry of an array without axes; any other value as it is."""
    return value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value


def _range_of(least, above, most, below):
    """What number is expected, in words."""
    infinite = math.inf in (most, -(least or 0))
    bounds = [
        f"{word} {bound:g}"
        for word, bound in (("at least", least), ("above", above), ("at most", most), ("below", below))
        if bound is not None and math.isfinite(bound)
    ]
    if bounds == ["above 0"]:
        return f"positive {'' if infinite else 'finite '}number"
    return f"{'' if infinite else 'finite '}number" + f" {' and '.join(bounds)}" * bool(bounds)


def is_count(value: object, least: int, most: int = MOST_COUNT) -> bool:
    """Whether this is a whole number in range; bools and floats are none."""
    value = _scalar(value)
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and least <= value <= most


def check_count(value: object, name: str, least: int, most: int | None = None) -> int:
    """The whole number as an int, from least to most (at most what 64 bits hold).

    Raises:
      ProblemError: if it is no whole number (bools and floats are none) or out of range.
    """
    if not is_count(value, least, MOST_COUNT if most is None else most):
        upper = "" if most is None else f" and at most {most}"
        raise ProblemError(f"{name} is {shown(value)}; expected a whole number, at least {least}{upper}")
    return int(value)


def check_seed(value: object, name: str = "seed") -> int:
    """The seed as an int, from 0 to 2^64 - 1."""
    return check_count(value, name, 0, MOST_SEED)


def check_threads(value: object) -> int | None:
    """The number of threads as an int, or None for all processors."""
    return None if value is None else check_count(value, "threads", 1)


def check_room(samples: int, size: float, name: str = "samples") -> None:
    """Raise `ProblemError` unless memory holds so many samples of this size in bytes each."""
    room = available_memory()
    if samples * size > room:
        raise ProblemError(
            f"{name} is {shown(samples)}, which takes {in_bytes(samples * size)} of memory, and {in_bytes(room)} is "
            f"available; give at most {max(int(0.9 * room / size), 1)} at a time"
        )


def in_bytes(count: float) -> str:
    """A size in words."""
    return f"{count / 1e9:.3g} GB" if count >= 1e8 else f"{count / 1e6:.2g} MB"


def available_memory() -> int:
    """Bytes that may be asked for: what the system says is available, or what it can address."""
    try:
        lines = dict(line.split(":") for line in pathlib.Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
        return 1024 * int(lines["MemAvailable"].split()[0])
    except (OSError, ValueError, KeyError):  # another system
        return 2**46


def check_counts(
    values: object, name: str, least: int, most: int | None = None, size: int | None = None
) -> tuple[int, ...]:
    """Whole numbers as a tuple of ints, each in range, `size` of them if that is given."""
    values = check_sequence(values, name, "whole numbers", size)
    return tuple(check_count(value, f"{name}[{i}]", least, most) for i, value in enumerate(values))


# -- other kinds -------------------------------------------------------------------------------------------------------


def check_flag(value: object, name: str) -> bool:
    """The flag as a bool; numbers, texts and arrays are none."""
    if not isinstance(value, bool | np.bool_):
        raise ProblemError(f"{name} is {shown(value)}; expected True or False")
    return bool(value)


def check_text(value: object, name: str) -> str:
    """The text, which holds characters that can be printed alone."""
    if not isinstance(value, str):
        raise ProblemError(f"{name} is {shown(value)}; expected a text")
    if not value.isprintable():
        raise ProblemError(f"{name} is {shown(value)}; expected a text without control characters")
    return str(value)


def check_label(value: object, what: str) -> str:
    """The name of something, such as "a policy", that a table shows: printable, and not blank."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ProblemError(f"{what} is named {shown(value)}; expected a printable name that is not empty")
    return value


def check_names(values: object, name: str, size: int | None = None) -> tuple[str, ...]:
    """Names as a tuple of texts, `size` of them if that is given."""
    values = check_sequence(values, name, "names", size)
    return tuple(check_text(value, f"{name}[{i}]") for i, value in enumerate(values))


def check_sequence(values: object, name: str, of: str = "items", size: int | None = None) -> tuple:
    """The items of a list, a tuple or an array as a tuple, `size` of them if that is given."""
    if isinstance(values, str | bytes | dict | set | frozenset) or (isinstance(values, np.ndarray) and not values.ndim):
        raise ProblemError(f"{name} is {shown(values)}; expected a list of {of}")
    try:
        items = tuple(values)
    except Exception as error:  # noqa: BLE001  (a foreign __iter__ may raise anything)
        raise ProblemError(f"{name} is {shown(values)}; expected a list of {of}") from error
    if size is not None and len(items) != size:
        raise ProblemError(f"{name} has {len(items)} entries; expected {size} {of}")
    return items


def check_choice(value: object, name: str, choices: Iterable[str]) -> str:
    """The text, which is one of the choices."""
    if not isinstance(value, str) or value not in choices:
        raise ProblemError(f"{name} is {shown(value)}; choose from {', '.join(choices)}")
    return value


def check_instance(value: object, name: str, kinds: Any, hint: str = "") -> Any:
    """The object, which is of a class or of one of several; `hint` says where to get one."""
    if not isinstance(value, kinds):
        expected = " or ".join(kind.__name__ for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))
        raise ProblemError(f"{name} is {shown(value)}; expected a {expected}" + f", {hint}" * bool(hint))
    return value


def check_function(value: object, name: str, of: str = "") -> Any:
    """The function, or None; `of` says what it takes."""
    if value is not None and not callable(value):
        raise ProblemError(f"{name} is {shown(value)}; expected a function{f' of {of}' if of else ''}, or None")
    return value


def check_quaternions(values: object, nx: int) -> tuple[int, ...]:
    """Indices at which the unit quaternions of a state (nx,) start, in rising order; they lie within it side by side.

    Raises:
      ProblemError: if they are no whole numbers, overlap, or reach out of the state.
    """
    if type(values) is tuple and not values:
        return values
    starts = sorted(check_counts(values, "quaternions", 0))
    for start, following in zip(starts, [*starts[1:], nx], strict=False):
        if start + 4 > following:
            raise ProblemError(
                f"quaternions start at {shown(starts)}; expected four entries each, apart, in a state of {nx}"
            )
    return tuple(starts)
