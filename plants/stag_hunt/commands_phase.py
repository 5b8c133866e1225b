"""The command `stag phase`: random hunts over the temperature."""

from typing import Annotated

from plants.stag_hunt.commands_hunts import MOST_STAGES, counts_of
from ppi_robotics.cli import TABLES, Out, Report, command
from ppi_robotics.cli.options import weights_of
from ppi_robotics.cli.output import progress
from ppi_robotics.cli.report import stop_if

SWEPT = tuple(round(0.05 * k, 2) for k in range(2, 33)) + (1.8, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0)
FIRST_SEED = 1000  # of the instances of phase
PEAKS = ("slope", "log_slope")
SHOWN = (0.1, 0.2, 0.5, 1.0, 2.0, 10.0)  # rows of the table of phase, where they are among the temperatures

Damping = Annotated[float, "D", "Share of an old message that belief propagation keeps."]
Sweeps = Annotated[int, "N", "Sweeps of belief propagation at most."]


@command("stag phase", TABLES)
def phase(
    report: Report,
    side: Annotated[str, "L1,L2,..."] = "10,15",
    hunters: Annotated[str, "M1,M2,..."] = "4,10",
    instances: Annotated[int, "N", range(2, 1_000_001)] = 20,
    moves: Annotated[int, "T", range(1, MOST_STAGES + 1)] = 9,
    lam: Annotated[str | None, "L1,L2,..."] = None,
    seed: Annotated[int, "N", range(2**64)] = FIRST_SEED,
    damping: Damping = 0.0,
    max_sweeps: Sweeps = 500,
    out: Out = None,
):
    """Random hunts over lambda: where hares give way to stags, and what BP makes of it; with --out also phase.png.

    Args:
      side: cells along a side.
      hunters: hunters, one number a side.
      instances: random hunts of every size, at least 2.
      moves: number of moves.
      lam: rising temperatures; 39 from 0.1 to 10 by default.
      seed: of the first hunt; the others follow.
    """
    from plants import StagHunt
    from plants.stag_hunt import figures, sweep_temperatures

    report.write_to(out)
    counts, sweeps = counts_of(side, hunters), {}
    temperatures = list(SWEPT) if lam is None else weights_of("--lam", lam)
    with report.until_interrupted(), progress("sweeping") as say:
        for length, M in counts:
            name = f"M = {M}, N = {length**2}"
            problems = [StagHunt.random(length, M, seed + i, moves).problem for i in range(instances)]
            sweeps[name] = sweep_temperatures(
                problems,
                temperatures,
                progress=lambda done, total, name=name: say(f"{name}: {done} of {total} instances", done, total),
                damping=damping,
                max_sweeps=max_sweeps,
            )
            stop_if(sweeps[name].interrupted)
    if not sweeps:
        return
    facts = {"instances": instances, "seed": seed, "moves": moves, "damping": damping, "max_sweeps": max_sweeps}
    sizes = {name: phase_facts(sweep) for name, sweep in sweeps.items()}
    title = f"{instances} random hunts of {moves} moves from seed {seed}; 95 % intervals in brackets, ± standard errors"
    report.add(facts | {"lambdas": temperatures, "sizes": sizes}, title, phase_rows(sweeps))
    report.draw("phase.png", lambda _: figures.phase_curves(sweeps)[0].figure)


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


def phase_rows(sweeps):
    """The table of a sweep, headings first."""
    import numpy as np

    from ppi_robotics.intervals import of_mean, of_rate
    from ppi_robotics.texts import with_error, with_interval

    rows = [["", *sweeps]]
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
                values = np.asarray(getattr(sweep, name)[:, np.isclose(sweep.temperatures, lam).argmax()], dtype=float)
                if name == "bp_converged":
                    interval = of_rate(int(values.sum()), len(values), 0.95)
                else:
                    interval = of_mean(values, 0.95) if len(values) > 1 else None
                row.append(with_interval(float(values.mean()), None if isinstance(interval, str) else interval))
            if row:
                rows.append([f"{text} at lambda {lam:g}", *row])
    return rows
