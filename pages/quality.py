"""What the two gates know, how well they do, what they doubt; what people changed, and how kept forecasts did."""

import numpy as np
import streamlit as st

from core.gates.mask import verdicts
from pages.ui.frame import address, session, shell
from pages.ui.quality import correction_panel, gates_panel, record_panel, reference_panel
from pages.ui.trajectory import stored_forecasts_panel

TABS = ("Scan gate (RF-Deep)", "Mask gate", "Human correction", "Kept forecasts")

st.title("Quality")
st.caption(
    "What the gates rest on and doubt here; what people changed; how forecasts did that were kept before the visit."
)

store = shell.store()
address.choose_tab(TABS, session.QUALITY_TAB)
masks = []
with shell.guarded():
    masks = gates_panel.scored_masks(store)
    gates_panel.mask_in_effect(masks)
scan_tab, mask_tab, people_tab, forecast_tab = address.tabs(TABS, session.QUALITY_TAB)
with scan_tab, shell.guarded():
    found = gates_panel.scan_reference()
    if found is not None:
        gates_panel.reference_facts(found[0])
    scores = gates_panel.latest_scores(store.verdicts.of_scans())
    gates_panel.score_figure(found[0] if found else None, scores)
    record_panel.record_panel(store, shell.person(), "scan")
    if found is not None:
        gates_panel.evaluation(found[1])
        reference_panel.reference_panel(store, shell.person())
with mask_tab, shell.guarded():
    gate = verdicts.gate_for(store)
    if gate is None:
        st.info("The mask gate is being fitted to what was accepted. Until that is done no mask can be judged.")
    else:
        gates_panel.mask_facts(gate)
    if gate is not None and not gate.lesions and not masks:
        st.caption("Accepted masks become the reference; start with what waits for a decision.")
        if st.button("Go to the worklist", type="primary"):
            shell.go_to("worklist")
    else:
        gates_panel.mask_figure(np.empty(0) if gate is None else gate.calibration, masks)
        record_panel.record_panel(store, shell.person(), "mask")
        gates_panel.doubtful_list(masks)
with people_tab, shell.guarded():
    correction_panel.correction_panel(store)
with forecast_tab, shell.guarded():
    stored_forecasts_panel.everybody(store)
