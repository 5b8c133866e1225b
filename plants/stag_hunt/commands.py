"""The commands `stag exact | bp | run | phase`: hunters who take hares alone, or stags in company."""

from pathlib import Path
from typing import Annotated

import typer

from plants.stag_hunt.commands_hunts import CASES, METHODS, made_at, make_hunts
from plants.stag_hunt.commands_phase import Damping, Sweeps, phase
from ppi_robotics import ProblemError
from ppi_robotics.checks import check_seed
from ppi_robotics.cli.arguments import Json, Out, option, weights_of, whole
from ppi_robotics.cli.output import progress, remark, show_json, show_rows
from ppi_robotics.cli.work import Files, stop_if, write_figure

LAMBDAS = "10,0.1"
MOST_DRAWN = 4  # hunts side by side

stag = typer.Typer(name="stag", help="Hunters on a grid: hares alone or stags together, exactly and by BP.")

Case = Annotated[str | None, typer.Option("--case", metavar="NAME", help=f"A ready-made hunt: {', '.join(CASES)}.")]
Side = Annotated[int | None, option("--side", "L", "Cells along a side, of a random hunt or a file.", whole)]
Hunters = Annotated[int | None, option("--hunters", "M", "Number of hunters of a random hunt, even.", whole)]
File = Annotated[Path | None, typer.Option("--file", metavar="FILE.json", help="Cells x1, hares, stags, and side.")]
Moves = Annotated[int | None, option("--moves", "T", "Number of moves; 9 by default, of 5x5 both 3 and 4.", whole)]
Lambdas = Annotated[str, typer.Option("--lam", metavar="L1,L2,...", help="Temperatures that divide the cost.")]
InstanceSeed = Annotated[int, option("--seed", "N", "Seed of a random hunt.", whole)]
PlaySeed = Annotated[int, option("--play-seed", "N", "Seed of moves that tie, and of samples.", whole)]
Method = Annotated[str, typer.Option("--method", metavar="NAME", help=f"{' or '.join(METHODS)}.")]
Loop = Annotated[
    str, typer.Option("--loop", metavar="NAME", help="open infers once, closed at every stage, turns at every move.")
]
Choice = Annotated[str, typer.Option("--choice", metavar="NAME", help="map takes the most probable move, or sample.")]


@stag.command()
def exact(
    case: Case = None,
    side: Side = None,
    hunters: Hunters = None,
    file: File = None,
    moves: Moves = None,
    lam: Lambdas = LAMBDAS,
    seed: InstanceSeed = 0,
    as_json: Json = False,
):
    """Sum over all joint walks exactly, by counts of hunters at stags."""
    hunts = make_hunts(case, side, hunters, file, moves, seed, weights_of("--lam", lam))
    return show_inferences(hunts, "exact", {}, as_json)


@stag.command()
def bp(
    case: Case = None,
    side: Side = None,
    hunters: Hunters = None,
    file: File = None,
    moves: Moves = None,
    lam: Lambdas = LAMBDAS,
    seed: InstanceSeed = 0,
    damping: Damping = 0.0,
    max_sweeps: Sweeps = 500,
    as_json: Json = False,
):
    """Belief propagation between hunters and stags, beside the exact sum where that can be had."""
    hunts = make_hunts(case, side, hunters, file, moves, seed, weights_of("--lam", lam))
    return show_inferences(hunts, "bp", {"damping": damping, "max_sweeps": max_sweeps}, as_json)


