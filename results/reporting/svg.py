"""Matplotlib figures as inline SVG: one look for every picture of the report.

Colours are Okabe and Ito's, which stay apart for colour-blind readers; every kind of point has a
marker of its own besides. Figures are narrow with large letters, so that a phone shows them at a
size that can be read.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from html import escape
from typing import Any
from urllib.parse import quote, unquote

import matplotlib as mpl
from matplotlib.artist import Artist
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

_TITLED, _ANY = "titled:", "marks_1"
"""Beginning of an artist's name that has the titles of its marks, and what it is called then."""


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
    svg = _with_titles(file.getvalue())
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # "axes_1" and the like name the parts of every figure alike, and nothing refers to them.
    return re.sub(r' id="[\w.]+_\d+"', "", svg[svg.index("<svg") :])


def titled(artist: Artist, titles: Sequence[str]) -> None:
    """Have each mark of an artist say what it is to whoever points at it; bars are marks too.

    ``titles`` are in the order of the marks, which must all be finite. Matplotlib writes nothing
    but its own name of an artist into the picture, so they travel in that name.
    """
    artist.set_gid(_TITLED + quote("\n".join(titles), safe=""))


def _with_titles(svg: str) -> str:
    """The picture with a ``<title>`` in every mark that has one."""
    first, *groups = svg.split('<g id="')  # every artist begins a group of its own
    return '<g id="'.join([first, *map(_group_with_titles, groups)])


def _group_with_titles(group: str) -> str:
    if not group.startswith(_TITLED):
        return group
    name, _, inside = group.partition('"')
    titles = unquote(name.removeprefix(_TITLED)).split("\n")
    mark = r"(<use [^>]*)/>" if "<use " in inside else r"(<path [^>]*)/>"
    if len(re.findall(mark, inside)) != len(titles):  # one that lies outside is not drawn
        return f'{_ANY}"{inside}'
    left = iter(titles)
    told = re.sub(mark, lambda m: f"{m[1]}><title>{escape(next(left))}</title>{_end(m[1])}", inside)
    return f'{_ANY}"{told}'


def _end(tag: str) -> str:
    return f"</{tag.split()[0].lstrip('<')}>"
