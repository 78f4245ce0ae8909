"""What comes from files or people is shown as text: held by reading every page's source, and shown to find violations.

A page's call that Streamlit renders as Markdown may hold what the source itself says, numbers, and what passed through
`plain`.
"""

from __future__ import annotations

import pytest

from tests.pages.text_judge import ROOT, Judge, Module, pages, violations


def test_pages_show_nothing_from_files_or_people_as_markdown() -> None:
    judge = Judge(pages())
    found = [line for module in pages() for line in violations(module, judge)]
    assert not found, f"Wrap these in pages.ui.shared.text.plain (or cells, for frames): {len(found)}\n" + "\n".join(
        found
    )


PREAMBLE = """
import streamlit as st
from core.errors import TwinReviewError
from pages.ui.shared.text import plain, cells
WORDS = {"a": "first", "b": "second"}
def said(record): return f"{record.reviewer} said so"
def quiet(record): return f"{plain(record.reviewer)} said so"
def page(store, record, name, rows, column, error, percent: float):
"""


def test_no_script_of_a_page_writes_html() -> None:
    files = [path for ending in ("js", "py") for path in (ROOT / "pages").rglob(f"*.{ending}")]
    writes = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "srcdoc", "createContextualFragment")
    assert len(files) > 50
    assert [(path.name, one) for path in files for one in writes if one in path.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize(
    "line",
    [
        "st.error(str(error))",
        "st.error(error)",
        "st.markdown(f'**{record.reviewer}**')",
        "st.markdown(f'{name:>20}')",
        "st.markdown('by ' + name)",
        "st.markdown('by %s' % name)",
        "st.markdown('by {}'.format(name))",
        "st.markdown(', '.join(r['name'] for r in rows))",
        "column.caption(name)",
        "column.metric('Volume', name)",
        "column.metric('Volume', 1.0, delta=record.comment)",
        "st.button('Go', help=f'of {name}')",
        "st.button(label=name)",
        "st.selectbox(name, [1, 2])",
        "st.radio('Which', rows)",
        "st.pills('Which', [1, 2], format_func=lambda n: rows[n])",
        "st.tabs(['a', name])",
        "st.progress(0.5, text=record.message)",
        "st.toast(said(record))",
        "with st.spinner(name): pass",
        "x = name\n    st.info(x)",
        "x = 'a'\n    x += name\n    st.info(x)",
        "for x in rows: st.info(x)",
        "kind = st.info if rows else st.error\n    kind(f'failed: {record.message}')",
        "{'a': st.success}.get(name, st.info)(name)",
        "list(map(st.error, rows))",
        "getattr(st, record.kind)(name)",
        "from streamlit import error as say\n    say(name)",
        "st.info(st.session_state['x'])",
        "st.info(f'{name:,<20}')",
        "st.info(f'{name:+>20}')",
        "st.info(f'{name!r}')",
        "try: pass\n    except TwinReviewError as problem: st.warning(problem)",
        "st.write('anything')",
        "st.table(rows)",
        "st.exception(error)",
        "st.dataframe(rows)",
        "st.dataframe(cells(rows), column_config={'a': st.column_config.LinkColumn()})",
        "st.column_config.TextColumn(help=name)",
        "st.html(f'<b>{name}</b>')",
        "st.markdown('a', unsafe_allow_html=True)",
        "st.image('x.png', caption=name)",
        "made = {}\n    made[1] = name\n    st.radio('Which', [1], format_func=made.__getitem__)",
        "made = ['a']\n    made.append(name)\n    st.info(', '.join(made))",
        "st.radio('Which', rows, format_func=str.capitalize)",
    ],
)
def test_what_is_shown_as_it_came_is_found(line: str) -> None:
    module = Module(f"{PREAMBLE}    {line}\n", "planted")
    assert violations(module, Judge((module,)))


@pytest.mark.parametrize(
    "line",
    [
        "st.error(plain(error))",
        "st.markdown(f'**{plain(name)}** {percent:.1f} % of {len(rows)}')",
        "st.markdown(', '.join(plain(r['name']) for r in rows))",
        "st.toast(quiet(record))",
        "st.metric('Volume', f'{record.volume:.1f} mL', help='Of all')",
        "st.info(WORDS[name])",
        "x = 'some' if rows else f'{len(rows)}'\n    st.info(x)",
        "st.radio('Which', rows, format_func=plain)",
        "st.selectbox('Which', rows)",
        "st.text(name)",
        "kind = st.info if rows else st.error\n    kind(f'failed: {plain(record.message)}')",
        "st.dataframe(cells(rows))",
    ],
)
def test_what_was_made_plain_is_not(line: str) -> None:
    module = Module(f"{PREAMBLE}    {line}\n", "planted")
    assert not violations(module, Judge((module,)))
