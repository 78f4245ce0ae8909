"""Figures of several patients: waterfall and spider; the swimmer is in `swimmer_chart`. Values in, `Figure` out.

A response has one colour everywhere. Every figure names its rule and how many patients it is of, because a picture that
is passed on has lost its page.
"""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from core.remembered.untyped import JsonDict
from core.twin.outcomes import BEST_FIRST, PatientResponse, Visit, worst_first
from core.twin.response import RULES, Category, ResponseRule
from pages.ui.shared.charts import RESPONSE_COLOURS, TOTAL_COLOUR, layout, say
from pages.ui.shared.text import figure_text, millilitres

#: Change from baseline above which a bar is cut, percent.
CUT_PERCENT = 200.0
#: Top of the spider's axis at most, percent; lines go on beyond it.
SPIDER_TOP_PERCENT = 300.0
QUIET = "#777777"
_NAMED = 80
EMPTY = "No patient with two accepted timepoints."


def definition(category: Category, rule: ResponseRule) -> str:
    """What a category asks for under a rule, in a few words."""
    return {
        "baseline": "the first accepted timepoint",
        "CR": "nothing is left of the baseline lesions",
        "PR": f"{rule.pr_percent:+g} % of baseline or less",
        "SD": "neither PR nor PD",
        "PD": f"{rule.pd_percent:+g} % of the smallest volume before, or more; or a new lesion",
        "NE": "not evaluable: a lesion was not measured",
    }[category]


def count_words(outcomes: Sequence[PatientResponse], rule: ResponseRule) -> str:
    """The rule, how many patients, how many of them simulated."""
    simulated = sum(o.simulated for o in outcomes)
    patients = "1 patient" if len(outcomes) == 1 else f"{len(outcomes)} patients"
    return f"{rule.title} · {patients}" + (f", {simulated} simulated" if simulated else "")


def frame(figure: go.Figure, x: str, y: str, foot: str, height: int) -> go.Figure:
    """`charts.layout` with the legend above, where patients' names cannot meet it, and a line of small print below."""
    layout(figure, f"{x}<br><span style='font-size:11px'>{foot}</span>" if foot else x, y)
    figure.update_layout(height=height, legend={"yanchor": "bottom", "y": 1.01, "traceorder": "normal"})
    return figure


def clipped(text: str, letters: int) -> str:
    """The text, or where it is longer its two ends: patients of a trial often differ in their last letters only."""
    if len(text) <= letters:
        return text
    head = letters // 2
    return f"{text[:head]}…{text[-(letters - head - 1) :]}"


def _threshold(figure: go.Figure, percent: float, text: str, category: Category, right: bool) -> None:
    """A named line across the figure; its name stands where bars and lines leave room."""
    colour = RESPONSE_COLOURS[category]
    figure.add_hline(
        y=percent,
        line={"color": colour, "width": 1.5, "dash": "dashdot"},
        annotation_text=text,
        annotation_font={"color": colour, "size": 12},
        annotation_position=f"top {'right' if right else 'left'}",
    )


def _thresholds(figure: go.Figure, rule: ResponseRule, pr_right: bool, pd_right: bool) -> None:
    _threshold(figure, rule.pr_percent, f"PR {rule.pr_percent:+g} % of baseline", "PR", pr_right)
    # PD counts from the nadir: only where that is the baseline is it a height in this figure.
    _threshold(figure, rule.pd_percent, f"PD {rule.pd_percent:+g} % where baseline is the nadir", "PD", pd_right)


def _present(outcomes: Sequence[PatientResponse]) -> list[Category]:
    return [category for category in BEST_FIRST if any(o.best_response == category for o in outcomes)]


