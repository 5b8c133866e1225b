"""The commands `stag exact | bp | run | phase`: hunters who take hares alone, or stags in company."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from plants.stag_hunt.commands_hunts import MOST_STAGES, made_at, make_hunts
from plants.stag_hunt.commands_phase import Damping, Sweeps
from ppi_robotics import ProblemError
from ppi_robotics.cli import TABLES, Out, Report, command
from ppi_robotics.cli.options import weights_of
from ppi_robotics.cli.output import progress, remark
from ppi_robotics.cli.report import stop_if

MOST_DRAWN = 4  # hunts side by side
PLAY_COLUMNS = ["lambda", "moves", "status", "cost R", "least R in reach", "hunters at hares", "stags caught"]


@dataclass(frozen=True)
class Hunts:
    """One hunt at every number of moves and temperature.

    Attributes:
      case: a ready-made hunt: 5x5.
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

    def make(self):
        """`StagHunt`s."""
        temperatures = weights_of("--lam", self.lam)
        return make_hunts(self.case, self.side, self.hunters, self.file, self.moves, self.seed, temperatures)


@command("stag exact", TABLES)
def exact(report: Report, hunts: Hunts):
    """Sum over all joint walks exactly, by counts of hunters at stags."""
    infer_in(report, hunts.make(), "exact", {})


@command("stag bp", TABLES)
def bp(report: Report, hunts: Hunts, damping: Damping = 0.0, max_sweeps: Sweeps = 500):
    """Belief propagation between hunters and stags, beside the exact sum where that can be had."""
    infer_in(report, hunts.make(), "bp", {"damping": damping, "max_sweeps": max_sweeps})


@command("stag run", TABLES)
def run(
    report: Report,
    hunts: Hunts,
    method: Annotated[str, "exact|bp"] = "exact",
    loop: Annotated[str, "NAME"] = "open",
    choice: Annotated[str, "map|sample"] = "map",
    damping: Damping = 0.0,
    max_sweeps: Sweeps = 500,
    play_seed: Annotated[int, "N", range(2**64)] = 0,
    out: Out = None,
):
    """Hunt: every hunter moves by its own probabilities; with --out also draw hunt.png and hunt.gif.

    Args:
      method: how to infer.
      loop: open infers once, closed at every stage, turns at every move.
      choice: map takes the most probable move, or sample.
      play_seed: seed of moves that tie, and of samples.
    """
    report.write_to(out)
    made = hunts.make()
    if out is not None and len(made) > MOST_DRAWN:
        raise ProblemError(f"{len(made)} hunts are too many for a picture; give 1 to {MOST_DRAWN}, or leave out --out")
    options, plays = {"damping": damping, "max_sweeps": max_sweeps} if method == "bp" else {}, {}
    with report.until_interrupted(), progress("hunting") as say:
        for i, hunt in enumerate(made):
            say(f"hunting at lambda {hunt.temperature:g}", i, len(made))
            played = hunt.play(method, loop, choice, play_seed, **options)
            stop_if(played.interrupted)  # where it ends says nothing about its cost
            plays[hunt] = played
    if not plays:
        return
    found = [play_facts(hunt, played) for hunt, played in plays.items()]
    how = {"method": method, "loop": loop, "choice": choice, "play_seed": play_seed}
    title = f"{heading(made[0])}, {method}, loop {loop}, {choice}, seed {play_seed}"
    rows = [PLAY_COLUMNS, *(play_row(hunt, one) for hunt, one in zip(plays, found, strict=True))]
    report.add(setting(made[0]) | how | {"runs": found}, title, rows)
    report.solved = converged(found)
    if out is not None and not report.interrupted:
        with progress("drawing the pictures"):
            draw_hunts(plays, report)


# -- parts -------------------------------------------------------------------------------------------------------------


def infer_in(report, hunts, method, options):
    """Infer in all hunts."""
    found = []
    with report.until_interrupted(), progress("inferring") as say:
        for i, hunt in enumerate(hunts):
            say(f"{method} at lambda {hunt.temperature:g}", i, len(hunts))
            beliefs = hunt.infer(method, **options)
            found.append(inference_facts(hunt, beliefs, exact_log_partition(hunt) if method == "bp" else None))
    if not found:
        return
    columns = ["lambda", "moves", "log Z", "<R>", "KL", "stags caught", "ends of the most probable moves"]
    if method == "bp":
        columns[2:3] = ["status", "sweeps", "log Z", "log Z less exact"]
    rows = [columns, *(inference_row(hunt, one) for hunt, one in zip(hunts, found, strict=False))]
    report.add(setting(hunts[0]) | {"method": method, "rows": found}, f"{heading(hunts[0])}, {method}", rows)
    report.solved = converged(found)


