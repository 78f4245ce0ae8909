"""A page that shows the texts of a file, TEXTS (JSON), made plain, wherever Streamlit reads Markdown.

Streamlit looks for modules, and for further pages, beside a page first: beside `tests/pages` this one would find those.
"""

import json
import os
from pathlib import Path

import streamlit as st

from pages.ui.shared.text import plain

for number, text in enumerate(json.loads(Path(os.environ["TEXTS"]).read_text(encoding="utf-8"))):
    with st.container(key=f"text-{number}"):
        shown = plain(text)
        st.markdown(shown)
        st.markdown(f"**{shown}**: {shown}  \n:small[{shown}]")
        st.caption(shown)
        st.error(shown)
        st.info(f"Shown: {shown}.")
        st.subheader(shown)
        st.metric(shown, shown, delta=shown)
        st.button(shown, key=f"button-{number}")
        st.checkbox(shown, key=f"checkbox-{number}")
        st.radio("Which", [text], format_func=plain, key=f"radio-{number}")
        st.pills("Which", [text], format_func=plain, key=f"pills-{number}")
        st.progress(0.5, text=shown)
        st.expander(shown).write("")
        st.tabs([shown])
