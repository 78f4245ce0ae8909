"""The parts of the review page: choosing, drawing, prompts, and the panels beside the picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import streamlit as st
from streamlit.elements.lib.mutable_tab_container import TabContainer

from core.errors import InputError
from core.remembered.untyped import JsonDict
from core.review.drawable import drawable_lesions
from core.types import MM3_PER_ML, MaskRecord, Prompt, Scan
from pages.ui.frame import address, measured, session, visible
from pages.ui.guard import rights
from pages.ui.review.deciding import keep_version
from pages.ui.shared.lost_files import file_problem
from pages.ui.shared.text import lesion_words, plain
from pages.ui.viewer import viewer
from pages.ui.viewer.describe import Shown, linking, viewer_data
from store import SeenStore

STATUS_ICON = {"proposed": "pending", "accepted": "check_circle", "rejected": "cancel", "superseded": "history"}
DICE_HELP = "Overlap with the version before: 2 |A and B| / (|A| + |B|); 1 is identical, 0 is disjoint."
TABS = ("Segment", "Refine", "Decide")
HD95_HELP = "95 % Hausdorff distance: 95 % of either mask's border lies within this distance of the other's."


def choose_mask(store: SeenStore, patient: str, person: str) -> tuple[str, MaskRecord | None, str | None]:
    """One line of widgets: timepoint, version, and what stands beside them; the newest of both to begin with."""
    timepoints = store.patients.timepoints(patient)
    title, first, second, third = st.columns([2, 2, 4, 3], vertical_alignment="center")
    title.title("Review")
    timepoint = address.choose(
        "timepoint", timepoints, session.TIMEPOINT, patient, default=timepoints[-1], whose=f"of {patient}"
    )
    place = f"of {patient} on {timepoint}"
    keep_version(patient, timepoint)
    records = {record.version: record for record in reversed(store.masks.of(patient, timepoint))}
    newest = next(iter(records), None)
    version = address.choose("version", list(records), session.VERSION, patient, timepoint, default=newest, whose=place)
    others = [t for t in reversed(timepoints) if t != timepoint]
    beside = address.choose("beside", others, session.BESIDE, patient, timepoint, whose=f"of {patient}")
    record = None if version is None else records[version]
    ask_for_lesion(record, place)
    address.choose_tab(TABS, session.REVIEW_TAB, *_with_mask(record), default=first_tab(record))
    hide: Literal["collapsed"] = "collapsed"
    first.selectbox(
        "Timepoint",
        timepoints,
        key=session.TIMEPOINT.key(patient),
        help="Dates of this patient's scans.",
        label_visibility=hide,
    )
    third.selectbox(
        "Beside it",
        [None, *others],
        key=session.BESIDE.key(patient, timepoint),
        label_visibility=hide,
        format_func=lambda t: "nothing beside it" if t is None else f"beside: {t}",
        help="Another timepoint in the same position of the body (rigid registration).",
    )
    if record is None:
        second.selectbox("Mask version", ["no mask yet"], disabled=True, label_visibility=hide)
        return timepoint, None, beside
    second.selectbox(
        "Mask version",
        list(records),
        key=session.VERSION.key(patient, timepoint),
        label_visibility=hide,
        format_func=lambda v: f"v{v} · {records[v].method} · {records[v].status}",
        help="Every version is kept. Accepted versions alone enter the curve.",
    )
    return timepoint, record, beside


def ask_for_lesion(record: MaskRecord | None, place: str) -> None:
    """The lesion that the address asks for is the one that the Decide tab opens at."""
    lesions = [] if record is None else [str(lesion["lesion_id"]) for lesion in record.lesions]
    lesion = address.asked("lesion", lesions, whose=place)
    if record is not None and lesion is not None:
        session.LESION_ASKED_FOR.set(lesion, record.mask_id)


def show_newest_version(patient: str, timepoint: str) -> None:
    """The next run of the page shows the version that was just made."""
    session.VERSION.drop(patient, timepoint)


def _with_mask(record: MaskRecord | None) -> tuple[str]:
    return ("none" if record is None else "mask",)


def tabs(record: MaskRecord | None) -> Sequence[TabContainer]:
    """The page's tabs, in the order of `TABS`."""
    return address.tabs(TABS, session.REVIEW_TAB, *_with_mask(record))


