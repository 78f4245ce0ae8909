"""The launcher: `streamlit run app.py` finds `app` and serves pages and HTTP routes from one process."""

import streamlit as st

from pages.ui import api, doors, shell

app = st.App(
    "pages/ui/main.py",
    routes=api.ROUTES,
    middleware=doors.MIDDLEWARE,
    lifespan=shell.lifespan,
    on_script_error=shell.show_problem,
)
