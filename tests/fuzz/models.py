"""MJCF texts with words exchanged, left out or put twice."""

import re

import numpy as np
from hypothesis import strategies as st

import ppi_robotics as ppi
from tests.bodies import ARM, BALL, BOX, SERVO
from tests.fuzz.door import wrong_with_message

MODELS = {"arm": ARM, "box": BOX, "ball": BALL, "servo": SERVO}
WORDS = {name: re.findall(r"\s+|[^\s<>='\"]+|.", text) for name, text in MODELS.items()}
NASTY = (
    "",
    "0",
    "-1",
    "nan",
    "inf",
    "1e300",
    "-1e-300",
    "99999999999999999999",
    "a",
    "0 0 0",
    "'",
    ">",
    "<",
    "/>",
    "\0",
)
NASTY += ("</worldbody>", "free", "ball", "slide", "hinge", "mesh", "RK4", "Euler", "true", "&#0;", "é", "x" * 5000)


@st.composite
def inputs(draw):
    name = draw(st.sampled_from(sorted(MODELS)))
    place = st.integers(0, len(WORDS[name]) - 1)
    kind = st.sampled_from(("exchange", "leave out", "twice"))
    return name, draw(st.lists(st.tuples(kind, place, st.sampled_from(NASTY)), min_size=1, max_size=3))


def text_of(one):
    words = list(WORDS[one[0]])
    for kind, place, word in one[1]:
        words[place] = {"exchange": word, "leave out": "", "twice": words[place] * 2}[kind]
    return "".join(words)


def try_input(one):
    try:
        plant = ppi.MujocoPlant(text_of(one), noise=None)
        x, u = plant.state()[None], np.zeros((1, plant.nu))
        plant.step(x, u)
        plant.sense(x, u)
    except ppi.PPIError as error:
        return wrong_with_message(str(error))
    except Exception as error:  # noqa: BLE001
        return f"{type(error).__name__}: {error}"
    return ""
