"""Maps of grid worlds."""

import numpy as np
from hypothesis import strategies as st

import ppi_robotics as ppi
from plants import GridWorld
from ppi_robotics.discrete import iterate
from tests.fuzz.door import wrong_with_message


def inputs():
    lines = st.lists(st.text("..##*S x\t", min_size=0, max_size=6), max_size=5)
    return st.one_of(lines.map("\n".join), st.text(max_size=12))


def try_input(text):
    try:
        world = GridWorld(text)
        found = iterate(world.mdp)
    except ppi.PPIError as error:
        return wrong_with_message(str(error))
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {error}"
    return "" if np.isfinite(found.value).all() or not found.status.solved else "solved with values not finite"
