"""Figures of several patients: waterfall and spider; the swimmer is in `swimmer_chart`. Values in, `Figure` out.

A response has one colour everywhere. Every figure names its criteria and how many patients it is of, because a picture
that is passed on has lost its page. Patients who are told by different criteria stand apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from core.remembered.untyped import JsonDict
from core.twin.criteria.table import ABOUT
from core.twin.outcome_rows import by_criterion, worst_first
from core.twin.outcomes import BEST_FIRST, PatientResponse, Visit
from pages.ui.cohort.cohort_words import (
    COLOURS,
    DOUBT_COLOUR,
    DOUBTED,
    EMPTY,
    NO_CHANGE,
    clipped,
    count_words,
    doubt_lines,
    head_line,
    name_of,
    value_words,
    visit_hover,
    wrapped,
)
from pages.ui.shared.charts import RESPONSE_COLOURS, TOTAL_COLOUR, layout, say
from pages.ui.shared.text import figure_text

#: Change from baseline above which a bar is cut, percent.
CUT_PERCENT = 200.0
#: Top of the spider's axis at most, percent; lines go on beyond it.
SPIDER_TOP_PERCENT = 300.0
QUIET = "#777777"
DAYS_AXIS = "Days since the baseline of the protocol"
_NAMED = 80
#: A line's pattern by the place of its criterion: that of most patients is drawn through.
_DASHES = ("solid", "dash", "dot", "dashdot")


def frame(figure: go.Figure, x: str, y: str, foot: str, height: int) -> go.Figure:
    """`charts.layout` with the legend above, where patients' names cannot meet it, and a line of small print below."""
    layout(figure, f"{x}<br><span style='font-size:11px'>{foot}</span>" if foot else x, y)
    figure.update_layout(height=height, legend={"yanchor": "bottom", "y": 1.01, "traceorder": "normal"})
    return figure


def _axis_words(start: str, groups: Sequence[str]) -> str:
    """The axis with its measure; of several measures that it is each criterion's own."""
    measures = {ABOUT[name].measure for name in groups} - {""}
    of = f"of the {measures.pop()} " if len(measures) == 1 else "of what each criterion measures "
    return f"{start} {of if groups else ''}(%)"


def _threshold(
    figure: go.Figure, percent: float, text: str, category: str, right: bool, across: tuple[float, float] | None
) -> None:
    """A named line across the figure, or a part of it; its name stands where bars and lines leave room."""
    colour = RESPONSE_COLOURS[category]
    line = {"color": colour, "width": 1.5, "dash": "dashdot"}
    font, place = {"color": colour, "size": 12}, f"top {'right' if right else 'left'}"
    if across is None:
        figure.add_hline(y=percent, line=line, annotation_text=text, annotation_font=font, annotation_position=place)
        return
    figure.add_shape(type="line", x0=across[0], x1=across[1], y0=percent, y1=percent, line=line)
    side = "right" if right else "left"
    figure.add_annotation(
        text=text.partition(" of ")[0].partition(" where ")[0],
        x=across[1] if right else across[0],
        y=percent,
        xanchor=side,
        yanchor="bottom",
        showarrow=False,
        font=font,
    )


def _thresholds(
    figure: go.Figure, criterion: str, pr_right: bool, pd_right: bool, across: tuple[float, float] | None = None
) -> None:
    about = ABOUT[criterion]
    if about.pr_percent is None or about.pd_percent is None:
        return
    _threshold(figure, about.pr_percent, f"PR {about.pr_percent:+g} % of baseline", "PR", pr_right, across)
    # PD counts from the nadir: only where that is the baseline is it a height in this figure.
    words = f"PD {about.pd_percent:+g} % where baseline is the nadir"
    _threshold(figure, about.pd_percent, words, "PD", pd_right, across)


def _present(outcomes: Sequence[PatientResponse]) -> list[str]:
    return [category for category in BEST_FIRST if any(o.best_response == category for o in outcomes)]


