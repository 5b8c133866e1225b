"""The hunts that the commands `stag` are given: ready-made, random, or from a file."""

import json

from ppi_robotics import ProblemError
from ppi_robotics.checks import check_seed
from ppi_robotics.cli.options import check_choice, check_range
from ppi_robotics.files import read_text

MOST_STAGES = 1_000_000
CASES = {  # side, hunters, hares, stags, and the moves that are tried
    "5x5": (5, [(2, 0), (1, 4)], [(0, 0), (0, 4), (4, 0), (4, 4)], [(2, 2)], (3, 4)),
}
KEYS = ("x1", "hares", "stags")


def make_hunts(case, side, hunters, file, moves, seed, temperatures):
    """`StagHunt`s of one kind at every number of moves and temperature."""
    from plants import StagHunt

    if not temperatures:
        raise ProblemError("--lam is empty; give temperatures such as 10,0.1")
    if (case is not None) + (hunters is not None) + (file is not None) != 1:
        raise ProblemError(
            "give one hunt: --case 5x5, or --side L --hunters M --seed N for a random one, or --file FILE.json"
        )
    if moves is not None:
        check_range("--moves", moves, 1, MOST_STAGES)
    check_seed(seed, "--seed")
    if case is not None:
        check_choice("case", case, CASES)
        if side is not None:
            raise ProblemError(f"--side is {side}, but case {case} has its own; leave it out")
        *cells, tried = CASES[case]
        made = [(*cells, stages) for stages in (tried if moves is None else (moves,))]
    elif file is not None:
        made = [(*read_cells(file, side), 9 if moves is None else moves)]
    else:
        if side is None:
            raise ProblemError(f"--hunters is {hunters} without a grid; give --side too")
        drawn = StagHunt.random(side, hunters, seed, 9 if moves is None else moves)
        made = [(side, drawn.hunters, drawn.hares, drawn.stags, drawn.stages)]
    return [StagHunt(*one, temperature=temperature) for one in made for temperature in temperatures]


def made_at(hunt):
    """Temperature and moves of a hunt, for a table."""
    return f"{hunt.temperature:g}", str(hunt.stages)


def read_cells(path, side):
    """Side and cells of hunters, hares and stags in a JSON file.

    Raises:
      ProblemError: if the file cannot be read, is no such object, or gives another side than asked for.
    """
    try:
        facts = json.loads(read_text(path, "--file"))
    except ProblemError:
        raise
    except (ValueError, RecursionError) as error:
        raise ProblemError(f"--file is '{path}', which is no JSON text ({error}); give cells as JSON") from error
    missing = [key for key in KEYS if key not in facts] if isinstance(facts, dict) else KEYS
    if missing:
        raise ProblemError(
            f"'{path}' has no {', '.join(missing)}; expected an object with x1, hares, stags, each a list of cells, "
            "and side"
        )
    for key in KEYS:
        if not isinstance(facts[key], list):
            raise ProblemError(f"{key} of '{path}' is {str(facts[key])[:60]!r}; expected a list of cells")
    own = facts.get("side")
    if own is not None and (isinstance(own, bool) or not isinstance(own, int)):
        raise ProblemError(f"side of '{path}' is {str(own)[:60]!r}; expected a whole number")
    if own is None and side is None:
        raise ProblemError(f"'{path}' has no side; add it, or give --side, the number of cells along a side")
    if own is not None and side is not None and own != side:
        raise ProblemError(f"--side is {side}, but '{path}' has side {own}; leave one out")
    return side if own is None else own, *(facts[key] for key in KEYS)


def counts_of(sides, hunters):
    """Pairs of side and number of hunters from two lists that are separated by commas."""
    try:
        lists = [[int(part) for part in text.split(",")] for text in (sides, hunters)]
    except ValueError:
        raise ProblemError(
            f"--side is '{sides}' and --hunters '{hunters}'; expected whole numbers separated by commas, such as 10,15"
        ) from None
    if len(lists[0]) != len(lists[1]):
        raise ProblemError(f"--side is '{sides}' and --hunters '{hunters}'; expected one number of hunters a side")
    return list(zip(*lists, strict=True))