def inference_row(hunt, one):
    """An inference for a table."""
    ends = ", ".join(f"({row}, {column})" for row, column in one["map_ends"])
    if len(hunt.hunters) > 2:
        ends = f"{one['map_at_hares']} at hares, {one['map_stags_caught']} stags caught"
    log_z = [f"{one['log_partition']:.12g}"]
    if "log_partition_error" in one:
        error = one["log_partition_error"]
        log_z = [one["status"].replace("_", " "), str(one["sweeps"]), *log_z]
        log_z.append("unknown" if error is None else f"{error:.3g}")
    return [*made_at(hunt), *log_z, f"{one['mean']:.10g}", f"{one['kl']:.6g}", f"{sum(one['stags']):.6g}", ends]


def play_row(hunt, one):
    """A hunt that was played, for a table."""
    return [
        *made_at(hunt),
        one["status"].replace("_", " "),
        f"{one['cost']:g}",
        f"{one['least_cost']:g}" if one["least_cost"] is not None else "unknown",
        f"{one['at_hares']} of {len(hunt.hunters)}",
        f"{one['stags_caught']} of {len(hunt.stags)}",
    ]


def converged(found):
    """Whether all inferences converged; says what helps belief propagation where one did not."""
    if all(one["status"] == "converged" for one in found):
        return True
    remark("belief propagation did not converge: give --damping 0.3 or more, or --max-sweeps")
    return False


def exact_log_partition(hunt):
    """log Z of the exact sum, None where that is too large."""
    try:
        return hunt.infer("exact").log_partition
    except ProblemError:
        return None


def setting(hunt):
    """What was asked for, for JSON."""
    return {
        "side": hunt.side,
        "hunters": hunt.hunters.tolist(),
        "hares": hunt.hares.tolist(),
        "stags": hunt.stags.tolist(),
        "hare": hunt.hare,
        "stag": hunt.stag,
    }


def heading(hunt):
    """What a table is about."""
    return (
        f"{hunt.side} x {hunt.side} cells, hunters: {len(hunt.hunters)}, "
        f"hares: {len(hunt.hares)} of cost {hunt.hare:g}, stags: {len(hunt.stags)} of cost {hunt.stag:g}"
    )


def inference_facts(hunt, beliefs, reference):
    """Beliefs for JSON; the reference is the exact log Z to compare with."""
    cells, path = hunt.hunters, []
    for t in range(hunt.stages):  # ties go to the first of the moves, so that the table does not change
        cells = hunt.moves[cells, beliefs.actions(t, cells).argmax(axis=1)]
        path.append(cells.tolist())
    at_hares, caught = hunt.caught(cells)
    facts = {
        "lambda": hunt.temperature,
        "moves": hunt.stages,
        "status": beliefs.status.name.lower(),
        "log_partition": beliefs.log_partition,
        "mean": beliefs.mean,
        "kl": beliefs.kl,
        "stags": beliefs.met.tolist(),
        "actions": beliefs.actions().tolist(),
        "map_ends": [list(divmod(int(cell), hunt.side)) for cell in cells],
        "map_at_hares": at_hares,
        "map_stags_caught": caught,
    }
    if beliefs.exact:
        return facts | {"variance": beliefs.variance}
    error = None if reference is None else beliefs.log_partition - reference
    more = {"schedule": beliefs.schedule, "sweeps": beliefs.sweeps, "change": beliefs.change}
    return facts | more | {"exact_log_partition": reference, "log_partition_error": error}


def play_facts(hunt, played):
    """A hunt that was played, for JSON."""
    at_hares, caught = hunt.caught(played.states[-1])
    try:
        least = hunt.problem.least_cost()
    except ProblemError:
        least = None
    return {
        "lambda": hunt.temperature,
        "moves": hunt.stages,
        "status": played.status.name.lower(),
        "cost": hunt.cost(played.states[-1]),
        "least_cost": least,
        "at_hares": at_hares,
        "stags_caught": caught,
        "path": [cells.tolist() for cells in played.states],
    }


def draw_hunts(plays, report):
    """Write hunt.png of all plays, and hunt.gif of them one after the other."""
    import numpy as np

    from plants.stag_hunt import animation, figures

    shown = {f"λ = {hunt.temperature:g}, {hunt.stages} moves": (hunt, np.array(p.states)) for hunt, p in plays.items()}
    report.write_figure("hunt.png", figures.hunt_paths(shown)[0].figure)
    report.write("hunt.gif", lambda path: animation.save(path, shown))