def waterfall_figure(outcomes: Sequence[PatientResponse]) -> go.Figure:
    """Best change from baseline of what the criterion measures, a bar a patient, from the worst to the best.

    Patients of one criterion stand together, with its PR and PD drawn and named; those of another beside them. One
    without a known change has a cross at the end of its group and no bar.

    Returns:
        The figure: coloured by best response, hatched where the targets' volumes changed within noise, bars above +200
        % cut with their number written; for nobody an empty one that says so.
    """
    groups = by_criterion(outcomes)
    placed = _placed(groups)
    shown = [(x, o) for x, o in placed if o.best is not None]
    figure, y = go.Figure(), _axis_words("Best change", list(groups))
    if not placed:
        say(figure, EMPTY)
        return frame(figure, "Patients", y, "", 420)
    few, changes = len(placed) <= 20, [_change(o.best) for _, o in shown]
    _draw_bars(figure, shown, few)
    _draw_unknown(figure, [(x, o) for x, o in placed if o.best is None])
    _draw_doubted(figure, shown)
    if not shown:
        say(figure, NO_CHANGE, y=1.0)
    everybody = [o for _, o in placed]
    frame(figure, "Patients, the greatest growth first", y, count_words(outcomes), 410 if _level(everybody) else 450)
    tops, bottoms = [CUT_PERCENT / 10], [-CUT_PERCENT / 10]
    for name, group in groups.items():
        there = [x for x, o in placed if o.criterion == name]
        across = None if len(groups) == 1 else (there[0] - 0.5, there[0] + len(group) - 0.5)
        _thresholds(figure, name, pr_right=False, pd_right=True, across=across)
        tops.append(ABOUT[name].pd_percent or 0.0)
        bottoms.append(ABOUT[name].pr_percent or 0.0)
        if across is not None:
            _name_group(figure, name, across)
    figure.add_hline(y=0, line={"color": QUIET, "width": 1})
    room, last = max(0.0, (8 - len(placed)) / 2), placed[-1][0]  # three bars are not drawn as wide as the page
    figure.update_layout(barmode="overlay", bargap=0.2)
    figure.update_xaxes(range=[-0.6 - room, last + 0.6 + room], showgrid=False, zeroline=False, **_names(placed))
    top, bottom = max([*(min(change, CUT_PERCENT) for change in changes), *tops]), min([*changes, *bottoms])
    # The name of a cut bar is written upright above it, and that of a group at the top.
    above = 1.14 if few and len(groups) == 1 else 1.5
    figure.update_yaxes(range=[1.14 * bottom, above * top], ticksuffix=" %")
    if max(changes, default=0.0) > CUT_PERCENT:  # no height is to be read where bars are cut
        heights = range(-100, int(CUT_PERCENT) + 1, 50)
        figure.update_yaxes(tickvals=list(heights), ticktext=[f"{height} %" for height in heights])
    return figure


def _placed(groups: dict[str, list[PatientResponse]]) -> list[tuple[float, PatientResponse]]:
    """Where each patient stands: the groups one after the other, with room for one between them."""
    placed: list[tuple[float, PatientResponse]] = []
    for number, group in enumerate(groups.values()):
        placed += [(float(len(placed) + n + number), o) for n, o in enumerate(worst_first(group))]
    return placed


