"""The part of the trajectory page about growth laws fitted to what was observed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import streamlit as st

from core.growth.curves import FLOOR_MM3, GROWTH_LAWS
from core.remembered.untyped import TableRow
from core.twin.trajectory import LawFit
from core.types import VolumePoint
from pages.ui.frame import resources
from pages.ui.shared import plotting
from pages.ui.shared.text import cells
from pages.ui.trajectory.fit_charts import fits_figure, law_title

PARAMETERS = "Parameters (95 % interval), or why not"
COLUMN_HELP = {
    "Determined": "Whether the points determine every parameter; a law that they do not is not drawn.",
    "AICc": "Akaike's criterion for few points: the less, the better the law describes them for its number of "
    "parameters. Less than 2 apart is no difference. It needs three points more than parameters.",
    "Scatter (%)": "How far the points lie about the curve: one standard deviation of ln(volume), in percent.",
    PARAMETERS: "Where the points leave something open, what that is: values of such a law mean nothing.",
}


def fits_tab(points: Sequence[VolumePoint], log: bool, made_from: str, doubts: Mapping[str, Sequence[str]]) -> None:
    """Each law's curve, how well it describes the points, and its parameters with intervals.

    Args:
        points: one lesion's, or the total's, by date; log: logarithmic volume axis.
        doubts: mask id -> what is doubted of a point.
    """
    st.caption(
        "How well each law describes what was observed. None of them forecasts better than the last value carried "
        "forward (docs/growth.md), so none is drawn beyond it, and none knows of treatment."
    )
    fits = resources.curve_fits(points)
    if any(fitted.identifiable for fitted in fits.values()):
        plotting.draw(
            partial(fits_figure, points, fits, log),
            f"fits-{points[0].lesion_id}-{log}",
            420,
            "Growth laws through the observed volumes, millilitres",
            made_from=made_from,
        )
    else:
        st.info("These points determine no law: too few, or too scattered.", icon=":material/block:")
    if any(p.volume_mm3 < FLOOR_MM3 for p in points):
        st.caption("Volumes below 5 mm diameter count as 5 mm diameter, also where the lesion was absent.")
    order = sorted(fits, key=lambda name: (not fits[name].identifiable, _or_inf(fits[name].aicc)))
    text, number = st.column_config.TextColumn, st.column_config.NumberColumn
    st.dataframe(
        cells([_row(name, fits[name]) for name in order]),
        hide_index=True,
        column_config={
            "Determined": text(help=COLUMN_HELP["Determined"], width=90),
            "AICc": number(format="%.1f", help=COLUMN_HELP["AICc"], width=70),
            "Scatter (%)": number(format="%.1f", help=COLUMN_HELP["Scatter (%)"], width=90),
            PARAMETERS: text(help=COLUMN_HELP[PARAMETERS], width=470),
        },
    )
    doubted = "; ".join(f"{p.timepoint}: {' '.join(doubts[p.mask_id])}" for p in points if doubts.get(p.mask_id))
    rows = [{**asdict(row), "doubted_points": doubted} for name in order for row in _parameter_rows(name, fits[name])]
    plotting.csv_button(rows, f"{points[0].lesion_id}_fits", "Parameters (CSV)")


def _row(name: str, fitted: LawFit) -> TableRow:
    determined = fitted.identifiable
    scatter = fitted.residual_log_sd
    told = "; ".join(_parameter(row) for row in _parameter_rows(name, fitted)) if determined else fitted.reason
    return {
        "Law": law_title(name),
        "Determined": "yes" if determined else "no",
        "AICc": fitted.aicc if determined and math.isfinite(fitted.aicc) else None,
        "Scatter (%)": 100.0 * math.expm1(scatter) if determined and math.isfinite(scatter) else None,
        PARAMETERS: told,
        "Equation": GROWTH_LAWS[name].equation,
    }


@dataclass(frozen=True)
class ParameterRow:
    """One parameter of a law, as the table writes it and the file has it."""

    law: str
    parameter: str
    unit: str
    value: float
    low95: float
    high95: float
    determined: bool
    aicc: float
    why_not: str


def _or_inf(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _parameter(row: ParameterRow) -> str:
    name = row.parameter.removesuffix("_mm3").removesuffix("_per_day").removesuffix("_mm3")
    low, value, high = (f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.3g}" for x in (row.low95, row.value, row.high95))
    return f"{name} {value} ({low} to {high})" + ("" if row.unit == "1" else f" {row.unit}")


def _parameter_rows(name: str, fitted: LawFit) -> list[ParameterRow]:
    """One row a parameter, as computed even where it is not determined; none where nothing could be fitted."""
    return [
        ParameterRow(
            name,
            parameter,
            GROWTH_LAWS[name].units[n],
            value,
            fitted.low95[n],
            fitted.high95[n],
            fitted.identifiable,
            fitted.aicc,
            fitted.reason,
        )
        for n, (parameter, value) in enumerate(fitted.parameters.items())
    ]
