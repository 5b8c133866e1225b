"""Calls of functions that users give: what goes in is protected, what comes out is checked and copied.

They get finite rows alone, in arrays that cannot be written to, in one thread at a time, so that a simulator may keep
scratch of its own.
"""

import os
import threading
from collections.abc import Callable

import numpy as np

from ppi_robotics.checks import as_floats
from ppi_robotics.errors import PlantError, PPIError

LOCK = threading.RLock()
if hasattr(os, "register_at_fork"):  # a child must not wait for a thread that it does not have
    os.register_at_fork(before=LOCK.acquire, after_in_parent=LOCK.release, after_in_child=LOCK.release)


def called(function: Callable, what: str, rows: tuple[np.ndarray, ...], width: tuple[int, ...]) -> np.ndarray:
    """Result (N, *width) of a function of rows (N, ...), nan where one of them is not finite.

    Raises:
      PlantError: if it raises, or returns something else.
    """
    sound = np.logical_and.reduce([np.isfinite(part).all(axis=1) for part in rows])
    if not sound.all():
        out = np.full((len(sound), *width), np.nan)
        if sound.any():
            out[sound] = called(function, what, tuple(part[sound] for part in rows), width)
        return out
    result, shape = sheltered(function, what, rows), (len(sound), *width)
    array = np.array(as_floats(result, f"what {what} returns"), order="C")
    if array.shape != shape:
        raise PlantError(
            f"{what} returns shape {array.shape} for {' and '.join(str(part.shape) for part in rows)}; "
            f"expected {shape}, one row for each of the N rows that it is given"
        )
    return array


def sheltered(function: Callable, what: str, arguments: tuple[np.ndarray, ...]):
    """Result of a function of arrays that it cannot write to, in one thread at a time; its errors as `PlantError`."""
    views = [part.view() for part in arguments]
    for view in views:
        view.setflags(write=False)
    try:
        with LOCK, np.errstate(all="ignore"):
            result = function(*views)
            return np.array(result) if isinstance(result, np.ndarray) else result
    except PPIError:
        raise
    except Exception as error:
        given = " and ".join(str(part.shape) for part in arguments)
        raise PlantError(f"{what} raises {type(error).__name__} for arrays {given}: {error}") from error
