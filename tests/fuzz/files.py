"""Policy files with bytes changed, cut off or put in, and archives of arrays that do not belong there."""

import functools
import io
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

import ppi_robotics as ppi
from tests.fuzz.door import wrong_with_message
from tests.fuzz.values import NASTY

FOLDER = Path(tempfile.mkdtemp())


@functools.cache
def sound():
    """Bytes and arrays of a file that can be read."""
    policy = ppi.LinearGaussianPolicy(np.zeros((3, 2)), np.zeros((3, 1)), np.zeros((3, 1, 2)), np.zeros((3, 1, 1)), 0.1)
    policy.save(FOLDER / "sound.npz")
    content = (FOLDER / "sound.npz").read_bytes()
    with np.load(io.BytesIO(content)) as archive:
        return content, dict(archive)


def inputs():
    content, arrays = sound()
    at = st.integers(0, len(content) - 1)
    edits = st.lists(st.tuples(at, st.integers(0, 255)), min_size=1, max_size=6)
    cut = st.tuples(st.just("cut"), at)
    swaps = st.tuples(st.just("swap"), st.sampled_from(sorted(arrays)), st.sampled_from(sorted(NASTY)))
    return st.one_of(st.tuples(st.just("edit"), edits), cut, swaps)


def content_of(one):
    content, arrays = sound()
    if one[0] == "edit":
        changed = bytearray(content)
        for place, value in one[1]:
            changed[place] = value
        return bytes(changed)
    if one[0] == "cut":
        return content[: one[1]]
    file = io.BytesIO()
    try:
        np.savez(file, **arrays | {one[1]: np.asarray(NASTY[one[2]]())})
    except Exception:  # noqa: BLE001  (numpy cannot write it, so that nobody reads it)
        return content
    return file.getvalue()


def try_input(one):
    path = FOLDER / "tried.npz"
    path.write_bytes(content_of(one))
    try:
        policy = ppi.LinearGaussianPolicy.load(path)
    except ppi.PPIError as error:
        return wrong_with_message(str(error))
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {error}"
    whole = all(np.isfinite(part).all() for part in (policy.x_ref, policy.u_ref, policy.K, policy.cov, policy.dt))
    return "" if whole else "a policy with numbers that are not finite"
