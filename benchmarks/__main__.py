"""Run every comparison in a process of its own and print one table of ratios."""

import json
import subprocess
import sys

from rich.console import Console
from rich.table import Table

MODULES = (
    "sweep",
    "iteration",
    "inference",
    "swing_up",
    "rollouts",
    "mujoco",
    "mpc",
    "mppi",
    "tables",
    "graphs",
    "blocks",
    "chains",
    "stag",
    "startup",
)


def rows(module):
    """Measured rows of one benchmark; a failure becomes a row that says so."""
    answer = subprocess.run([sys.executable, "-m", f"benchmarks.{module}"], capture_output=True, text=True, check=False)
    found = [json.loads(line) for line in answer.stdout.splitlines() if line.startswith("{")]
    if answer.returncode:
        reason = (answer.stderr.strip().splitlines() or ["no message"])[-1]
        found.append({"what": module, "missing": f"failed: {reason}"})
    return found


def cells(row):
    """Texts of one row of the table."""
    if "missing" in row:
        return row["what"], "", "", "", "", row["missing"]
    value = f"{row['ours']:.3g} {row['unit']}"
    if row["ratio"] is None:
        return (
            row["what"],
            value,
            "",
            "",
            f"at most {row['target']:g}",
            "met" if row["ours"] <= row["target"] else "missed",
        )
    peer, target = f"{row['peer']}: {row['theirs']:.3g} {row['unit']}", f"at least {row['target']:g}"
    return row["what"], value, peer, f"{row['ratio']:.2f}", target, "met" if row["ratio"] >= row["target"] else "missed"


def main(names):
    console = Console(width=None if sys.stdout.isatty() else 140)
    table = Table("comparison", "ours", "peer", "times faster", "target", "")
    with console.status("measuring") as status:
        for module in names or MODULES:
            status.update(f"measuring {module}")
            for row in rows(module):
                table.add_row(*cells(row))
    console.print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
