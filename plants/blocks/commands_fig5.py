"""How often plans of the blocks world reach random goals: rows of a table over locations and blocks."""

from plants.blocks.commands_work import LABELS
from ppi_robotics.cli.options import check_choice
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


def rate_rows(rows):
    """Texts of the table of all rows, headings first."""
    from ppi_robotics.texts import with_interval

    head = ["locations", "blocks", "stages", "method", "goal reached", "converged throughout", "seconds of CPU a plan"]
    texts = [
        [
            *(str(row[key]) for key in ("n", "m", "T", "label")),
            with_interval(row["goal_rate"], row["goal_rate_interval"]),
            f"{row['converged_rate']:.2f}",
            f"{row['cpu_seconds']:.4f}",
        ]
        for row in rows
    ]
    return [head, *texts]