def show(
    store: SeenStore, patient: str, timepoint: str, record: MaskRecord | None, beside: str | None, person: str
) -> JsonDict:
    """The viewer: this timepoint, with the changes since the version before, and another one beside it if asked for.

    Returns:
        What the visitor did in it, as `pages.ui.viewer.viewer` gives it.
    """
    parent = None if record is None else visible.parent(store, record)
    panes, link = [Shown(timepoint, record, parent)], None
    if beside is not None:
        panes.append(Shown(beside, visible.best(store, patient, beside)))
        link = linking(measured.aligned(store, patient, timepoint, beside))
    data = viewer_data(store, patient, panes, person, edit=may_draw(store, record, person), link=link)
    return viewer(data, key=f"viewer-{patient}-{timepoint}")


def may_draw(store: SeenStore, record: MaskRecord | None, person: str) -> bool:
    """Whether this person's role lets them draw here; nobody draws on a version whose file cannot be read, but beside
    one that is marked lost a mask is begun anew."""
    allowed = store.people.may(person, "draft.edited") and store.people.may(person, "mask.added")
    if record is None or record.mask_id in store.masks.losses(record.patient_id):
        return bool(allowed)
    return bool(allowed) and file_problem(store, record) is None


def first_tab(record: MaskRecord | None) -> str:
    """Name of the tab that opens first."""
    return "Segment" if record is None else "Decide"


def choose_model(scans: Sequence[Scan]) -> str | None:
    """Which network, of those that read these scans the one in force first; None where none is ready or reads them."""
    from core.engines.auto.choice import fitting_model, reads
    from weights import registry

    ready = [e for e in registry.models() if e.kind == "nnunet" and registry.status(e) == "ready"]
    if not ready:
        st.warning(
            "No nnU-Net model is ready. Put a trained nnU-Net v2 folder into weights/; System shows what is there."
        )
        return None
    fits = [entry for entry in ready if reads(entry.id, scans)]
    try:
        chosen: str | None = fitting_model(scans)
    except InputError as refused:
        chosen = None
        if not fits:
            st.warning(plain(f"No network here reads these scans. {refused}"))
            return None
    entry = st.selectbox(
        "Model",
        fits,
        index=next((n for n, one in enumerate(fits) if one.id == chosen), 0),
        format_func=lambda e: e.name,
        help="Networks in weights/ that passed their check and read the scans of this timepoint.",
    )
    st.caption(f"Takes {plain(entry.input)}. Finds lesions by itself and numbers them as at the timepoint before.")
    return str(entry.id)


def refine_form(
    store: SeenStore, patient: str, timepoint: str, record: MaskRecord | None, person: str
) -> JsonDict | None:
    """How prompts are drawn, and a box by numbers for those who do not draw; the job's request once it is pressed."""
    if (refused := rights.why_not(store, person, "draft.edited")) is not None:
        st.info(plain(refused))
        return None
    st.caption(
        "Choose **Box** above the picture and drag it around the lesion; **+** and **−** set points. The answer is "
        "dashed until it is kept (Enter). **All slices** carries it through the scan. It is a version once you press "
        "**Save version**."
    )
    scan = store.scans.reference(patient, timepoint)

    def key(field: str) -> str:
        return session.TYPED_BOX.key(patient, timepoint, field)

    with st.expander("Type a box"), st.form(key("form"), border=False):
        fields = ("X0", "Y0", "X1", "Y1", "Slice")
        limits = [scan.shape[0], scan.shape[1], scan.shape[0], scan.shape[1], scan.shape[2]]
        *coords, k = [
            st.number_input(
                name, 0, limit - 1, step=1, key=key(name), help=f"Voxel index in the file of {plain(scan.channel)}."
            )
            for name, limit in zip(fields, limits, strict=True)
        ]
        mine = list(dict.fromkeys(str(one["lesion_id"]) for one in record.lesions)) if record else []
        others = drawable_lesions(store, patient, person, record).last_seen
        lesion = st.selectbox(
            "Lesion",
            [None, *mine, *others, "new"],
            key=key("lesion"),
            format_func=lambda name: _lesion_choice(name, others),
            help="Which lesion the answer replaces. Other lesions' voxels are never overwritten.",
        )
        propagate = st.toggle(
            "Propagate through the slices",
            value=True,
            key=key("propagate"),
            help="Carries the mask up and down until a stop rule says it has left the lesion.",
        )
        state = rights.button(store, person, "job.created")
        if not st.form_submit_button("Refine with MedSAM", type="primary", **state):
            return None
    box = Prompt("box", int(k), tuple(coords), True, scan.scan_id).to_json()
    usable = record is not None and file_problem(store, record) is None
    parent = {"parent_version": record.version} if record is not None and usable else {}
    return {"scan": scan.scan_id, "prompts": [box], "propagate": propagate, "lesion": lesion, **parent}