def waterfall_figure(outcomes: Sequence[PatientResponse], rule_name: str) -> go.Figure:
    """Best change of the target from baseline, a bar a patient, from the worst to the best.

    Args:
        outcomes: of one rule; those without a known change have no bar.
        rule_name: key in `RULES`; its PR and PD are drawn and named.

    Returns:
        The figure: coloured by best response, hatched where the change is within noise, bars above +200 % cut with
        their number written; for no bars an empty one that says so.
    """
    rule = RULES[rule_name]
    shown = [o for o in worst_first(outcomes) if o.best is not None]
    figure = go.Figure()
    if not shown:
        say(figure, EMPTY if not outcomes else "No patient's change from baseline is known.")
        return frame(figure, "Patients", "Best change of volume from baseline (%)", "", 420)
    few, changes = len(shown) <= 20, [_change(o.best) for o in shown]
    for category in _present(shown):
        mine = [n for n, o in enumerate(shown) if o.best_response == category]
        _legend_bar(figure, f"best {category}", RESPONSE_COLOURS[category], "", category)
        figure.add_trace(
            go.Bar(
                x=mine,
                y=[min(changes[n], CUT_PERCENT) for n in mine],
                name=category,
                width=0.8,
                showlegend=False,
                legendgroup=category,
                marker={
                    "color": RESPONSE_COLOURS[category],
                    "line": {"color": RESPONSE_COLOURS[category], "width": 1.5},
                    "pattern": {"shape": ["/" if _noise(shown[n]) else "" for n in mine], "solidity": 0.5},
                },
                text=[_bar_text(changes[n], few) for n in mine],
                textposition="outside",
                textangle=0 if few else -90,
                constraintext="none",
                cliponaxis=False,
                hovertext=[_best_hover(shown[n], rule) for n in mine],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )
    if any(_noise(o) for o in shown):
        _legend_bar(figure, "hatched: within noise", QUIET, "/", "noise")
    frame(
        figure,
        "Patients, the greatest growth first",
        "Best change of volume from baseline (%)",
        count_words(outcomes, rule),
        410 if _level(shown) else 450,
    )
    _thresholds(figure, rule, pr_right=False, pd_right=True)
    figure.add_hline(y=0, line={"color": QUIET, "width": 1})
    room = max(0.0, (8 - len(shown)) / 2)  # three bars are not drawn as wide as the page
    figure.update_layout(barmode="overlay", bargap=0.2)
    figure.update_xaxes(range=[-0.6 - room, len(shown) - 0.4 + room], showgrid=False, zeroline=False, **_names(shown))
    top, bottom = max(min(max(changes), CUT_PERCENT), rule.pd_percent), min(*changes, rule.pr_percent)
    # The name of a cut bar is written upright above it.
    figure.update_yaxes(range=[1.14 * bottom, (1.14 if few else 1.5) * top], ticksuffix=" %")
    if max(changes) > CUT_PERCENT:  # no height is to be read where bars are cut
        heights = range(-100, int(CUT_PERCENT) + 1, 50)
        figure.update_yaxes(tickvals=list(heights), ticktext=[f"{height} %" for height in heights])
    return figure


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


def _names(shown: Sequence[PatientResponse]) -> JsonDict:
    """Names under bars: level where they fit, else upright; none where they would lie over each other."""
    names = [figure_text(clipped(o.patient_id, 18)) for o in shown]
    if len(names) > _NAMED:
        return {"showticklabels": False}
    return {
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": names,
        "automargin": True,
        "tickangle": 0 if _level(shown) else -90,
        "tickfont": {"size": 12 if len(names) <= 40 else 10},
    }


def _best_hover(outcome: PatientResponse, rule: ResponseRule) -> str:
    best, verdict = outcome.best, outcome.verdict
    if best is None or verdict is None:
        return figure_text(outcome.patient_id)
    category = outcome.best_response
    lines = [
        f"<b>{figure_text(outcome.patient_id)}</b>{' · simulated' if outcome.simulated else ''}",
        f"{_change(best):+z.1f} % on {figure_text(best.timepoint)} (day {best.days:.0f}), {best.category} there",
        f"{millilitres(outcome.visits[0].volume_mm3)} → {millilitres(best.volume_mm3)} mL: {verdict.verdict}",
        f"by {figure_text(verdict.rule)}",
        f"best response {category}: {definition(category, rule)}",
    ]
    if outcome.progression is not None:
        lines.append(f"progression on day {outcome.progression.days:.0f}; nothing later counts as best")
    if outcome.doubt:
        lines.append(figure_text(outcome.doubt))
    return "<br>".join(lines)


def spider_figure(outcomes: Sequence[PatientResponse], rule_name: str) -> go.Figure:
    """Change of the target from baseline over time, a line a patient in the colour of its best response.

    Args:
        outcomes: of one rule; a timepoint whose change is not known is a gap in the line.
        rule_name: key in `RULES`; its PR and PD are drawn and named.

    Returns:
        The figure; a triangle at the first progression, a star where a new lesion is first seen, names at the ends of
        up to 20 lines. Lines that leave it at the top are said to. For no lines an empty one that says so.
    """
    rule = RULES[rule_name]
    shown = [o for o in outcomes if o.best is not None]
    x, y = "Days since baseline, the first accepted timepoint", "Change of volume from baseline (%)"
    if not shown:
        say(figure := go.Figure(), EMPTY if not outcomes else "No patient's change from baseline is known.")
        return frame(figure, x, y, "", 460)
    figure = go.Figure()
    for category in _present(shown):
        for n, o in enumerate([o for o in shown if o.best_response == category]):
            figure.add_trace(
                go.Scatter(
                    x=[v.days for v in o.visits],
                    y=[v.change_percent for v in o.visits],
                    mode="lines+markers",
                    name=f"best {category}",
                    legendgroup=category,
                    showlegend=n == 0,
                    connectgaps=False,
                    line={"color": RESPONSE_COLOURS[category], "width": 2 if len(shown) <= 20 else 1.2},
                    marker={
                        "symbol": [_spider_symbol(o, v) for v in o.visits],
                        "opacity": 1,
                        "size": [7 if _spider_symbol(o, v) == "circle" else 12 for v in o.visits],
                        "color": [
                            RESPONSE_COLOURS[category if _spider_symbol(o, v) == "circle" else "PD"] for v in o.visits
                        ],
                    },
                    text=[visit_hover(o, v, rule) for v in o.visits],
                    hovertemplate="%{text}<extra></extra>",
                )
            )
    for symbol, name in (("triangle-up", "first progression"), ("star", "new lesion first seen")):
        if any(_spider_symbol(o, v) == symbol for o in shown for v in o.visits):
            marker = {"symbol": symbol, "size": 12, "color": RESPONSE_COLOURS["PD"]}
            figure.add_trace(go.Scatter(x=[None], y=[None], mode="markers", name=name, marker=marker))
    changes = [v.change_percent for o in shown for v in o.visits if v.change_percent is not None]
    top = min(max(1.1 * max(changes), 1.3 * rule.pd_percent), SPIDER_TOP_PERCENT)
    bottom, last = 1.12 * min(*changes, rule.pr_percent), max(o.days_observed for o in shown)
    beyond = sum(any((v.change_percent or 0.0) > top for v in o.visits) for o in shown)
    foot = count_words(outcomes, rule) + (f" · {beyond} beyond {top:+z.0f} %, not drawn in full" if beyond else "")
    frame(figure, x, y, foot, 430)
    named = len(shown) <= 20  # lines begin on the left, names stand on the right: the thresholds' where there is less
    _thresholds(figure, rule, pr_right=not named, pd_right=not named)
    figure.add_hline(y=0, line={"color": QUIET, "width": 1})
    figure.update_xaxes(range=[-0.02 * last, 1.13 * last], zeroline=False)
    figure.update_yaxes(range=[bottom, top], ticksuffix=" %", zeroline=False)
    if named:
        _end_names(figure, shown, (last, bottom, top), (0.0, rule.pr_percent, rule.pd_percent))
    return figure


def _spider_symbol(outcome: PatientResponse, visit: Visit) -> str:
    """A star where a new lesion is first seen, a triangle at the first progression by growth, else a dot."""
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
            text=figure_text(clipped(o.patient_id, 14)),
            x=days,
            y=change,
            xanchor="left",
            xshift=8,
            yshift=level - up,
            showarrow=False,
            font={"size": 11, "color": TOTAL_COLOUR},
        )


def visit_hover(outcome: PatientResponse, visit: Visit, rule: ResponseRule) -> str:
    """Patient, date, volume, change and what its category asks for."""
    change = "change not known" if visit.change_percent is None else f"{visit.change_percent:+z.1f} %"
    volume = "not measured" if visit.volume_mm3 != visit.volume_mm3 else f"{millilitres(visit.volume_mm3)} mL"
    return "<br>".join(
        [
            f"<b>{figure_text(outcome.patient_id)}</b> · {figure_text(visit.timepoint)} (day {visit.days:.0f})"
            + (" · simulated" if outcome.simulated else ""),
            f"{volume}, {change} from baseline",
            f"{visit.category}: {definition(visit.category, rule)}",
            *([f"new: {figure_text(', '.join(visit.appeared))}"] if visit.appeared else []),
            f"mask version {visit.version}",
        ]
    )
