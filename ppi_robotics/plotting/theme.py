"""What figures share: colors of methods, matplotlib's settings, and pages with a legend above their axes."""

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ppi_robotics.checks import check_count, check_instance, check_text

# Okabe and Ito's colors and some of Tol's, which color-blind readers can tell apart; one per method in every figure
COLORS = {"PPI": "#0072B2", "iLQG": "#D55E00", "LEQG": "#009E73", "AICO": "#882255", "Psi": "#999933"}
COLORS |= {"MPPI": "#332288", "CEM": "#CC6677", "Predictive": "#44AA99"}
OTHER_COLORS = ("#CC79A7", "#56B4E9", "#E69F00", "#000000")


def style():
    """Context manager with the package's matplotlib settings."""
    return rc_context(
        {
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
    )


def color(name, index=0):
    """Color of a method by the beginning of its name; other names take one of the remaining colors by index."""
    name, index = check_text(name, "name"), check_count(index, "index", 0)
    for method, value in COLORS.items():
        if name.lower().startswith(method.lower()):
            return value
    return OTHER_COLORS[index % len(OTHER_COLORS)]


def check_axes(ax, name="ax"):
    """The matplotlib axes."""
    return check_instance(ax, name, Axes, "such as of pyplot.subplots()")


class Page(Figure):
    """A figure of the package's own, with a legend above its axes.

    Its margins are fixed, because matplotlib's automatic ones double the time of drawing.
    """

    def __init__(self, width, height, header):
        super().__init__(figsize=(width, height), dpi=120)
        FigureCanvasAgg(self)
        self.margins = {"left": 0.7 / width, "right": 1 - 0.12 / width}
        self.margins |= {"bottom": 0.5 / height, "top": 1 - header / height}


def legend_above(ax, handles, columns):
    """A legend above the figure if it is one of ours, which makes room for it, else in the axes."""
    if isinstance(ax.figure, Page):
        ax.figure.legend(handles=handles, loc="upper center", ncols=columns)
    else:
        ax.legend(handles=handles)
