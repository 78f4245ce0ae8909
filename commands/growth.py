"""Verbs on growth: a patient's numbers, forecasts that are kept and judged, and what they rest on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commands.parameters import Date, Patient, PatientOrAll
from commands.running import NO_STORE, READS, WRITES, Request, Session
from commands.verbs import Group, group, verb


class _Growth(Group):
    """`growth P1` is `growth show P1`, as before there were groups."""

    default_verb = "show"


app = group("growth", "Growth: a patient's numbers and forecasts, and what forecasts rest on.", _Growth)
forecasts = group("forecasts", "Forecasts that are kept, to be judged at the visits that come.", within=app)


@verb(app, "show", READS, example="P1 --json")
def show(session: Session, patient: Patient) -> object:
    """A patient's volumes, growth rates, response and forecasts, with the mask versions that they come from."""
    from core.twin.trajectory import growth_report

    return growth_report(session.store, patient)


@verb(forecasts, "keep", WRITES, example="P1 --lesion L1 --weeks 12", old="keep-forecast")
def keep_forecast(
    session: Session,
    patient: Patient,
    lesion: Annotated[str, typer.Option(metavar="LESION", help="L1, L2 …")] = "total",
    weeks: Annotated[int, typer.Option(metavar="N", help="how far ahead")] = 12,
) -> object:
    """Keeps what is forecast now of a lesion or of the total, to be judged at the visits that come."""
    from core.twin.stored_forecasts import make_and_store_forecast

    return {"fit_id": make_and_store_forecast(session.store, patient, lesion, weeks, session.person)}


@verb(forecasts, "list", READS, example="P1", old="kept-forecasts")
def list_forecasts(session: Session, patient: PatientOrAll = None) -> object:
    """Kept forecasts of a patient or of all, what came of each, and how they did together."""
    from core.twin.stored_forecasts import prospective_performance, verify_forecasts

    found = verify_forecasts(session.store, patient)
    return {"record": prospective_performance(found), "forecasts": [one.to_json() for one in found]}


@verb(app, "learn", WRITES, old="learn-growth")
def learn(session: Session) -> object:
    """Learns growth from this installation's accepted masks, and puts it in force."""
    from core.twin.local_population import fit_local_population

    return fit_local_population(session.store, session.person)


@verb(app, "noise", WRITES)
def noise(session: Session) -> object:
    """Learns how far this installation's readers differ on one scan, and puts it in force."""
    from core.twin.own_noise import learn_own_noise

    return learn_own_noise(session.store, session.person)


@verb(app, "backtest", NO_STORE, example="lesions.csv --quick")
def backtest(
    request: Request,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="a CSV file with Pt_hashID, T_days, Lesion_vol")],
    quick: Annotated[bool, typer.Option("--quick", help="without fitting every growth law to every lesion")] = False,
) -> object:
    """Measures every forecast on a file of measured lesions (Pt_hashID, T_days, Lesion_vol)."""
    from core.growth.backtest import backtest_file

    return backtest_file(file, not quick, request.progress)


@verb(app, "selfgrade", WRITES, example="P1 2025-01-20 --json", old="selfgrade")
def selfgrade(session: Session, patient: Patient, date: Date) -> object:
    """Grades the measuring of change on simulated follow-ups of this accepted mask: bias, spread, smallest change seen.

    Minutes with nnU-Net. Changes and biases in percent of the volume, volumes in mm3, slices in mm, log_sd: no unit.
    The job keeps the result; no curve and no gate knows of it.
    """
    from core.jobs.jobs import run_inline
    from core.simulation.selfgrade_job import KIND

    request = {"patient_id": patient, "timepoint": date}
    return run_inline(session.store, KIND, request, session.person, session.request.progress)
