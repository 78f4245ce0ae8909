"""The address of every place: patient, timepoint, version, lesion, tab and what else a page can show.

The frame calls `begin` before a page and `write` after it. Between the two a page asks `choose` for each of its choices
before it draws anything of the place: an address that somebody came by decides, then what was chosen before, then the
default. What is in effect stands in the address afterwards. Values of an address are text from anybody: each counts
only if it is one of the options that this person is offered, so what they may not see is answered as what is not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar, overload
from urllib.parse import urlencode

import streamlit as st
from streamlit.elements.lib.mutable_tab_container import TabContainer
from streamlit.runtime.scriptrunner import get_script_run_ctx

from pages.ui.frame import session
from pages.ui.frame.session import Arrival, Departure, Place, SessionKey, Visit
from pages.ui.shared.text import plain

T = TypeVar("T", bound=str | int)

PATIENT = "patient_id"
#: Of what an address asks for, so much is repeated where it is not there.
MOST_REPEATED = 60
#: So many options are named in a sentence; all of them are offered.
MOST_NAMED = 8

#: Parameter -> what it is in a sentence.
_IN_WORDS = {
    PATIENT: "patient",
    "timepoint": "timepoint",
    "version": "mask version",
    "lesion": "lesion",
    "tab": "tab",
    "beside": "timepoint beside it",
    "show": "comparison",
    "left": "left timepoint",
    "right": "right timepoint",
    "left_version": "left mask version",
    "right_version": "right mask version",
    "left_reader": "left reader",
    "right_reader": "right reader",
    "criterion": "criterion",
    "weeks": "weeks of the forecast",
    "axis": "volume axis",
    "datasets": "datasets",
    "mask": "mask",
}

#: Whose place the other parameters are, in what the server says; the script takes it out of the address again.
_OF_PAGE = "of_page"
_HOME = "worklist"
#: No page's name: in an address that a click is about to leave for.
_LEAVING = "leaving"

# Streamlit makes two entries of the browser's history for one step of a person: the page's bare address, then the place
# in it. Each would have to be gone back through. So, while a page is on its way, an address that only says more
# replaces the one before. And the page's name and its place come apart, in either order, the place under the name of
# the old page: it waits for its own.
_SCRIPT = """
const nameOf = (url) => url.pathname.split("/").pop() || "worklist";
function oneEntryAStep() {
  const step = { onItsWay: true, wentBack: false, coming: null };
  addEventListener("popstate", () => Object.assign(step, { wentBack: true, coming: null }));
  const push = history.pushState.bind(history), replace = history.replaceState.bind(history);
  history.pushState = (state, title, url) => {
    const next = new URL(url ?? location.href, location.href), samePage = next.pathname === location.pathname;
    const ofPage = next.searchParams.get("of_page");
    next.searchParams.delete("of_page");
    if (samePage && ofPage !== null && ofPage !== nameOf(next)) {
      if (!step.wentBack) step.coming = { page: ofPage, search: next.search };
      return;
    }
    if (!samePage && step.coming?.page === nameOf(next)) next.search = step.coming.search;
    else if (!samePage && location.search && next.search === location.search) {
      // A run was under way when somebody went back: Streamlit puts its page before the parameters of theirs.
      if (step.wentBack) return;
      next.search = "";  // these are the old page's
    }
    if (!samePage) step.coming = null;
    if (next.href === location.href) return replace(state, title, next);
    const said = [...new URLSearchParams(location.search)];
    const saysMore = said.every(([name, value]) => next.searchParams.get(name) === value);
    if (samePage && step.onItsWay && saysMore) return replace(state, title, next);
    if (!samePage) step.onItsWay = true;
    return push(state, title, next);
  };
  return step;
}
export default function ({ data }) {
  window.twinAddress ??= oneEntryAStep();
  const here = new URL(location.href);
  if (here.searchParams.has("of_page")) {  // it was said before this script was there
    here.searchParams.delete("of_page");
    history.replaceState(history.state, "", here);
  }
  // It is drawn anew with the last page's values, too, while the next one is on its way.
  const shown = Object.entries(data.place).every(([name, value]) => here.searchParams.get(name) === value);
  if (nameOf(here) === data.page && shown)
    Object.assign(window.twinAddress, { onItsWay: false, wentBack: false });
}
"""
_render = st.components.v2.component("twin_address", html="<span></span>", js=_SCRIPT)


def begin(person: str, page: str) -> None:
    """Before a page runs: notes the address if somebody came by it, and not by a choice on the page.

    They did with a new tab or a reload, by the browser's back and forward, by a link to another page, and when another
    person takes over, for whom the place may not be there.
    """
    visit, before = Visit(person, page), session.VISIT.get()
    parameters = _in_the_address()
    alone = before is None or before.person != person or _went_back()
    if alone or visit != before:
        session.ARRIVAL.set(Arrival(parameters, alone or bool(parameters)))
    session.VISIT.set(visit)
    session.PLACE.set(Place())


def _went_back() -> bool:
    """Whether this run was asked for by the browser's back or forward."""
    context = get_script_run_ctx(suppress_warning=True)
    return bool(getattr(context, "is_history_navigation", False))


