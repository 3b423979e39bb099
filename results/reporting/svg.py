"""Matplotlib figures as inline SVG: one look for every picture of the report.

Colours are Okabe and Ito's, which stay apart for colour-blind readers; every kind of point has a
marker of its own besides. Figures are narrow with large letters, so that a phone shows them at a
size that can be read.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

BLACK, ORANGE, BLUE, SKY = "#000000", "#E69F00", "#0072B2", "#56B4E9"
VERMILION, GREY = "#D55E00", "#767676"
GREEN, PURPLE = "#009E73", "#CC79A7"

MARKERS: dict[str, dict[str, Any]] = {
    "baseline": {"marker": "*", "color": BLACK, "markersize": 12},
    "uniform": {"marker": "s", "color": ORANGE, "markeredgecolor": BLACK, "markersize": 7},
    "ranking": {"marker": "^", "color": GREEN, "markeredgecolor": BLACK, "markersize": 7},
    "sensitivity": {"marker": "P", "color": VERMILION, "markeredgecolor": BLACK, "markersize": 7},
    "random": {"marker": "v", "color": PURPLE, "markeredgecolor": BLACK, "markersize": 7},
    "explored": {"marker": "^", "color": ORANGE, "markeredgecolor": BLACK, "markersize": 5},
    "searched": {"marker": "D", "color": BLUE, "markeredgecolor": "white", "markersize": 7},
    "trial": {"marker": "o", "color": SKY, "markeredgecolor": "white", "markersize": 6},
    "less": {"marker": "o", "color": "none", "markeredgecolor": GREY, "markersize": 4},
    "seed": {"marker": "o", "color": "none", "markeredgecolor": GREY, "markersize": 3.5},
    "failed": {"marker": "x", "color": VERMILION, "markersize": 5},
}

HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----")
"""Of neighbouring parts of a bar, so that they can be told apart without colour."""

# Any: matplotlib types the keys as one long Literal, which an ordinary dict does not meet.
_STYLE: Any = {
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.fonttype": "none",  # letters stay letters: small, selectable, and read out aloud
    "text.parse_math": False,  # a group may be called "a$b"
}
_WIDTH_INCHES = 4.7


def draw(name: str, height_inches: float, paint: Callable[[Figure], None]) -> str:
    """The ``<svg>`` element of the figure that ``paint`` fills; equal input gives equal bytes.

    ``name`` salts the ids of clip paths and markers, so that pictures on one page do not share
    them.
    """
    with mpl.rc_context(_STYLE | {"svg.hashsalt": name}), warnings.catch_warnings():
        # The reader's browser draws the letters, so matplotlib's own fonts need not have them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=(_WIDTH_INCHES, height_inches), layout="constrained")
        paint(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    svg = file.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # "axes_1" and the like name the parts of every figure alike, and nothing refers to them.
    return re.sub(r' id="[\w.]+_\d+"', "", svg[svg.index("<svg") :])
