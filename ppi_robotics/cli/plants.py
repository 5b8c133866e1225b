"""The command `plants`: what there is to move."""

import textwrap

from rich.table import Table

from ppi_robotics.cli.arguments import Json, bodies, catalog, make_plant, tasks_of
from ppi_robotics.cli.output import describe, describe_body, limits_of, names_of, print_table, show_json


def plants(as_json: Json = False):
    """List the plants with states, controls, limits and default horizon, and the MuJoCo bodies with their tasks."""
    made = {name: make_plant(name) for name in catalog()}
    moving = {name: bodies().plant(name) for name in bodies().BODIES}
    tasks = {name: tasks_of(name) for name in moving}
    if as_json:
        facts = {"plants": {name: describe(plant) for name, plant in made.items()}}
        return show_json(facts | {"bodies": {name: describe_body(moving[name], tasks[name]) for name in moving}})
    table = Table("plant", "states", "controls", "limits", "noise", "horizon", show_lines=True)
    for name, plant in made.items():
        entries = [f"{entry} [{unit}]" for entry, unit in zip(names_of(plant), plant.units, strict=True)]
        states, controls = "\n".join(entries[: plant.nx]), "\n".join(entries[plant.nx :])
        limits = "\n".join(f"{entry} {low:g} to {high:g}" for entry, low, high in limits_of(plant)) or "none"
        horizon = f"{plant.default_horizon} stages\n{plant.default_horizon * plant.dt:g} s"
        table.add_row(name, states, controls, limits, f"sigma {plant.sigma:g}", horizon)
    print_table(table)
    table = Table("MuJoCo body", "states", "controls", "tasks", show_lines=True)
    for name, plant in moving.items():
        lines = [
            f"{task}: {facts.horizon} stages, {facts.horizon * plant.dt:g} s, noise {facts.noise:g}"
            + (f", goal {','.join(f'{part:g}' for part in facts.goal)}" if facts.goal else "")
            for task, facts in tasks[name].items()
        ]
        table.add_row(name, str(plant.nx), textwrap.fill(", ".join(plant.control_names), 40), "\n".join(lines))
    print_table(table)
    return 0
