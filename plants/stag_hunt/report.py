"""What the commands `stag` report: numbers for JSON, and rows of tables."""

from typing import TYPE_CHECKING

from ppi_robotics import ProblemError

if TYPE_CHECKING:
    from plants.stag_hunt import RendezvousBeliefs, StagHunt, TemperatureSweep
    from ppi_robotics.discrete import Play

PEAKS = {"slope": "d<R>/dlambda = -dKL/dln lambda", "log_slope": "d<R>/dln lambda"}
SHOWN = (0.1, 0.2, 0.5, 1.0, 2.0, 10.0)  # rows of the table of phase, where they are among the temperatures
MEANS = {
    "met": "stags caught",
    "bp_sweeps": "BP sweeps",
    "bp_converged": "BP converged",
    "bp_error": "|BP's log Z less exact|",
}


def setting(hunt: "StagHunt") -> dict:
    """What was asked for."""
    return {
        "side": hunt.side,
        "hunters": hunt.hunters.tolist(),
        "hares": hunt.hares.tolist(),
        "stags": hunt.stags.tolist(),
        "hare": hunt.hare,
        "stag": hunt.stag,
    }


def heading(hunt: "StagHunt") -> str:
    """What a table is about."""
    return (
        f"{hunt.side} x {hunt.side} cells, hunters: {len(hunt.hunters)}, "
        f"hares: {len(hunt.hares)} of cost {hunt.hare:g}, stags: {len(hunt.stags)} of cost {hunt.stag:g}"
    )


# -- inference ---------------------------------------------------------------------------------------------------------


def inference_facts(hunt: "StagHunt", beliefs: "RendezvousBeliefs", reference: float | None) -> dict:
    """Numbers of beliefs; the reference is the exact log Z to compare with."""
    cells = hunt.hunters
    for t in range(hunt.stages):  # ties go to the first of the moves, so that the table does not change
        cells = hunt.moves[cells, beliefs.actions(t, cells).argmax(axis=1)]
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


def inference_rows(hunts: list["StagHunt"], found: list[dict]) -> list[list[str]]:
    """The table of inferences."""
    approximate = "sweeps" in found[0]
    of_log_z = ["status", "sweeps", "log Z", "log Z less exact"] if approximate else ["log Z"]
    rows = [["lambda", "moves", *of_log_z, "<R>", "KL", "stags caught", "ends of the most probable moves"]]
    for one in found:
        log_z = [f"{one['log_partition']:.12g}"]
        if approximate:
            error = one["log_partition_error"]
            log_z = [one["status"].replace("_", " "), str(one["sweeps"]), *log_z]
            log_z.append("unknown" if error is None else f"{error:.3g}")
        ends = ", ".join(f"({row}, {column})" for row, column in one["map_ends"])
        if len(hunts[0].hunters) > 2:
            ends = f"{one['map_at_hares']} at hares, {one['map_stags_caught']} stags caught"
        numbers = [f"{one['mean']:.10g}", f"{one['kl']:.6g}", f"{sum(one['stags']):.6g}", ends]
        rows.append([f"{one['lambda']:g}", str(one["moves"]), *log_z, *numbers])
    return rows


# -- plays -------------------------------------------------------------------------------------------------------------


def play_facts(hunt: "StagHunt", played: "Play") -> dict:
    """Numbers of a hunt that was played."""
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


def play_rows(hunts: list["StagHunt"], found: list[dict]) -> list[list[str]]:
    """The table of hunts that were played."""
    rows = [["lambda", "moves", "status", "cost R", "least R in reach", "hunters at hares", "stags caught"]]
    for one in found:
        least = "unknown" if one["least_cost"] is None else f"{one['least_cost']:g}"
        costs = [one["status"].replace("_", " "), f"{one['cost']:g}", least]
        caught = [f"{one['at_hares']} of {len(hunts[0].hunters)}", f"{one['stags_caught']} of {len(hunts[0].stags)}"]
        rows.append([f"{one['lambda']:g}", str(one["moves"]), *costs, *caught])
    return rows


# -- temperatures ------------------------------------------------------------------------------------------------------


def phase_facts(sweep: "TemperatureSweep") -> dict:
    """Numbers of a size."""
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


def phase_rows(sweeps: dict[str, "TemperatureSweep"]) -> list[list[str]]:
    """The table of all sizes."""
    import numpy as np

    from ppi_robotics.texts import with_error

    rows = [["", *sweeps]]
    for name, text in PEAKS.items():
        found = [(sweep.walkers, *sweep.peak(getattr(sweep, name))) for sweep in sweeps.values()]
        rows.append([f"peak of {text} at", *(with_error(at, error) for _, at, error, _ in found)])
        rows.append(["... its height, and per hunter", *(f"{top:.4g}, {top / M:.3g}" for M, _, _, top in found)])
    temperatures = next(iter(sweeps.values())).temperatures
    for lam in SHOWN:
        here = np.isclose(temperatures, lam)
        for name, text in MEANS.items() if here.any() else ():
            values = [getattr(sweep, name)[:, here.argmax()] for sweep in sweeps.values()]
            means = [with_error(float(v.mean()), float(v.std(ddof=1) / len(v) ** 0.5)) for v in values]
            rows.append([f"{text} at lambda {lam:g}", *means])
    return rows