def write() -> None:
    """After a page has run: what it shows becomes the address, unless that names what is not there."""
    place = _place()
    visit = session.VISIT.get()
    page = _HOME if visit is None else visit.page or _HOME
    if not place.refused:
        session.ARRIVAL.drop()
        patient = session.PATIENT.get()
        shown = {**({PATIENT: patient} if patient else {}), **place.parameters}
        said = urlencode(sorted(shown.items()))
        # What the browser sent may be older than what it was told last: a click that follows at once begins a run with
        # the address from before the one that the last run's end made.
        before = session.ADDRESS_SAID.get()
        if shown != _in_the_address() or said != before:
            # The first run's is said before the script is there that takes the page out of it.
            st.query_params.from_dict(shown if before is None else {**shown, _OF_PAGE: page})
        session.ADDRESS_SAID.set(said)
    with st.sidebar:
        _render(key="twin-address", data={"page": page, "place": place.parameters})


def _in_the_address() -> dict[str, str]:
    """The parameters that the browser sent, or was told in this run."""
    return {name: value for name, value in st.query_params.to_dict().items() if name != _OF_PAGE}


@overload
def choose(
    name: str, options: Sequence[T], key: SessionKey[T], *about: str | int, default: T, whose: str = ...
) -> T: ...


@overload
def choose(
    name: str, options: Sequence[T], key: SessionKey[T], *about: str | int, default: None = ..., whose: str = ...
) -> T | None: ...


def choose(
    name: str,
    options: Sequence[T],
    key: SessionKey[T],
    *about: str | int,
    default: T | None = None,
    whose: str = "",
) -> T | None:
    """What is chosen of `options`, before the widget with that key is drawn. Ends the page where the address asks for
    what is not among them.

    Args:
        name: the parameter in the address.
        key, about: of the widget, and the place that it is about.
        default: where nothing was chosen, or what is not there any more.
        whose: of whom or what the options are, for the sentence about an unknown one.
    """
    wanted = asked(name, options, key, *about, whose=whose)
    value = wanted if wanted is not None else key.get(*about)
    if value is None or value not in options:
        value = default
    if value is not None:
        note(name, str(value))
    if key.get(*about) != value:  # set in every run it would undo what a quick hand chose meanwhile
        key.set(value, *about)
    return value


def choose_several(
    name: str, options: Sequence[str], key: SessionKey[list[str]], *about: str | int, whose: str = ""
) -> list[str]:
    """The same for several of the options, with commas between in the address; all of them to begin with."""
    arrival = session.ARRIVAL.get()
    if arrival is not None and name in arrival.parameters and name not in arrival.settled:
        wanted = [part for part in arrival.parameters[name].split(",") if part]
        unknown = next((part for part in wanted if part not in options), None)
        if unknown is not None:
            _refuse(name, unknown, options, None, about, whose)
        key.set(wanted, *about)
        arrival.settled.add(name)
    chosen = [option for option in key.get(*about) or options if option in options]
    if key.get(*about) is None:
        key.set(chosen, *about)
    if len(chosen) < len(options):
        note(name, ",".join(chosen))
    return chosen


def asked(
    name: str, options: Sequence[T], key: SessionKey[T] | None = None, *about: str | int, whose: str = ""
) -> T | None:
    """The option that the address asks for, once; None where it asks for nothing. Ends the page for an unknown one.

    Args:
        key, about: where a choice is forgotten if the address, which alone counts, leaves it out; and where it is put
            if another one is taken instead.
    """
    arrival = session.ARRIVAL.get()
    if arrival is None or name in arrival.settled:
        return None
    text = arrival.parameters.get(name)
    if text is not None:
        found = next((option for option in options if str(option) == text), None)
        if found is None:
            _refuse(name, text, options, key, about, whose)
        arrival.settled.add(name)
        return found
    if arrival.alone and key is not None:
        key.drop(*about)
    arrival.settled.add(name)
    return None


def note(name: str, value: str) -> None:
    """A parameter of the address that `write` makes."""
    _place().parameters[name] = value


def choose_tab(labels: Sequence[str], key: SessionKey[str], *about: str, default: str | None = None) -> None:
    """Which tab is open, before anything is drawn; by its label without the number in brackets at its end."""
    names = [_tab_name(label) for label in labels]
    wanted = asked("tab", names, key, *about, whose="on this page")
    name = wanted if wanted is not None else _tab_name(key.get(*about) or "")
    if name not in names:
        name = _tab_name(default or labels[0])
    if _tab_name(key.get(*about) or "") != name:
        key.set(labels[names.index(name)], *about)
    note("tab", name)