@stag.command()
def run(
    case: Case = None,
    side: Side = None,
    hunters: Hunters = None,
    file: File = None,
    moves: Moves = None,
    lam: Lambdas = LAMBDAS,
    seed: InstanceSeed = 0,
    method: Method = "exact",
    loop: Loop = "open",
    choice: Choice = "map",
    damping: Damping = 0.0,
    max_sweeps: Sweeps = 500,
    play_seed: PlaySeed = 0,
    out: Out = None,
    as_json: Json = False,
):
    """Hunt: every hunter moves by its own probabilities; with --out also draw hunt.png and hunt.gif."""
    check_seed(play_seed, "--play-seed")
    files, hunts = Files(out), make_hunts(case, side, hunters, file, moves, seed, weights_of("--lam", lam))
    if out is not None and len(hunts) > MOST_DRAWN:
        raise ProblemError(f"{len(hunts)} hunts are too many for a picture; give 1 to {MOST_DRAWN}, or leave out --out")
    options = {"damping": damping, "max_sweeps": max_sweeps} if method == "bp" else {}
    plays = {}
    with files.until_interrupted():
        with progress("hunting") as say:
            for hunt in hunts:
                say(f"hunting at lambda {hunt.temperature:g}")
                played = hunt.play(method, loop, choice, play_seed, **options)
                stop_if(played.interrupted)  # where it ends says nothing about its cost
                plays[hunt] = played
        if out is not None:
            with progress("drawing the pictures"):
                draw_hunts(plays, files)
    if not plays:
        return files.end(1)
    found = [play_facts(hunt, played) for hunt, played in plays.items()]
    how = {"method": method, "loop": loop, "choice": choice, "play_seed": play_seed}
    if as_json:
        show_json(setting(hunts[0]) | how | {"runs": found} | files.facts())
    else:
        rows = [
            [
                *made_at(hunt),
                one["status"].replace("_", " "),
                f"{one['cost']:g}",
                f"{one['least_cost']:g}" if one["least_cost"] is not None else "unknown",
                f"{one['at_hares']} of {len(hunt.hunters)}",
                f"{one['stags_caught']} of {len(hunt.stags)}",
            ]
            for hunt, one in zip(plays, found, strict=True)
        ]
        columns = ["lambda", "moves", "status", "cost R", "least R in reach", "hunters at hares", "stags caught"]
        show_rows(f"{heading(hunts[0])}, {method}, loop {loop}, {choice}, seed {play_seed}", [columns, *rows], files)
    return files.end(remark_unless_converged(found))


stag.command()(phase)


# -- parts -------------------------------------------------------------------------------------------------------------


def show_inferences(hunts, method, options, as_json):
    """Infer in all hunts, and print what comes out."""
    found, files = [], Files(None)
    with files.until_interrupted(), progress("inferring") as say:
        for hunt in hunts:
            say(f"{method} at lambda {hunt.temperature:g}")
            beliefs = hunt.infer(method, **options)
            found.append(inference_facts(hunt, beliefs, exact_log_partition(hunt) if method == "bp" else None))
    if not found:
        return files.end(1)
    if as_json:
        show_json(setting(hunts[0]) | {"method": method, "rows": found, "interrupted": files.interrupted})
    else:
        columns = ["lambda", "moves", "log Z", "<R>", "KL", "stags caught", "ends of the most probable moves"]
        if method == "bp":
            columns[2:3] = ["status", "sweeps", "log Z", "log Z less exact"]
        few = len(hunts[0].hunters) <= 2
        rows = []
        for hunt, one in zip(hunts, found, strict=False):
            ends = ", ".join(f"({row}, {column})" for row, column in one["map_ends"])
            ends = ends if few else f"{one['map_at_hares']} at hares, {one['map_stags_caught']} stags caught"
            numbers = [f"{one['mean']:.10g}", f"{one['kl']:.6g}", f"{sum(one['stags']):.6g}", ends]
            log_z = [f"{one['log_partition']:.12g}"]
            if method == "bp":
                error = one["log_partition_error"]
                log_z = [one["status"].replace("_", " "), str(one["sweeps"]), *log_z]
                log_z.append("unknown" if error is None else f"{error:.3g}")
            rows.append([*made_at(hunt), *log_z, *numbers])
        show_rows(f"{heading(hunts[0])}, {method}", [columns, *rows], files)
    return files.end(remark_unless_converged(found))


def remark_unless_converged(found):
    """Say what helps belief propagation where it did not converge; returns the exit code."""
    if all(one["status"] == "converged" for one in found):
        return 0
    remark("belief propagation did not converge: give --damping 0.3 or more, or --max-sweeps")
    return 1


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


def draw_hunts(plays, files):
    """Write hunt.png of all plays, and hunt.gif of them one after the other."""
    import numpy as np

    from plants.stag_hunt import animation, figures

    shown = {f"λ = {hunt.temperature:g}, {hunt.stages} moves": (hunt, np.array(p.states)) for hunt, p in plays.items()}
    write_figure(figures.hunt_paths(shown)[0].figure, "hunt.png", files)
    files.write("hunt.gif", lambda path: animation.save(path, shown))
