"""Grid worlds: walks over the free cells of a map to a target, with moves that may fail.

Rawlik, Toussaint, Vijayakumar, *On stochastic optimal control and reinforcement learning by approximate inference*
(Robotics: Science and Systems, 2012), section on the grid world; the paper gives no layout, those here are chosen.
"""

import functools

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from ppi_robotics import ProblemError
from ppi_robotics.checks import as_floats, check_choice, check_counts, check_number, shown
from ppi_robotics.discrete import FiniteMDP

MOVES = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}  # (rows, columns), in the order of actions
SLIPS = ("stay", "random")
CELLS = {".": "free", "#": "obstacle", "*": "target", "S": "start"}
MAPS = {
    "rooms": """
..........
.####.....
....#..##.
..*.#...#.
....#...#.
.####.###.
......#...
.##...#.#.
..#.....#.
..#.......
""",
    "cup": """
..........
.###......
...#...#..
...#...#..
...#...#..
...#####..
..........
..##......
...#...*..
..........
""",
}


class GridWorld:
    """Moves to the four neighbors of a cell until a target is reached; every step costs the same.

    Only moves to cells that are there and free are allowed. A move succeeds with a probability, and otherwise either
    nothing happens or a random one of the allowed moves does, the intended one included.

    Attributes:
      cells: characters (rows, columns) of the map.
      position: row and column (S, 2) of every state, from 0.
      start: the states marked S, or all states but the targets.
      mdp: `FiniteMDP` with the targets absorbing.
      moves: change of row and column (4, 2) by each action: up, down, left, right.

    Args:
      map_text: lines of `.` free, `#` obstacle, `*` target, `S` free and a start; or the name of one of `MAPS`.
      slip: what a failing move does, "stay" or "random".
      success: probability of a move to succeed, above 0 and at most 1.
      cost: of every step, positive.
      discount: of the future, above 0 and at most 1.

    Raises:
      ProblemError: if the map has ragged lines, unknown characters, no target or cells that cannot reach one, or a
        number is out of range.
    """

    moves = np.array(list(MOVES.values()))

    def __init__(
        self, map_text: str, slip: str = "stay", success: float = 0.8, cost: float = 1.0, discount: float = 1.0
    ) -> None:
        self.slip = check_choice(slip, "slip", SLIPS)
        self.success, self.cost = check_number(success, "success", above=0, most=1), check_number(cost, "cost", above=0)
        self.cells = _cells(map_text)
        self.position = np.argwhere(self.cells != "#")
        kinds = self.cells[tuple(self.position.T)]
        self._target = kinds == "*"
        self.start = np.flatnonzero(kinds == "S") if (kinds == "S").any() else np.flatnonzero(~self._target)
        neighbor = self._neighbors()
        lost = self._distances(neighbor) < 0
        if lost.any():
            raise ProblemError(
                f"{lost.sum()} of {len(lost)} cells cannot reach a target, first the one at "
                f"{_name(*self.position[lost][0])}; open a way, or make them obstacles"
            )
        allowed = neighbor >= 0
        self.mdp = FiniteMDP(
            self._transitions(neighbor, allowed),
            np.full(allowed.shape, self.cost),
            allowed=allowed,
            discount=discount,
            absorbing=self._target,
            names=[_name(row, column) for row, column in self.position.tolist()],
        )

    @functools.cached_property
    def distance(self) -> np.ndarray:
        """Number of moves (S,) to the nearest target."""
        return self._distances(self._neighbors())

    def state(self, row: int, column: int) -> int:
        """The state of a cell.

        Raises:
          ProblemError: if there is no free cell.
        """
        cell = check_counts((row, column), "row and column", 0)
        found = np.flatnonzero((self.position == cell).all(axis=1))
        if not len(found):
            raise ProblemError(f"there is no free cell at row {row}, column {column}; the map is {self.cells.shape}")
        return int(found[0])

    def picture(self, values: ArrayLike) -> np.ndarray:
        """Values (S,) as an array (rows, columns) with nan at obstacles."""
        image = np.full(self.cells.shape, np.nan)
        image[tuple(self.position.T)] = as_floats(values, "values", (len(self.position),))
        return image

    def _neighbors(self):
        """State (S, 4) that each move leads to, -1 where there is none."""
        index = np.full(np.add(self.cells.shape, 2), -1)
        row, column = self.position.T + 1
        index[row, column] = np.arange(len(self.position))
        return np.stack([index[row + down, column + right] for down, right in MOVES.values()], axis=1)

    def _distances(self, neighbor):
        """Number of moves (S,) to the nearest target, -1 where there is no way."""
        distance, front, steps = np.full(len(neighbor), -1), np.flatnonzero(self._target), 0
        while len(front):
            distance[front], steps = steps, steps + 1
            found = np.unique(neighbor[front])
            front = found[(found >= 0) & (distance[found] < 0)]
        return distance

    def _transitions(self, neighbor, allowed):
        """Probabilities, sparse (S * 4, S)."""
        S, fail = len(neighbor), 1.0 - self.success
        if self.slip == "stay":
            there = np.repeat(allowed[:, :, None], 2, axis=2)
            goal = np.stack([neighbor, np.broadcast_to(np.arange(S)[:, None], neighbor.shape)], axis=2)
            chance = np.broadcast_to([self.success, fail], goal.shape)
        else:
            there = allowed[:, :, None] & allowed[:, None, :]
            goal = np.broadcast_to(neighbor[:, None, :], there.shape)
            count = np.maximum(allowed.sum(axis=1), 1)[:, None, None]
            chance = fail / count + self.success * np.eye(4)
        ends = np.concatenate(([0], np.cumsum(there.sum(axis=2).ravel())))
        return sparse.csr_matrix((chance[there], goal[there], ends), shape=(4 * S, S))


def _cells(text):
    """Characters (rows, columns) of a map."""
    lines = MAPS.get(text, text).strip("\n").splitlines() if isinstance(text, str) else []
    if not lines:
        raise ProblemError(f"the map is {shown(text)}; expected lines of {_legend()}, or one of {', '.join(MAPS)}")
    for number, line in enumerate(lines, 1):
        if len(line) != len(lines[0]):
            raise ProblemError(f"line {number} of the map has {len(line)} characters; expected {len(lines[0])}")
        strange = next((i for i, character in enumerate(line) if character not in CELLS), None)
        if strange is not None:
            raise ProblemError(
                f"line {number}, column {strange + 1} of the map has {line[strange]!r}; expected {_legend()}"
            )
    cells = np.array([list(line) for line in lines])
    if not (cells == "*").any():
        raise ProblemError("the map has no target; mark one by *")
    return cells


def _legend():
    return ", ".join(f"{character} {meaning}" for character, meaning in CELLS.items())


def _name(row, column):
    return f"line {row + 1}, column {column + 1}"
