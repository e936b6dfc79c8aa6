"""A figure for narrow screens: its panels below one another, as wide as a telephone, with text of the same size.

Every figure here is one grid of panels; what a grid says once, the title of a column or the label of a row, each panel
then says itself.
"""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec

from gsi_theory.types import Record

__all__ = ["stack_panels"]

WIDTH = 3.8  # inches: 365 pixels
MOST_TICKS = 6
MOST_LETTERS = 54  # in a line of the key, two columns together


def _repeat_labels(panels: list[Axes], columns: int) -> None:
    """Give each panel of a grid, row by row, the labels that another of its row or column bears."""
    for k, panel in enumerate(panels):
        top, side, bottom = panels[k % columns], panels[k - k % columns], panels[k % columns :: columns][-1]
        panel.set_title(panel.get_title() or top.get_title())
        panel.set_ylabel(panel.get_ylabel() or side.get_ylabel())
        panel.set_xlabel(panel.get_xlabel() or bottom.get_xlabel())
        panel.tick_params(labelbottom=True, labelleft=True)


def _thin_ticks(panel: Axes) -> None:
    """As many evenly spread ticks as a narrow panel has room for."""
    low, high = panel.get_xlim()
    ticks = zip(panel.get_xticks(), (label.get_text() for label in panel.get_xticklabels()), strict=True)
    shown = {value: label for value, label in ticks if low <= value <= high}
    if len(shown) > MOST_TICKS:
        kept = list(shown.items())[:: -(-len(shown) // MOST_TICKS)]
        panel.set_xticks([value for value, _ in kept], [label for _, label in kept])


def stack_panels(figure: Figure) -> None:
    """Lay a drawn figure out anew, in place: one column of panels, the key above them."""
    grid = figure.axes[0].get_gridspec()
    assert grid is not None, "figures are drawn with Figure.subplots"
    height = float(figure.get_size_inches()[1]) / grid.nrows
    _repeat_labels(figure.axes, grid.ncols)
    for panel in [panel for panel in figure.axes if not panel.axison]:
        panel.remove()
    panels = figure.axes
    figure.set_size_inches(WIDTH, max(height, 1.9) * len(panels))
    stacked = GridSpec(len(panels), 1, figure=figure)
    for k, panel in enumerate(panels):
        panel.set_subplotspec(stacked[k])
        _thin_ticks(panel)
    for key in list(figure.legends):
        entries = zip(key.legend_handles, key.get_texts(), strict=True)
        labels = {text.get_text(): handle for handle, text in entries if handle is not None}
        key.remove()
        names = list(labels)
        middle = (len(names) + 1) // 2
        wide = sum(max(map(len, half), default=0) for half in (names[:middle], names[middle:])) > MOST_LETTERS
        place: Record = {
            "loc": "outside upper center",
            "ncols": 1 if wide else 2,
            "columnspacing": 1.0,
            "handletextpad": 0.4,
        }
        figure.legend(list(labels.values()), names, **place)
    figure.set_layout_engine("constrained")
