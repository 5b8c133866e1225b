"""What figures share: one palette, matplotlib's settings, and pages with a legend above their axes."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ppi_robotics.checks import check_count, check_instance, check_sequence, check_text
from ppi_robotics.errors import ProblemError

# Okabe and Ito's colors and some of Tol's, which color-blind readers can distinguish
BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"
COLORS = {"PPI": BLUE, "iLQG": VERMILION, "LEQG": GREEN, "AICO": "#882255", "Psi": "#999933"}  # one a method
COLORS |= {"MPPI": "#332288", "CEM": "#CC6677", "Predictive": "#44AA99"}
OTHER_COLORS = ("#CC79A7", "#56B4E9", "#E69F00", "#000000")
SHADES = (*COLORS.values(), *OTHER_COLORS)  # of curves by number
CONFIDENCE = 1.96  # standard errors on either side of a 95 % interval
ON_LINES = {"frameon": True, "framealpha": 0.85, "edgecolor": "none"}  # legends that lines may run behind
WIDE = 20.0  # ratio of largest to smallest value from which an axis is logarithmic

if TYPE_CHECKING:

    class Panel(Axes):
        """Axes as figures return them: type checkers may take it that their figure can be saved."""

        figure: Figure
else:
    Panel = Axes
Panels = Sequence[Panel]  # of one figure

SETTINGS = {
    "font.size": 9.0,
    "axes.titlesize": 10.0,
    "axes.labelsize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "0.3",
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.7,
    "xtick.color": "0.3",
    "ytick.color": "0.3",
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
}


def style() -> AbstractContextManager[None]:
    """Context manager with the package's matplotlib settings."""
    return rc_context(SETTINGS)


def color(name: str, index: int = 0) -> str:
    """Color of a method by the beginning of its name; other names take one of the remaining colors by index."""
    name, index = check_text(name, "name"), check_count(index, "index", 0)
    for method, value in COLORS.items():
        if name.lower().startswith(method.lower()):
            return value
    return OTHER_COLORS[index % len(OTHER_COLORS)]


class Page(Figure):
    """A figure of the package's own, with fixed margins: matplotlib's layout engines double the time of drawing.

    Args:
      width, height: [inches], at 120 pixels an inch.
      header: room above the axes, for titles and a legend [inches].
    """

    def __init__(self, width: float, height: float, header: float = 0.35):
        super().__init__(figsize=(width, height), dpi=120)
        FigureCanvasAgg(self)
        sides = {"left": 0.7 / width, "right": 1 - 0.15 / width, "bottom": 0.5 / height, "top": 1 - header / height}
        self.subplots_adjust(**sides, wspace=0.18, hspace=0.35)


def legend_above(ax, handles, columns):
    """A legend above the figure if it is one of ours, else in the axes."""
    if isinstance(ax.figure, Page):
        ax.figure.legend(handles=handles, loc="upper center", ncols=columns)
    else:
        ax.legend(handles=handles)


def check_ax(ax, name="ax"):
    """The matplotlib axes."""
    return check_instance(ax, name, Axes, "such as of pyplot.subplots()")


def check_axes(axes, count, panels):
    """As many axes as there are panels, which `panels` names for the message.

    Raises:
      ProblemError: if these are no axes, or not so many.
    """
    axes = check_sequence(axes, "axes", "axes")
    if len(axes) != count:
        raise ProblemError(f"{len(axes)} axes for {panels}; give {count} axes")
    return [check_ax(ax, f"axes[{i}]") for i, ax in enumerate(axes)]


def is_wide(values):
    """Whether positive values span so much that their axis should be logarithmic."""
    return len(values) > 0 and min(values) > 0 and max(values) > WIDE * min(values)


def number(value):
    """Text of a number, with a minus sign that is as wide as a plus."""
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")
