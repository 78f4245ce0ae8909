"""The launcher: `streamlit run app.py` finds `app` and serves pages and HTTP routes from one process."""

import streamlit as st

from pages.ui.api import routes
from pages.ui.frame import shell
from pages.ui.guard import doors

shell.check_settings()
app = st.App(
    "pages/ui/frame/main.py",
    routes=routes.ROUTES,
    middleware=doors.MIDDLEWARE,
    lifespan=shell.lifespan,
    on_script_error=shell.show_problem,
)