def tabs(labels: Sequence[str], key: SessionKey[str], *about: str) -> Sequence[TabContainer]:
    """`st.tabs` that opens at what `choose_tab` has settled, and runs the page when another one is opened."""
    chosen = key.get(*about) or ""
    if chosen not in labels:  # the number at its end is another one now
        key.set(next((label for label in labels if _tab_name(label) == _tab_name(chosen)), labels[0]), *about)
    return st.tabs(list(labels), key=key.key(*about), on_change="rerun")


def _tab_name(label: str) -> str:
    return label.partition(" (")[0]


def choose_open(names: Sequence[str], key: SessionKey[bool], former: Mapping[str, str]) -> list[str]:
    """Which of the folded sections are open, before they are drawn, in their order; none to begin with. In the address
    they are the tab, with commas between.

    Args:
        names: of the sections; key: about a section, whether it is open.
        former: names that an older address may have -> the section's now.
    """
    arrival = session.ARRIVAL.get()
    if arrival is not None and "tab" not in arrival.settled:
        parts = [_tab_name(part) for part in arrival.parameters.get("tab", "").split(",")]
        wanted = [former.get(part, part) for part in parts if part]
        unknown = next((part for part in wanted if part not in names), None)
        if unknown is not None:
            _refuse("tab", unknown, names, None, (), "on this page")
        if wanted or arrival.alone:
            for name in names:
                key.set(name in wanted, name)
        arrival.settled.add("tab")
    found = [name for name in names if key.get(name)]
    if found:
        note("tab", ",".join(found))
    return found


def choose_patient(known: Sequence[str]) -> None:
    """The patient, before the sidebar draws its choice; one that is not there leaves none chosen (`refuse_patient`)."""
    arrival, chosen = session.ARRIVAL.get(), session.PATIENT.get()
    if arrival is not None and PATIENT not in arrival.settled and (PATIENT in arrival.parameters or arrival.alone):
        chosen = arrival.parameters.get(PATIENT)
        if chosen is None or chosen in known:
            arrival.settled.add(PATIENT)
    session.PATIENT.set(chosen if chosen in known else None)


def refuse_patient(known: Sequence[str]) -> None:
    """Before the page: ends it where the address names a patient who is not there."""
    asked(PATIENT, known, session.PATIENT, whose="here")


def forget() -> None:
    """For the `on_change` of the sidebar's patient: what was chosen counts from now on, and the address follows."""
    session.ARRIVAL.drop()


def leave_for(page: str, place: Mapping[str, str | int | None]) -> None:
    """For the `on_click` of a button: another page opens at that address. Parameters that are None are left out."""
    parameters = {name: str(value) for name, value in place.items() if value is not None}
    session.DEPARTURE.set(Departure(page, {**parameters, _OF_PAGE: _LEAVING}))


def departure() -> Departure | None:
    """Where the click before this run leads, once."""
    leaving = session.DEPARTURE.take()
    if leaving is not None:
        session.VISIT.drop()  # the address counts, even if it is this page's own
    return leaving


def _place() -> Place:
    place = session.PLACE.get()
    if place is None:
        place = Place()
        session.PLACE.set(place)
    return place


def _refuse(
    name: str,
    text: str,
    options: Sequence[T],
    key: SessionKey[T] | None,
    about: Sequence[str | int],
    whose: str,
) -> None:
    """Says in a sentence that there is no such option and which there are, offers them, and ends the page."""
    _place().refused = True
    what = _IN_WORDS.get(name, name)
    given = text if len(text) <= MOST_REPEATED else text[:MOST_REPEATED] + "…"
    named = ", ".join(str(option) for option in options[:MOST_NAMED])
    more = f" and {len(options) - MOST_NAMED} more" if len(options) > MOST_NAMED else ""
    there = f"there {'is' if len(options) == 1 else 'are'} {named}{more}" if named else "there are none"
    where = f"“{given}” {whose}".strip()
    st.warning(f"There is no {plain(what)} {plain(where)}; {plain(there)}.", icon=":material/wrong_location:")
    if not options:
        st.button("Open the page without it", type="primary", on_click=forget)
    else:
        st.selectbox(
            "Open instead",
            options,
            index=None,
            format_func=str,
            key=session.OPEN_INSTEAD.key(name),
            placeholder="Choose",
            width=420,
            on_change=_take_instead,
            args=(name, list(options), key, tuple(about)),
        )
    st.stop()


def _take_instead(name: str, options: Sequence[T], key: SessionKey[T] | None, about: Sequence[str | int]) -> None:
    arrival = session.ARRIVAL.get()
    wanted = session.OPEN_INSTEAD.get(name)
    chosen = next((option for option in options if option == wanted), None)
    forget()
    if key is not None and chosen is not None:
        key.set(chosen, *about)
    elif chosen is not None and arrival is not None:
        session.ARRIVAL.set(Arrival({name: str(chosen)}, False))
