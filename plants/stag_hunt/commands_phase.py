"""The command `stag phase`: random hunts over the temperature."""

from typing import Annotated

import typer

from plants.stag_hunt.commands_hunts import counts_of
from ppi_robotics.checks import check_seed
from ppi_robotics.cli.arguments import (
    MOST_INSTANCES,
    MOST_STAGES,
    Json,
    Out,
    check_range,
    option,
    real,
    weights_of,
    whole,
)
from ppi_robotics.cli.output import progress, show_json, show_rows
from ppi_robotics.cli.work import Files, stop_if, write_figure

SWEPT = tuple(round(0.05 * k, 2) for k in range(2, 33)) + (1.8, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0)
FIRST_SEED = 1000  # of the instances of phase
PEAKS = ("slope", "log_slope")
SHOWN = (0.1, 0.2, 0.5, 1.0, 2.0, 10.0)  # rows of the table of phase, where they are among the temperatures

Sides = Annotated[str, typer.Option("--side", metavar="L1,L2,...", help="Cells along a side.")]
HunterCounts = Annotated[str, typer.Option("--hunters", metavar="M1,M2,...", help="Hunters, one number a side.")]
Instances = Annotated[int, option("--instances", "N", "Random hunts of every size, at least 2.", whole)]
SweptLambdas = Annotated[
    str | None, typer.Option("--lam", metavar="L1,L2,...", help="Rising temperatures; 39 from 0.1 to 10 by default.")
]
FirstSeed = Annotated[int, option("--seed", "N", "Seed of the first hunt; the others follow.", whole)]
StageCount = Annotated[int, option("--moves", "T", "Number of moves.", whole)]
Damping = Annotated[float, option("--damping", "D", "Share of an old message that belief propagation keeps.", real)]
Sweeps = Annotated[int, option("--max-sweeps", "N", "Sweeps of belief propagation at most.", whole)]


def phase(
    side: Sides = "10,15",
    hunters: HunterCounts = "4,10",
    instances: Instances = 20,
    moves: StageCount = 9,
    lam: SweptLambdas = None,
    seed: FirstSeed = FIRST_SEED,
    damping: Damping = 0.0,
    max_sweeps: Sweeps = 500,
    out: Out = None,
    as_json: Json = False,
):
    """Random hunts over lambda: where hares give way to stags, and what BP makes of it; with --out also phase.png."""
    from plants import StagHunt
    from plants.stag_hunt import sweep_temperatures

    check_range("--instances", instances, 2, MOST_INSTANCES)
    check_seed(seed, "--seed")
    check_range("--moves", moves, 1, MOST_STAGES)
    files, counts = Files(out), counts_of(side, hunters)
    temperatures = list(SWEPT) if lam is None else weights_of("--lam", lam)
    sweeps = {}
    with files.until_interrupted(), progress("sweeping") as say:
        for length, M in counts:
            name = f"M = {M}, N = {length**2}"
            problems = [StagHunt.random(length, M, seed + i, moves).problem for i in range(instances)]
            follow = {"progress": lambda done, total, name=name: say(f"{name}: {done} of {total} instances")}
            sweeps[name] = sweep_temperatures(problems, temperatures, **follow, damping=damping, max_sweeps=max_sweeps)
            stop_if(sweeps[name].interrupted)
    if not sweeps:
        return files.end(1)
    if out is not None and not files.interrupted:
        with progress("drawing the picture"):
            from plants.stag_hunt import figures

            write_figure(figures.phase_curves(sweeps)[0].figure, "phase.png", files)
    if as_json:
        how = {"instances": instances, "seed": seed, "moves": moves, "damping": damping, "max_sweeps": max_sweeps}
        facts = {name: phase_facts(sweep) for name, sweep in sweeps.items()}
        show_json(how | {"lambdas": temperatures, "sizes": facts} | files.facts())
    else:
        show_phase(sweeps, f"{instances} random hunts of {moves} moves from seed {seed}", files)
    return files.end(0)


def phase_facts(sweep):
    """A size for JSON."""
    curves = {
        "mean": sweep.mean,
        "slope": sweep.slope,
        "log_slope": sweep.log_slope,
        "minus_log_partition": -sweep.log_partition,
        "minus_log_partition_slope": sweep.energy_slope,
        "kl": sweep.kl,
        "stags": sweep.met,
        "bp_minus_log_partition": -sweep.bp_log_partition,
        "bp_minus_log_partition_slope": sweep.bp_energy_slope,
        "bp_sweeps": sweep.bp_sweeps,
        "bp_converged": sweep.bp_converged,
    }
    peaks = {
        name: dict(zip(("lambda", "lambda_se", "height"), sweep.peak(curves[name]), strict=True)) for name in PEAKS
    }
    facts = {"hunters": sweep.walkers, "peaks": peaks}
    for name, values in curves.items():
        error = values.std(axis=0, ddof=1) / len(values) ** 0.5
        facts[name] = {"mean": values.mean(axis=0).tolist(), "standard_error": error.tolist()}
    return facts


def show_phase(sweeps, title, files):
    """Print the table of a sweep."""
    import numpy as np

    from ppi_robotics.texts import with_error

    columns, rows = ["", *sweeps], []
    for name, text in (("slope", "d<R>/dlambda = -dKL/dln lambda"), ("log_slope", "d<R>/dln lambda")):
        found = [(sweep.walkers, *sweep.peak(getattr(sweep, name))) for sweep in sweeps.values()]
        rows.append([f"peak of {text} at", *(with_error(at, error) for _, at, error, _ in found)])
        rows.append(["... its height, and per hunter", *(f"{top:.4g}, {top / M:.3g}" for M, _, _, top in found)])
    for lam in SHOWN:
        for text, name in (
            ("stags caught", "met"),
            ("BP sweeps", "bp_sweeps"),
            ("BP converged", "bp_converged"),
            ("|BP's log Z less exact|", "bp_error"),
        ):
            row = []
            for sweep in sweeps.values():
                if not np.isclose(sweep.temperatures, lam).any():
                    continue
                values = getattr(sweep, name)[:, np.isclose(sweep.temperatures, lam).argmax()]
                row.append(with_error(float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5)))
            if row:
                rows.append([f"{text} at lambda {lam:g}", *row])
    show_rows(f"{title}; ± standard errors over the hunts", [columns, *rows], files)
