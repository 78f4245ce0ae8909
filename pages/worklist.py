"""What needs a person now, and why."""

import streamlit as st

from core.review.replaced import ended_acceptances
from core.review.worklist import work_items
from pages.ui.frame import opening, session, shell
from pages.ui.shared.text import cells, plain

st.title("Worklist")
st.caption("What waits for a person, the doubtful first. Nothing enters a growth curve before somebody accepts it.")

URGENCY = {
    0: (":material/warning:", "Doubts"),
    1: (":material/pending_actions:", "A proposed mask waits"),
    2: (":material/radio_button_unchecked:", "Not segmented yet"),
}

store = shell.store()
patients = store.patients.all()
if not patients:
    if store.scope.datasets is None:
        st.info("There are no patients yet. Import a scan, or make the demo cohort with `python cli.py data demo`.")
    else:
        st.info("There are no patients in the data sets that were granted to you. The sidebar says which these are.")
    if st.button("Import a scan", type="primary"):
        shell.go_to("intake")
    st.stop()

with st.spinner("Looking through the patients", show_time=False):
    items = work_items(store)
drafts = store.drafts.of(person=shell.person())
ended = [
    one
    for one in ended_acceptances(store, shell.person())
    if session.ENDED_SEEN.get(one.by.patient_id, one.by.timepoint) != one.by.created_at
]


*columns, last = st.columns(len(URGENCY) + 1)
for column, level in zip(columns, URGENCY, strict=True):
    column.metric(URGENCY[level][1], sum(item.urgency == level for item in items))
last.metric("Drafts of yours", len(drafts), help="Drawn and kept, but not yet saved as a version.")

if not items and not ended:
    st.success("Nothing waits. Every timepoint has an accepted mask.", icon=":material/check_circle:")
for item in items:
    icon, _ = URGENCY[item.urgency]
    with st.container(border=True):
        mark, who, why, what = st.columns([0.4, 1.6, 7, 2], vertical_alignment="center")
        mark.markdown(icon)
        who.markdown(f"**{plain(item.patient_id)}**  \n{plain(item.timepoint)}", width="content")
        why.markdown(plain(item.reason))
        what.button(
            plain(item.task),
            key=f"open-{item.patient_id}/{item.timepoint}",
            on_click=opening.open_in_review,
            width="stretch",
            args=(item.patient_id, item.timepoint),
            type="primary" if item.urgency == 0 else "secondary",
        )

for one in ended:
    place = (one.by.patient_id, one.by.timepoint)
    with st.container(border=True):
        mark, who, why, what = st.columns([0.4, 1.6, 7, 2], vertical_alignment="center")
        mark.markdown(":material/swap_horiz:")
        who.markdown(f"**{plain(place[0])}**  \n{plain(place[1])}", width="content")
        why.markdown(f"{plain(one.words)}, {plain(one.by.created_at[:16].replace('T', ' '))} UTC")
        what.button(
            "Look at it",
            key=f"ended-{one.was.mask_id}",
            on_click=opening.open_in_review,
            width="stretch",
            args=(*place, one.by.version),
        )

for draft in drafts:
    with st.container(border=True):
        mark, who, why, what = st.columns([0.4, 1.6, 7, 2], vertical_alignment="center")
        mark.markdown(":material/edit_note:")
        who.markdown(f"**{plain(draft.patient_id)}**  \n{plain(draft.timepoint)}", width="content")
        begun = "a first mask" if draft.parent_version is None else f"version {draft.parent_version}"
        why.markdown(
            f"your draft of {begun}, begun {plain(draft.created_at[:16].replace('T', ' '))} UTC, is not saved yet"
        )
        what.button(
            "Go on drawing",
            key=f"draft-{draft.draft_id}",
            on_click=opening.open_in_review,
            width="stretch",
            args=(draft.patient_id, draft.timepoint, draft.parent_version),
        )

st.subheader("Patients", divider="gray")
st.dataframe(
    cells(
        [
            {
                "patient": row.patient_id,
                "dataset": row.dataset,
                "first": row.first_timepoint,
                "last": row.last_timepoint,
                "timepoints": row.timepoints,
                "scans": row.scans,
                "mask versions": row.masks,
                "accepted": row.accepted,
                "proposed": row.proposed,
            }
            for row in patients
        ]
    ),
    hide_index=True,
    width="stretch",
)