def _draw_bars(figure: go.Figure, shown: Sequence[tuple[float, PatientResponse]], few: bool) -> None:
    for category in _present([o for _, o in shown]):
        mine = [(x, o, _change(o.best)) for x, o in shown if o.best_response == category]
        _legend_bar(figure, f"best {category}", COLOURS[category], "", category)
        figure.add_trace(
            go.Bar(
                x=[x for x, _, _ in mine],
                y=[min(change, CUT_PERCENT) for _, _, change in mine],
                name=category,
                width=0.8,
                showlegend=False,
                legendgroup=category,
                marker={
                    "color": COLOURS[category],
                    "line": {"color": COLOURS[category], "width": 1.5},
                    "pattern": {"shape": ["/" if _noise(o) else "" for _, o, _ in mine], "solidity": 0.5},
                },
                text=[_bar_text(change, few) for _, _, change in mine],
                textposition="outside",
                textangle=0 if few else -90,
                constraintext="none",
                cliponaxis=False,
                hovertext=[_best_hover(o) for _, o, _ in mine],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )
    if any(_noise(o) for _, o in shown):
        _legend_bar(figure, "hatched: volumes within noise", QUIET, "/", "noise")


def _draw_unknown(figure: go.Figure, unknown: Sequence[tuple[float, PatientResponse]]) -> None:
    """Patients without a known change: a cross where the bar would begin, with the best response beside it."""
    if unknown:
        figure.add_trace(
            go.Scatter(
                x=[x for x, _ in unknown],
                y=[0.0] * len(unknown),
                mode="markers+text",
                name="no change known",
                marker={"symbol": "x", "color": [COLOURS[o.best_response] for _, o in unknown], "size": 11},
                text=[o.best_response if len(unknown) <= 20 else "" for _, o in unknown],
                textposition="top center",
                hovertext=[
                    "<br>".join([head_line(o), f"best response {o.best_response}: {o.why_no_best_change}"])
                    for _, o in unknown
                ],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )


def _draw_doubted(figure: go.Figure, shown: Sequence[tuple[float, PatientResponse]]) -> None:
    """A mark at the foot of each bar whose baseline or best visit is doubted; its hover is the bar's."""
    doubted = [(x, o) for x, o in shown if o.best is not None and (o.best.doubts or o.visits[0].doubts)]
    if doubted:
        figure.add_trace(
            go.Scatter(
                x=[x for x, _ in doubted],
                y=[0.0] * len(doubted),
                mode="markers",
                name=DOUBTED,
                marker={"symbol": "circle-open", "size": 12, "color": DOUBT_COLOUR, "line": {"width": 2}},
                hovertext=[_best_hover(o) for _, o in doubted],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )


def _name_group(figure: go.Figure, criterion: str, across: tuple[float, float]) -> None:
    figure.add_annotation(
        text=f"<b>{figure_text(clipped(ABOUT[criterion].title, 30))}</b>",
        x=sum(across) / 2,
        y=1.0,
        yref="paper",
        yanchor="top",
        showarrow=False,
        font={"size": 12, "color": TOTAL_COLOUR},
        hovertext=ABOUT[criterion].measure,
    )


def _legend_bar(figure: go.Figure, name: str, colour: str, pattern: str, group: str) -> None:
    """A line of the legend by itself: plotly would draw it hatched where the first bar is."""
    marker = {"color": colour, "pattern": {"shape": pattern, "solidity": 0.5}}
    figure.add_trace(go.Bar(x=[None], y=[None], name=name, marker=marker, legendgroup=group))


def _change(visit: Visit | None) -> float:
    return 0.0 if visit is None else visit.change_percent or 0.0


def _noise(outcome: PatientResponse) -> bool:
    return outcome.verdict is not None and outcome.verdict.verdict == "within noise"


def _bar_text(change: float, few: bool) -> str:
    if change > CUT_PERCENT:
        return f"▲ {change:+z,.0f} %"
    return f"{change:+z.0f} %" if few else ""


def _level(shown: Sequence[PatientResponse]) -> bool:
    """Whether the names fit side by side under the bars of a page 1280 wide."""
    return len(shown) * max(len(o.patient_id) for o in shown) <= 80


def _names(placed: Sequence[tuple[float, PatientResponse]]) -> JsonDict:
    """Names under bars: level where they fit, else upright; none where they would lie over each other."""
    if len(placed) > _NAMED:
        return {"showticklabels": False}
    return {
        "tickmode": "array",
        "tickvals": [x for x, _ in placed],
        "ticktext": [name_of(o, 18) for _, o in placed],
        "automargin": True,
        "tickangle": 0 if _level([o for _, o in placed]) else -90,
        "tickfont": {"size": 12 if len(placed) <= 40 else 10},
    }


def _best_hover(outcome: PatientResponse) -> str:
    best, verdict = outcome.best, outcome.verdict
    if best is None:
        return head_line(outcome)
    told = "not known whether it is real" if verdict is None else f"{verdict.verdict} by {figure_text(verdict.rule)}"
    lines = [
        head_line(outcome),
        f"{_change(best):+z.1f} % on {figure_text(best.timepoint)} (day {best.days:.0f}), {best.call} there",
        f"{value_words(outcome.criterion, outcome.visits[0].value)} at baseline, "
        f"{value_words(outcome.criterion, best.value)} then",
        f"change of the targets' volumes: {told}",
        f"best response {outcome.best_response}",
    ]
    if outcome.progression is not None:
        lines.append(f"progression on day {outcome.progression.days:.0f}; nothing later counts as best")
        lines += wrapped(outcome.progression.sentence)
    lines += doubt_lines(best)
    lines += [f"baseline: {line}" for line in doubt_lines(outcome.visits[0])]
    return "<br>".join([*lines, *wrapped(outcome.doubt)])


def spider_figure(outcomes: Sequence[PatientResponse]) -> go.Figure:
    """Change from baseline over time of what the criterion measures, a line a patient in the colour of its best
    response; lines of the criteria of fewer patients are dashed.

    Returns:
        The figure, with PR and PD of the criterion of most patients; a triangle at the progression, a star where a new
        lesion is first seen, names at the ends of up to 20 lines. Who has no known change, and lines that leave it at
        the top, are counted below. For no lines an empty one that says so.
    """
    shown, groups = [o for o in outcomes if o.best is not None], by_criterion(outcomes)
    figure, y = go.Figure(), _axis_words("Change from baseline", list(groups))
    if not shown:
        say(figure, EMPTY if not outcomes else NO_CHANGE)
        return frame(figure, DAYS_AXIS, y, "", 460)
    main = next(iter(groups))
    dashes = {name: _DASHES[min(n, len(_DASHES) - 1)] for n, name in enumerate(groups)}
    for category in _present(shown):
        for n, o in enumerate([o for o in shown if o.best_response == category]):
            figure.add_trace(_line(o, category, n == 0, len(shown) <= 20, dashes[o.criterion]))
    for symbol, name in (("triangle-up", "progression"), ("star", "new lesion first seen")):
        if any(_spider_symbol(o, v) == symbol for o in shown for v in o.visits):
            marker = {"symbol": symbol, "size": 12, "color": RESPONSE_COLOURS["PD"]}
            figure.add_trace(go.Scatter(x=[None], y=[None], mode="markers", name=name, marker=marker))
    _ring_doubted(figure, shown)
    for name in list(groups)[1:]:
        line = {"color": QUIET, "dash": dashes[name]}
        figure.add_trace(go.Scatter(x=[None], y=[None], mode="lines", name=ABOUT[name].title, line=line))
    limits = [x for x in (ABOUT[main].pr_percent, ABOUT[main].pd_percent) if x is not None]
    changes = [*(v.change_percent for o in shown for v in o.visits if v.change_percent is not None), *limits]
    top = min(max(1.1 * max(changes), 1.3 * max(limits, default=0.0), 10.0), SPIDER_TOP_PERCENT)
    bottom, last = min(1.12 * min(changes), -10.0), max(o.days_observed for o in shown) or 1.0
    beyond = sum(any((v.change_percent or 0.0) > top for v in o.visits) for o in shown)
    foot = count_words(outcomes) + (f" · {beyond} beyond {top:+z.0f} %, not drawn in full" if beyond else "")
    frame(figure, DAYS_AXIS, y, foot, 430)
    named = len(shown) <= 20  # lines begin on the left, names stand on the right: the thresholds' where there is less
    if len(groups) == 1:
        _thresholds(figure, main, pr_right=not named, pd_right=not named)
    figure.add_hline(y=0, line={"color": QUIET, "width": 1})
    figure.update_xaxes(range=[-0.02 * last, 1.13 * last], zeroline=False)
    figure.update_yaxes(range=[bottom, top], ticksuffix=" %", zeroline=False)
    if named:
        _end_names(figure, shown, (last, bottom, top), (0.0, *limits))
    return figure


def _ring_doubted(figure: go.Figure, shown: Sequence[PatientResponse]) -> None:
    """A ring about each doubted point; the point's own hover says why."""
    doubted = [v for o in shown for v in o.doubted if v.change_percent is not None]
    if doubted:
        figure.add_trace(
            go.Scatter(
                x=[v.days for v in doubted],
                y=[v.change_percent for v in doubted],
                mode="markers",
                name=DOUBTED,
                marker={"symbol": "circle-open", "size": 17, "color": DOUBT_COLOUR, "line": {"width": 2}},
                hoverinfo="skip",
            )
        )


def _line(o: PatientResponse, category: str, first: bool, few: bool, dash: str) -> go.Scatter:
    symbols = [_spider_symbol(o, v) for v in o.visits]
    return go.Scatter(
        x=[v.days for v in o.visits],
        y=[v.change_percent for v in o.visits],
        mode="lines+markers",
        name=f"best {category}",
        legendgroup=category,
        showlegend=first,
        connectgaps=False,
        line={"color": COLOURS[category], "width": 2 if few else 1.2, "dash": dash},
        marker={
            "symbol": symbols,
            "opacity": 1,
            "size": [7 if symbol == "circle" else 12 for symbol in symbols],
            "color": [COLOURS[category if symbol == "circle" else "PD"] for symbol in symbols],
        },
        text=[visit_hover(o, v) for v in o.visits],
        hovertemplate="%{text}<extra></extra>",
    )


def _spider_symbol(outcome: PatientResponse, visit: Visit) -> str:
    """A star where a new lesion is first seen, a triangle at the progression by growth, else a dot."""
    return "star" if visit.appeared else "triangle-up" if visit is outcome.progression else "circle"


def _end_names(
    figure: go.Figure, shown: Sequence[PatientResponse], box: tuple[float, float, float], lines: Sequence[float]
) -> None:
    """The patient's name behind its last point, moved up as far as another one's or a level line would lie on it.

    Args:
        box: last day, lowest and highest percent drawn; lines: percent.
    """
    last, bottom, top = box
    ends = []
    for o in shown:
        end = next(v for v in reversed(o.visits) if v.change_percent is not None)
        ends.append((min(_change(end), top), end.days, o))
    placed: list[tuple[float, float]] = []
    # In pixels of a plot of usual size: a name is 90 wide and 15 high.
    height = 320 / (top - bottom)
    levels = [height * (line - bottom) for line in lines]
    for change, days, o in sorted(ends, key=lambda end: end[:2]):
        across, up = 900 * days / (1.15 * last), height * (change - bottom)
        level = up
        while any(abs(level - y) < 8 for y in levels) or any(
            abs(across - x) < 90 and abs(level - y) < 15 for x, y in placed
        ):
            level += 1
        placed.append((across, level))
        figure.add_annotation(
            text=name_of(o, 14),
            x=days,
            y=change,
            xanchor="left",
            xshift=8,
            yshift=level - up,
            showarrow=False,
            font={"size": 11, "color": TOTAL_COLOUR},
        )
