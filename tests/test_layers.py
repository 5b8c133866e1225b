"""The shape of the code: imports point one way, heavy packages stay where they belong, public names exist."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import plants
import plants.blocks
import plants.stag_hunt
import ppi_robotics as ppi
import ppi_robotics.animation
import ppi_robotics.discrete
import ppi_robotics.plotting

PACKAGE, PLANTS = Path(ppi.__file__).parent, Path(plants.__file__).parent
CORE = [  # layers from the bottom; a module imports from its own layer and those before it
    {"errors", "given", "status", "streams"},
    {"checks"},
    {
        "entropic",
        "gaussian",
        "files",
        "interruption",
        "kernels",
        "manifold",
        "intervals",
        "texts",
        "parallel",
    },
    {
        "definition",
        "derivatives",
        "functions",
        "noise",
        "scales",
        "problem",
        "policy",
    },
    {
        "symbolic",
        "recursion",
        "values",
        "linearize",
        "rollouts",
        "solution",
    },
    {"steps"},
    {"methods", "guesses"},
    {"solver"},
    {"statistics", "evaluation"},
]
APPLICATIONS = {  # each needs the core, and the other applications named
    "composition": set(),
    "discrete": {"composition"},
    "estimation": set(),
    "mpc": set(),
    "mujoco": set(),
    "risk": set(),
    "sampling": set(),
}
FRONT = [{"plotting"}, {"animation", "rendering"}, {"gym"}, {"cli"}, {"__main__"}]  # layers
LAYERS = [*CORE, set(APPLICATIONS), *FRONT]
RANK = {module: rank for rank, layer in enumerate(LAYERS) for module in layer}
HOMES = {  # third-party packages that are slow to import or replaceable, and the only modules that may use them
    "casadi": {"symbolic", "kernels"},
    "numba": {"kernels"},
    "llvmlite": {"kernels"},
    "matplotlib": {"plotting"},
    "PIL": {"plotting"},
    "mujoco": {"mujoco", "plotting", "gym", "cli"},
    "gymnasium": {"gym"},
    "imageio_ffmpeg": {"plotting"},
    "filterpy": set(),
    "click": {"cli"},
    "rich": {"cli"},
}


CHECKED = "TYPE_CHECKING"


def sources(folder):
    return sorted(path for path in folder.rglob("*.py"))


def imported(path):
    """Dotted names of all modules that a file imports, anywhere in it, but not those for type checkers alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if not (isinstance(node, ast.If) and ast.unparse(node.test) == CHECKED)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} uses a relative import"
            yield node.module


