"""The commands `stag exact | bp | run | phase`: hunters who take hares alone, or stags in company."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from plants.stag_hunt import report as words
from ppi_robotics import ProblemError
from ppi_robotics.cli.app import TABLES, command
from ppi_robotics.cli.options import check_choice, weights_of
from ppi_robotics.cli.output import progress, remark
from ppi_robotics.cli.problems import Out
from ppi_robotics.cli.report import Report, stop_if

CASES = {  # side, hunters, hares, stags, and the moves that are tried
    "5x5": (5, [(2, 0), (1, 4)], [(0, 0), (0, 4), (4, 0), (4, 4)], [(2, 2)], (3, 4)),
}
KEYS = ("x1", "hares", "stags")
MOST_STAGES = 1_000_000
MOST_DRAWN = 4  # hunts side by side
SWEPT = tuple(round(0.05 * k, 2) for k in range(2, 33)) + (1.8, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0)

Damping = Annotated[float, "D", "Share of an old message that belief propagation keeps."]
Sweeps = Annotated[int, "N", "Sweeps of belief propagation at most."]


@dataclass(frozen=True)
class Hunts:
    """Hunts of one kind at every number of moves and temperature.

    Attributes:
      case: a ready-made hunt, 5x5.
      side: cells along a side, of a random hunt or a file.
      hunters: number of hunters of a random hunt, even.
      file: cells x1, hares, stags, and side.
      moves: number of moves; 9 by default, of 5x5 both 3 and 4.
      lam: temperatures that divide the cost.
      seed: of a random hunt.
    """

    case: Annotated[str | None, "NAME"] = None
    side: Annotated[int | None, "L"] = None
    hunters: Annotated[int | None, "M"] = None
    file: Annotated[Path | None, "FILE.json"] = None
    moves: Annotated[int | None, "T", range(1, MOST_STAGES + 1)] = None
    lam: Annotated[str, "L1,L2,..."] = "10,0.1"
    seed: Annotated[int, "N", range(2**64)] = 0

    def make(self) -> list:
        """`StagHunt`s."""
        from plants import StagHunt

        temperatures = weights_of("--lam", self.lam)
        if (self.case is not None) + (self.hunters is not None) + (self.file is not None) != 1:
            raise ProblemError(
                "give one hunt: --case 5x5, or --side L --hunters M --seed N for a random one, or --file FILE.json"
            )
        moves = 9 if self.moves is None else self.moves
        if self.case is not None:
            check_choice("case", self.case, CASES)
            if self.side is not None:
                raise ProblemError(f"--side is {self.side}, but case {self.case} has its own; leave it out")
            *cells, tried = CASES[self.case]
            made = [(*cells, stages) for stages in (tried if self.moves is None else (moves,))]
        elif self.file is not None:
            made = [(*read_cells(self.file, self.side), moves)]
        else:
            if self.side is None:
                raise ProblemError(f"--hunters is {self.hunters} without a grid; give --side too")
            drawn = StagHunt.random(self.side, self.hunters, self.seed, moves)
            made = [(self.side, drawn.hunters, drawn.hares, drawn.stags, drawn.stages)]
        return [StagHunt(*one, temperature=temperature) for one in made for temperature in temperatures]


@command("stag exact", TABLES)
def exact(report: Report, given: Hunts):
    """Sum over all joint walks exactly, by counts of hunters at stags."""
    inferred(report, given.make(), "exact", {})


@command("stag bp", TABLES)
def bp(report: Report, given: Hunts, damping: Damping = 0.0, max_sweeps: Sweeps = 500):
    """Belief propagation between hunters and stags, beside the exact sum where that can be had."""
    inferred(report, given.make(), "bp", {"damping": damping, "max_sweeps": max_sweeps})


@command("stag run", TABLES)
def run(
    report: Report,
    given: Hunts,
    method: Annotated[str, "NAME"] = "exact",
    loop: Annotated[str, "NAME"] = "open",
    choice: Annotated[str, "NAME"] = "map",
    damping: Damping = 0.0,
    max_sweeps: Sweeps = 500,
    play_seed: Annotated[int, "N", range(2**64)] = 0,
    out: Out = None,
):
    """Hunt: every hunter moves by its own probabilities; with --out also draw hunt.png and hunt.gif.

    Args:
      method: exact or bp.
      loop: open infers once, closed at every stage, turns at every move.
      choice: map takes the most probable move, or sample.
      play_seed: of moves that tie, and of samples.
    """
    report.write_to(out)
    hunts, plays, found = given.make(), {}, []
    if out is not None and len(hunts) > MOST_DRAWN:
        raise ProblemError(f"{len(hunts)} hunts are too many for a picture; give 1 to {MOST_DRAWN}, or leave out --out")
    options = {"damping": damping, "max_sweeps": max_sweeps} if method == "bp" else {}
    with report.until_interrupted(), progress("hunting") as say:
        for i, hunt in enumerate(hunts):
            say(f"hunting at lambda {hunt.temperature:g}", i, len(hunts))
            played = hunt.play(method, loop, choice, play_seed, **options)
            stop_if(played.interrupted)  # where it ends says nothing about its cost
            plays[hunt] = played
            found.append(words.play_facts(hunt, played))
    if not found:
        return
    how = {"method": method, "loop": loop, "choice": choice, "play_seed": play_seed}
    title = f"{words.heading(hunts[0])}, {method}, loop {loop}, {choice}, seed {play_seed}"
    report.add(words.setting(hunts[0]) | how | {"runs": found}, title, words.play_rows(hunts, found))
    remark_unless_converged(report, found)
    draw_hunts(report, plays)


@command("stag phase", TABLES)
def phase(
    report: Report,
    side: Annotated[str, "L1,L2,..."] = "10,15",
    hunters: Annotated[str, "M1,M2,..."] = "4,10",
    instances: Annotated[int, "N", range(2, 10**6 + 1)] = 20,
    moves: Annotated[int, "T", range(1, MOST_STAGES + 1)] = 9,
    lam: Annotated[str | None, "L1,L2,..."] = None,
    seed: Annotated[int, "N", range(2**64)] = 1000,
    damping: Damping = 0.0,
    max_sweeps: Sweeps = 500,
    out: Out = None,
):
    """Random hunts over lambda: where hares give way to stags, and what BP makes of it; with --out also phase.png.

    Args:
      side: cells along a side.
      hunters: their number, one a side.
      instances: random hunts of every size.
      moves: number of moves.
      lam: rising temperatures; 39 from 0.1 to 10 by default.
      seed: of the first hunt; the others follow.
    """
    from plants import StagHunt
    from plants.stag_hunt import sweep_temperatures

    report.write_to(out)
    sizes, sweeps = sizes_of(side, hunters), {}
    temperatures = list(SWEPT) if lam is None else weights_of("--lam", lam)
    with report.until_interrupted(), progress("sweeping") as say:
        for length, M in sizes:
            name = f"M = {M}, N = {length**2}"
            problems = [StagHunt.random(length, M, seed + i, moves).problem for i in range(instances)]

            def follow(done, total, name=name):
                say(f"{name}: {done} of {total} instances", done, total)

            options = {"damping": damping, "max_sweeps": max_sweeps}
            sweeps[name] = sweep_temperatures(problems, temperatures, follow, **options)
            stop_if(sweeps[name].interrupted)
    if not sweeps:
        return
    how = {"instances": instances, "seed": seed, "moves": moves, "damping": damping, "max_sweeps": max_sweeps}
    facts = {name: words.phase_facts(sweep) for name, sweep in sweeps.items()}
    title = f"{instances} random hunts of {moves} moves from seed {seed}; ± standard errors over the hunts"
    report.add(how | {"lambdas": temperatures, "sizes": facts}, title, words.phase_rows(sweeps))
    report.draw("phase.png", lambda _: figures().phase_curves(sweeps)[0].figure)


# -- parts -------------------------------------------------------------------------------------------------------------


def inferred(report, hunts, method, options):
    """Infer in all hunts, and report what comes out."""
    found = []
    with report.until_interrupted(), progress("inferring") as say:
        for i, hunt in enumerate(hunts):
            say(f"{method} at lambda {hunt.temperature:g}", i, len(hunts))
            beliefs = hunt.infer(method, **options)
            found.append(words.inference_facts(hunt, beliefs, exact_log_partition(hunt) if method == "bp" else None))
    if not found:
        return
    facts, rows = words.setting(hunts[0]) | {"method": method, "rows": found}, words.inference_rows(hunts, found)
    report.add(facts, f"{words.heading(hunts[0])}, {method}", rows)
    remark_unless_converged(report, found)


def exact_log_partition(hunt):
    """log Z of the exact sum, None where that is too large."""
    try:
        return hunt.infer("exact").log_partition
    except ProblemError:
        return None


def remark_unless_converged(report, found):
    """Say what helps belief propagation where it did not converge."""
    report.solved = all(one["status"] == "converged" for one in found)
    if not report.solved:
        remark("belief propagation did not converge: give --damping 0.3 or more, or --max-sweeps")


def draw_hunts(report, plays):
    """Write hunt.png of all plays, and hunt.gif of them one after the other."""
    if report.folder is None or report.interrupted:
        return
    import numpy as np

    from plants.stag_hunt import animation

    shown = {f"λ = {hunt.temperature:g}, {hunt.stages} moves": (hunt, np.array(p.states)) for hunt, p in plays.items()}
    report.draw("hunt.png", lambda _: figures().hunt_paths(shown)[0].figure)
    with progress("drawing the animation"):
        report.write("hunt.gif", lambda path: animation.save(path, shown))


def figures():
    """The module of figures, which loads matplotlib."""
    from plants.stag_hunt import figures

    return figures


def read_cells(path, side):
    """Side and cells of hunters, hares and stags in a JSON file.

    Raises:
      ProblemError: if the file cannot be read, is no such object, or gives another side than asked for.
    """
    import json

    from ppi_robotics.files import read_text

    text = read_text(path, "--file")
    try:
        facts = json.loads(text)
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


def sizes_of(sides, hunters):
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
