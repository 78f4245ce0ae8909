"""For whoever keeps TwinReview up: models, jobs, people, the audit log, and whether files and database agree."""

import streamlit as st

from pages.ui.frame import resources, shell
from pages.ui.system import caches_panel, system_panels

st.title("System")
st.caption("Models and their checks, jobs, people, the audit log, and the proof that nothing was altered.")

store = resources.get_store()
with shell.guarded():
    system_panels.doubted_files(store)
models, jobs, people, audit, check = st.tabs(["Models", "Jobs", "People", "Audit log", "Check"])
with models, shell.guarded():
    system_panels.models()
with jobs, shell.guarded():
    system_panels.jobs(store, shell.person())
with people, shell.guarded():
    system_panels.people(store, shell.person())
with audit, shell.guarded():
    system_panels.audit(store, shell.person())
with check, shell.guarded():
    system_panels.check(store)
    caches_panel.clear(store, shell.person())
