"""For whoever keeps TwinReview up: models, jobs, people, the audit log, and whether files and database agree."""

import streamlit as st

from pages.ui.frame import address, session, shell
from pages.ui.system import caches_panel, people_panel, system_panels

TABS = ("Models", "Jobs", "People", "Audit log", "Check")

st.title("System")
st.caption("Models and their checks, jobs, people, the audit log, and the proof that nothing was altered.")

store = shell.store()
address.choose_tab(TABS, session.SYSTEM_TAB)
with shell.guarded():
    system_panels.doubted_files(store)
models, jobs, people, audit, check = address.tabs(TABS, session.SYSTEM_TAB)
with models, shell.guarded():
    system_panels.models()
with jobs, shell.guarded():
    system_panels.jobs(store, shell.person())
with people, shell.guarded():
    people_panel.people(store, shell.person())
with audit, shell.guarded():
    system_panels.audit(store)
with check, shell.guarded():
    system_panels.check(store, shell.person())
    caches_panel.clear(store, shell.person())
