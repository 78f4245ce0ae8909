"""The evidence panel without anybody's name: what stays is a number, or a word of a list that stands here.

Nothing is searched for names and cut out: every text is either left out or replaced by an entry of a closed list, so
that no id, however short or ordinary, can come through. Days and volumes stay exact; whoever holds the record itself
can find the patients again by them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import get_args

from core.evidence.cases import CoursePoint, LesionCase, SimilarLesions, Therapy
from core.evidence.outcome import Begun, LesionOutcome, TherapyBegun
from core.evidence.panel import EvidencePanel, LesionFacts, Names, Neighbour, Sources, letters_of, own_panel, row_names
from core.remembered.vocabulary import MaskMethod
from core.review.body_sites import SITES, read_site
from core.twin.criteria.table import CRITERIA
from core.twin.outcomes import BEST_FIRST
from core.twin.timeline_cells import CELL_STATES
from core.types import MODALITIES, Verdict

#: Stands where there is a text that is not told.
WITHHELD = "withheld"
ASKED = "patient asked about"
THERAPIES: tuple[Therapy, ...] = get_args(Therapy)
NO_CLASS: Therapy = "drug of no known class"
BEGUN: tuple[Begun, ...] = (*THERAPIES, "surgery")
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
METHODS = tuple(method.value for method in MaskMethod)
DEATH, END = "death", "end of follow-up"
ASSUMED_RULE, NAMED_RULE = "a rule that rests on an assumption", "a rule of the record"
LEARNED = "a learned metric"
PSEUDONYM_LIMIT = (
    "Names, patients' dates, data sets, hashes and free text are left out; days and volumes are exact, and whoever "
    "holds the record can find the patients again by them."
)


def panel_of(
    similar: SimilarLesions, query: LesionCase | None, names: Names = "own", made_at: str = ""
) -> EvidencePanel:
    """The panel of an answer.

    Args:
        query: the case of the lesion asked about; None where it has none, and then its sources are not known.
        names: "own", or "pseudonyms" for a panel that names nobody.
        made_at: UTC, RFC 3339; now if it is "".
    """
    panel = own_panel(similar, query, made_at)
    return panel if names == "own" else with_pseudonyms(panel)


def with_pseudonyms(panel: EvidencePanel) -> EvidencePanel:
    """The panel without names, dates, data sets, people, ids, hashes and free text.

    Patients become "patient A", "patient B", …, the one asked about "patient asked about"; dates are left out, and days
    relative to the compared visit stay. Of an organ stays what `core.review.body_sites` reads in full; of drugs their
    class; of filters how many there are; of doubts how many. A panel that says it has no names is not taken at its
    word: all is done again, and changes nothing where it was done.
    """
    asked = panel.question.patient
    patients = [one.lesion.patient for one in panel.neighbours]
    names = {patient: f"patient {letters_of(at)}" for at, patient in enumerate(dict.fromkeys(patients))}
    names |= {asked: ASKED}
    told = panel.limits if panel.names == "pseudonyms" else (*panel.limits, PSEUDONYM_LIMIT)
    return replace(
        panel,
        names="pseudonyms",
        question=_nameless(panel.question, ASKED),
        neighbours=tuple(
            _neighbour(row, one, names[one.lesion.patient])
            for row, one in zip(row_names(patients), panel.neighbours, strict=True)
        ),
        tally=replace(panel.tally, responses=tuple((_of(BEST_FIRST, name), n) for name, n in panel.tally.responses)),
        metric=LEARNED if panel.metric else "",
        filters=(WITHHELD,) * len(panel.filters),
        limits=told,
    )


def organ_words(organ: str) -> str:
    """An organ in words of a list: "lung, left"; "withheld" where some of its words are in none, "" for none."""
    site = read_site(organ)
    if not organ.strip():
        return ""
    if not site.is_read:
        return WITHHELD
    names = ", ".join(name for name in SITES if name in site.names)
    return f"{names}, {site.side}" if site.side else names


def _of(words: Collection[str], text: str) -> str:
    """The text if it is in the list, "" for none, else that it is withheld."""
    return text if text in words or not text else WITHHELD


def _hidden(text: str) -> str:
    return WITHHELD if text else ""


def _nameless(lesion: LesionFacts, patient: str) -> LesionFacts:
    return replace(
        lesion,
        patient=patient,
        dataset=_hidden(lesion.dataset),
        timepoint="",
        lesion_id="",
        modality=_of(MODALITIES, lesion.modality.partition(" ")[0]),
        organ=organ_words(lesion.organ),
        therapies=tuple(one if one in THERAPIES else NO_CLASS for one in lesion.therapies),
        drugs=(),
        sources=None if lesion.sources is None else _sourceless(lesion.sources),
    )


def _sourceless(sources: Sources) -> Sources:
    return Sources(
        mask_id=WITHHELD,
        version=sources.version,
        mask_sha256=WITHHELD,
        scan_sha256=WITHHELD,
        method=_of(METHODS, sources.method),
        checkpoint_sha256=None if sources.checkpoint_sha256 is None else WITHHELD,
        made_by=_hidden(sources.made_by),
        accepted_by=_hidden(sources.accepted_by),
        doubts=(),
        doubted=sources.doubted,
    )


def _neighbour(row: str, one: Neighbour, patient: str) -> Neighbour:
    return replace(one, row=row, lesion=_nameless(one.lesion, patient), outcome=_outcome(one.outcome))


def _outcome(outcome: LesionOutcome) -> LesionOutcome:
    ended = outcome.ended and (DEATH if outcome.died else END)
    rule = outcome.rule
    if rule not in ("", ASSUMED_RULE):
        rule = ASSUMED_RULE if "assumed" in rule else NAMED_RULE
    return replace(
        outcome,
        course=tuple(CoursePoint("", one.days, _of(CELL_STATES, one.state), one.volume_mm3) for one in outcome.course),
        verdict=_of(VERDICTS, outcome.verdict),
        rule=rule,
        state_since=_of(CELL_STATES, outcome.state_since),
        response=_of(BEST_FIRST, outcome.response),
        criterion=_of(CRITERIA, outcome.criterion),
        ended=ended,
        begun=tuple(TherapyBegun(one.therapy if one.therapy in BEGUN else NO_CLASS, one.days) for one in outcome.begun),
    )