def part(path):
    """The module of the package that a file belongs to; sub-packages count as one."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def inner(path):
    """Modules of the package that a file imports."""
    names = [name.split(".") for name in imported(path) if name.split(".")[0] == "ppi_robotics"]
    return {name[1] for name in names if len(name) > 1}


FILES = [path for path in sources(PACKAGE) if path.name != "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    assert part(path) in RANK, f"say in CORE, APPLICATIONS or FRONT where {path.name} belongs"
    upward = {module for module in inner(path) if RANK.get(module, 99) > RANK[part(path)]}
    assert not upward, f"{path.name} imports {upward} from a layer above it"


@pytest.mark.parametrize("name", APPLICATIONS)
def test_applications_need_the_core_alone(name):
    used = set().union(*(inner(path) for path in FILES if part(path) == name)) & set(APPLICATIONS) - {name}
    assert used == APPLICATIONS[name]


def test_imports_have_no_cycle():
    graph = {}
    for path in FILES:
        graph.setdefault(part(path), set()).update(inner(path) - {part(path)})
    assert set(graph) <= set(TopologicalSorter(graph).static_order())  # raises CycleError
    assert not graph["errors"]


def test_imports_within_sub_packages_have_no_cycle():
    graph = {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): set(imported(path)) for path in FILES}
    assert set(graph) <= set(TopologicalSorter(graph).static_order())  # raises CycleError


@pytest.mark.parametrize("path", sources(PACKAGE), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_packages_stay_at_home(path):
    for package in {name.split(".")[0] for name in imported(path)} & set(HOMES):
        assert part(path) in HOMES[package], f"{path.name} imports {package}"


def test_every_package_that_is_imported_is_declared():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    declared = [*project["dependencies"], *extras["video"], *extras["gym"]]
    distributions = {re.match(r"[\w.-]+", line)[0].lower().replace("_", "-") for line in declared}
    used = {name.split(".")[0] for path in [*sources(PACKAGE), *sources(PLANTS)] for name in imported(path)}
    for package in used - {"ppi_robotics", "plants", *sys.stdlib_module_names}:
        name = {"PIL": "pillow"}.get(package, package).replace("_", "-")
        assert name in distributions, f"declare {name} in pyproject.toml"


def test_the_library_does_not_know_its_plants():
    users = {part(path) for path in sources(PACKAGE) if any(name.split(".")[0] == "plants" for name in imported(path))}
    assert users == {"cli"}


TOOLS = "checks discrete entropic files gaussian interruption intervals parallel texts"  # of the library, for plants
EXTRAS = {  # what some modules of plants use besides numpy, scipy, public names and TOOLS
    "kernels": ("numba", "ppi_robotics.kernels.outside", "ppi_robotics.kernels.scalar", "ppi_robotics.kernels.tiles"),
    "figures": ("matplotlib", "ppi_robotics.plotting"),
    "animation": ("ppi_robotics.plotting",),
    "commands": ("ppi_robotics.cli",),
}


@pytest.mark.parametrize("path", sources(PLANTS), ids=lambda path: str(path.relative_to(PLANTS)))
def test_plants_use_public_names_and_tools_alone(path):
    outside = {name for name in imported(path) if name.split(".")[0] not in {"plants", *sys.stdlib_module_names}}
    outside -= {
        "ppi_robotics",
        "numpy",
        "numpy.typing",
        "lazy_loader",
        *(f"ppi_robotics.{name}" for name in TOOLS.split()),
    }
    extras = [extra for part in path.relative_to(PLANTS).with_suffix("").parts for extra in EXTRAS.get(part, ())]
    for name in outside:
        assert name.startswith(("scipy", *extras)), f"{path.name} imports {name}"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ppi":
            assert node.attr in ppi.__all__, f"{path.name} uses ppi.{node.attr}"
        if isinstance(node, ast.ImportFrom) and node.module in ("ppi_robotics", "ppi_robotics.discrete"):
            assert {alias.name for alias in node.names} <= set(sys.modules[node.module].__all__)


PUBLIC = [
    ppi,
    plants,
    plants.blocks,
    plants.stag_hunt,
    ppi_robotics.discrete,
    ppi_robotics.plotting,
    ppi_robotics.animation,
]


@pytest.mark.parametrize("package", PUBLIC, ids=lambda package: package.__name__)
def test_public_names_resolve(package):
    assert len(set(package.__all__)) == len(package.__all__)
    for name in package.__all__:
        assert getattr(package, name) is not None
    assert set(package.__all__) <= set(dir(package))


STUBBED = [ppi, plants, plants.blocks, plants.stag_hunt, ppi_robotics.discrete]


@pytest.mark.parametrize("package", STUBBED, ids=lambda package: package.__name__)
def test_stub_names_what_the_package_has(package):
    """Type checkers and editors believe the stub: its names are public, and each is where it says."""
    homes = {}
    for node in ast.parse(Path(package.__file__).with_suffix(".pyi").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            assert not set(homes) & {alias.name for alias in node.names}
            assert all(alias.asname == alias.name for alias in node.names), "`x as x` is what makes a name public"
            homes |= {alias.name: node.module for alias in node.names}
    modules = {"gym", "tasks"} & set(homes)
    assert set(homes) - modules == set(package.__all__) - {"__version__"}
    assert set(dir(package)) == set(package.__all__) | modules
    for name, module in homes.items():
        home = importlib.import_module(f"{package.__name__}.{module or name}")
        assert getattr(package, name) is (getattr(home, name) if module else home)


def test_packages_say_that_they_are_typed():
    assert (PACKAGE / "py.typed").is_file()
    assert (PLANTS / "py.typed").is_file()


def test_public_classes_and_functions_are_documented():
    for name in ppi.__all__:
        value = getattr(ppi, name)
        if getattr(value, "__module__", "").startswith("ppi_robotics"):
            assert value.__doc__, f"ppi.{name} has no docstring"


def test_unknown_names_raise_attribute_errors():
    with pytest.raises(AttributeError, match="slove"):
        ppi.slove  # noqa: B018


@pytest.mark.parametrize(
    "module", ["errors", "streams", "checks", "files", "gaussian", "noise", "problem", "policy", "values"]
)
def test_light_modules_stand_alone(module):
    assert loaded(f"import ppi_robotics.{module}") == set()


def test_importing_the_package_loads_nothing_heavy():
    assert loaded("import ppi_robotics") == set()


def loaded(statement):
    """Heavy packages in a fresh interpreter after a statement."""
    report = f"{statement}; import sys; print(*(set({sorted(HOMES)!r}) & set(sys.modules)))"
    command = [sys.executable, "-c", report]
    return set(subprocess.run(command, check=True, capture_output=True, text=True, cwd=PACKAGE.parent).stdout.split())


def test_no_public_name_is_that_of_a_module():
    """Importing a module sets its name in the package, where it would hide the function."""
    for package in (ppi, ppi_robotics.discrete, ppi_robotics.plotting):
        modules = {path.stem for path in Path(package.__file__).parent.iterdir()}
        assert not modules & {name for name in package.__all__ if not inspect.ismodule(getattr(package, name))}
