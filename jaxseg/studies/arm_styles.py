"""One look per arm for all figures: colour by one axis, line style by the others."""

from collections.abc import Mapping
from typing import NamedTuple

from jaxseg.report.plot import COLOURS, DASHES, MARKERS, Style
from jaxseg.studies.results import Results

# More lines than this in one panel cannot be told apart: the arms are then spread over panels.
ARMS_PER_PANEL = 8
# More panels than this are no picture any more: those nearest to the first arm are kept.
MAX_PANELS = 12


class Look(NamedTuple):
    """How a figure tells its arms apart: (title, arms) of its panels, styles and the legend."""

    panels: list[tuple[str, list[str]]]
    styles: dict[str, Style]
    legend: dict[str, Style]
    title: str | None = None


def grid_look(results: Results) -> Look:
    """The look of any grid: colour by one axis, line style or panel by the others."""
    return Look(facets(results), arm_styles(results), *legend_entries(results))


def colour_axis(results: Results) -> str | None:
    """The axis told by colour: the first one, unless only a later one fits the palette."""
    axes = list(results.axes)
    return next(
        (a for a in axes if len(results.axes[a]) <= len(COLOURS)), axes[0] if axes else None
    )


def arm_styles(results: Results) -> dict[str, Style]:
    """Style of every arm. Arms alike in the colour axis share a colour, the others a line style.

    Where panels already tell the other axes apart, all lines are solid.
    """
    hues = list(dict.fromkeys(_hue(results, arm) for arm in results.arms))
    rests = list(dict.fromkeys(rest_of(results, arm) for arm in results.arms))
    apart = len(facets(results)) > 1
    styles = {}
    for arm in results.arms:
        turn, hue = divmod(hues.index(_hue(results, arm)), len(COLOURS))
        # A colour used a second time gets another line style.
        line = turn if apart else turn + rests.index(rest_of(results, arm))
        styles[arm] = Style(COLOURS[hue], DASHES[line % len(DASHES)], MARKERS[line % len(MARKERS)])
    return styles


def legend_entries(results: Results) -> tuple[dict[str, Style], str | None]:
    """Names and styles of the legend, and its title: arms, or colours where panels do the rest."""
    styles = arm_styles(results)
    if len(facets(results)) == 1:
        named = {arm or "the one arm": style for arm, style in styles.items()}
        return named, " / ".join(results.axes) or None
    return {_hue(results, arm): style for arm, style in styles.items()}, colour_axis(results)


def _hue(results: Results, arm: str) -> str:
    axis = colour_axis(results)
    return results.settings[arm][axis] if axis else ""


def rest_of(results: Results, arm: str) -> str:
    """The arm's values on every axis but the coloured one, joined by `/`."""
    axis = colour_axis(results)
    return "/".join(v for key, v in results.settings[arm].items() if key != axis)


def facets(results: Results) -> list[tuple[str, list[str]]]:
    """(title, arms) of the panels that keep lines apart: one panel while all arms fit in it.

    More than MAX_PANELS: the first, and those that are one setting away from it.
    """
    if len(results.arms) <= ARMS_PER_PANEL:
        return [("", results.arms)]
    panels: dict[str, list[str]] = {}
    for arm in results.arms:
        panels.setdefault(rest_of(results, arm), []).append(arm)
    # One axis only: nothing to spread by, so equal runs of arms share a panel.
    if len(panels) == 1:
        starts = range(0, len(results.arms), ARMS_PER_PANEL)[:MAX_PANELS]
        return [("", results.arms[i : i + ARMS_PER_PANEL]) for i in starts]
    if len(panels) > MAX_PANELS:
        hue, first = colour_axis(results), results.settings[results.arms[0]]
        near = set(settings_apart(results, first, at_most=1, ignore=hue))
        panels = {title: arms for title, arms in panels.items() if near & set(arms)}
    return list(panels.items())[:MAX_PANELS]


def settings_apart(
    results: Results, first: Mapping[str, str], at_most: int, ignore: str | None = None
) -> list[str]:
    """The arms that differ from the settings `first` in at most so many axes but `ignore`."""
    return [
        arm
        for arm in results.arms
        if sum(results.settings[arm][k] != v for k, v in first.items() if k != ignore) <= at_most
    ]


def panels_told(results: Results) -> str:
    """A sentence for the caption where panels leave arms out; else empty."""
    kept = sum(len(arms) for _, arms in facets(results))
    if kept == len(results.arms):
        return ""
    return f" {kept} of {len(results.arms)} arms: the first and what is near to it."