def _lesion_choice(name: str | None, last_seen: Mapping[str, str]) -> str:
    if name is None:
        return "the one under the box"
    return f"{name} (on {last_seen[name]})" if name in last_seen else lesion_words(name)


def history(store: SeenStore, patient: str, timepoint: str, record: MaskRecord | None, person: str) -> None:
    """The shown version's diff to its parent, and the tree of all versions once it is opened."""
    if record is None:
        return
    from pages.ui.review.history_tree import history_tree

    parent = visible.parent(store, record)
    if parent is not None and not (file_problem(store, parent) or file_problem(store, record)):
        apart = measured.surface_distances(parent, record).hausdorff95_mm
        st.subheader(f"v{record.version} against v{record.parent_version}", divider="gray")
        dice, delta, border = st.columns(3)  # not st.metric: its figures are too large for three in this panel
        dice.markdown(f":small[:gray[Dice]]  \n**{record.dice_vs_previous_version:.3f}**", help=DICE_HELP)
        change = "unknown" if record.volume_delta_mm3 is None else f"{record.volume_delta_mm3 / MM3_PER_ML:+z.1f} mL"
        delta.markdown(f":small[:gray[Volume]]  \n**{change}**")
        distance = f"{apart:.1f} mm" if math.isfinite(apart) else "one is empty"
        border.markdown(f":small[:gray[HD95]]  \n**{distance}**", help=HD95_HELP)
        st.caption(f"Voxels added / removed: {record.voxels_added:,} / {record.voxels_removed:,}")
    records = store.masks.of(patient, timepoint)
    label = f"History and provenance ({len(records)})"
    panel = st.expander(label, key=f"history-{patient}-{timepoint}", on_change="rerun")
    if not panel.open:
        return

    def opened(version: int, start: bool) -> None:
        session.VERSION.set(version, patient, timepoint)
        if start:
            st.toast(f"v{version} is shown: what you make now begins with it.")

    with panel:
        history_tree(records, record.version, person, opened)
        st.caption(f"Provenance of v{record.version}")
        st.json(record.to_json(), expanded=False)


def decide_form(
    store: SeenStore, patient: str, timepoint: str, record: MaskRecord | None, person: str, keys: bool
) -> None:
    """Accept or reject, with a reason; says so where it is settled. `keys`: as `decision_form`."""
    from pages.ui.review.deciding import decision_form
    from pages.ui.review.unsaved import next_words, save_form, unsaved_draft

    drawn = unsaved_draft(store, patient, timepoint, None if record is None else record.version, person)
    if record is not None:
        decision_form(store, patient, timepoint, record, person, keys=keys, drawn=drawn, verdicts="")
    elif drawn is None:
        st.info("Nothing to decide yet: run the network or refine first.")
    else:
        st.info(f"What is drawn is not saved. It can become {next_words(store, patient, timepoint)} and be accepted.")
        save_form(store, drawn, person, drawn.draft_id)
