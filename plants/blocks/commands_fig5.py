"""How often plans of the blocks world reach random goals: rows of a table over locations and blocks."""

from plants.blocks.commands_work import LABELS
from ppi_robotics.cli.arguments import check_choice
from ppi_robotics.cli.output import progress, show_rows
from ppi_robotics.cli.work import write_figure
from ppi_robotics.intervals import of_rate

PLANNERS = {"bp": "bp", "merged": "merged bp", "cvm": "double loop"}  # names of plants.blocks.study


def planners_of(text):
    """Names of planners of a list that is separated by commas."""
    names = text.split(",")
    for name in names:
        check_choice("method", name, ("exact", *PLANNERS))
    return list(dict.fromkeys(names))


def rates_of(n, m, names, instances, seed, say):
    """Rows of one size by all planners, for JSON, one after the other."""
    from plants.blocks.study import goal_rates

    for name in names:
        say(f"{LABELS[name]}: {n} locations, {m} blocks")
        (row,) = goal_rates((n,), (m,), instances, (PLANNERS.get(name, name),), seed)
        yield {
            "n": n,
            "m": m,
            "T": row.stages,
            "method": name,
            "label": LABELS[name],
            "goal_rate": row.reached,
            "goal_rate_standard_error": row.standard_error(row.reached),
            "goal_rate_interval": of_rate(round(row.reached * row.instances), row.instances, 0.95),
            "converged_rate": row.converged,
            "cpu_seconds": row.seconds,
            "sweeps": row.sweeps,
        }


def show_rates(rows, instances, seed, files):
    """The table of all rows."""
    from ppi_robotics.texts import with_interval

    texts = [
        [
            str(row["n"]),
            str(row["m"]),
            str(row["T"]),
            row["label"],
            with_interval(row["goal_rate"], row["goal_rate_interval"]),
            f"{row['converged_rate']:.2f}",
            f"{row['cpu_seconds']:.4f}",
        ]
        for row in rows
    ]
    title = f"{instances} random goals each, seed {seed}: share of plans that reach them, and whose inference converged"
    head = [
        "locations",
        "blocks",
        "stages",
        "method",
        "goal reached",
        "converged throughout",
        "seconds of CPU a plan",
    ]
    show_rows(title, [head, *texts], files)


def draw_rates(rows, files):
    """Write fig5.png."""
    with progress("drawing the picture"):
        from plants.blocks import figures

        write_figure(figures.rates(rows), "fig5.png", files)
