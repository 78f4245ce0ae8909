"""Sign-in by an OpenID Connect provider: who works is the account that it vouches for, never a name that was chosen.

Streamlit's `st.login` asks the provider, which `.streamlit/secrets.toml` names under [auth], checks its answer and
keeps it in the browser as a signed cookie. Here the account (issuer and subject) is looked up among the people of the
store: who has no name there, or is disabled, sees whom to ask and nothing else.

Streamlit itself would keep a sign-in for 30 days and in every open tab after a sign-out. Here it lasts for a shift from
when the provider gave it, and a sign-out ends it in all tabs of the browser, at once. Streamlit also leads everybody
back to its first page; here the place that was asked for is kept meanwhile, by the browser's cookie.

Without [auth] this is a demo: names are chosen (`pages.ui.guard.who`), and only this machine is let in.
"""

from __future__ import annotations

import hashlib
import threading
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import streamlit as st
from streamlit import config
from streamlit.auth_util import get_secrets_auth_section, is_authlib_installed, validate_auth_credentials
from streamlit.errors import StreamlitAuthError

from core.access import Identity
from core.errors import InputError
from core.remembered.rows import Person
from pages.ui.frame import resources
from pages.ui.guard import sessions, tokens
from pages.ui.guard.working import SESSIONS, SHIFT_S, Working
from pages.ui.shared.text import plain

#: What stands on every page where nobody signs in.
DEMO = "Demo: names are chosen, nobody is signed in"
#: Fewest characters of the secret that signs the cookie; as of TWIN_SECRET.
SHORTEST_SECRET = 16
_SECTION = "the section [auth] of .streamlit/secrets.toml"
_MOST_WAITING = 100
#: How long somebody may take to sign in and still be led to the place that they asked for.
_ASKED_FOR_S = 600.0
_MOST_ASKED_FOR = 1_000


@dataclass(frozen=True)
class SignIn:
    """A sign-in that the provider vouches for.

    Args:
        identity: the account.
        name: as the provider shows it to people; decides nothing.
        key: tells this sign-in from an earlier one of the same account.
        until: seconds since 1970 at which it is too old.
    """

    identity: Identity
    name: str
    key: str
    until: float


@cache
def _providers() -> tuple[str | None, ...]:
    """The providers of the settings: None for the one without a name; () where there is no section [auth].

    Raises:
        InputError: for settings that cannot work. Nobody works then: a mistake must not turn sign-in off.
    """
    _check_files()
    section = get_secrets_auth_section()
    if not section:
        return ()
    named = [str(name) for name, value in section.items() if isinstance(value, Mapping) and "client_id" in value]
    providers = [*([None] if "client_id" in section or not named else []), *named]
    if not is_authlib_installed():
        raise InputError(f"Expected Authlib for {_SECTION}, it is not installed. Run `pip install 'streamlit[auth]'`.")
    for provider in providers:
        try:
            validate_auth_credentials(provider or "default")
        except StreamlitAuthError as error:
            raise InputError(f"{_SECTION[0].upper()}{_SECTION[1:]} cannot work: {error}") from error
    if len(str(section["cookie_secret"]).strip()) < SHORTEST_SECRET:
        raise InputError(f"Expected at least {SHORTEST_SECRET} characters for cookie_secret in {_SECTION}, got fewer.")
    address = urlsplit(str(section["redirect_uri"]))
    if address.scheme not in ("http", "https") or not address.path.endswith("/oauth2callback"):
        raise InputError(f"Expected redirect_uri in {_SECTION} as https://NAME/oauth2callback, got another address.")
    if config.get_option("server.trustedUserHeaders"):
        raise InputError(
            "Expected server.trustedUserHeaders to be empty: whoever sends such a header would be anybody."
        )
    return tuple(providers)


def _check_files() -> None:
    """Raises InputError for a file of secrets that cannot be read: Streamlit would pass over it."""
    for path in map(Path, config.get_option("secrets.files")):
        if not path.is_file():
            continue
        try:
            tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"Expected {path.name} as TOML, it cannot be read. Mend it or remove it.") from error


def configured() -> bool:
    """Whether people sign in here. Raises InputError for settings that cannot work."""
    return bool(_providers())


def own_host() -> str | None:
    """The name of the server in redirect_uri, to which the provider sends people back; None without a provider."""
    return urlsplit(str(get_secrets_auth_section()["redirect_uri"])).hostname if configured() else None


def current() -> SignIn | None:
    """The sign-in of the tab whose page is being run; None without one, or where it has ended or is too old."""
    said = st.user.to_dict()
    issuer, subject, at = (said.get(name) for name in ("iss", "sub", "iat"))
    if not said.get("is_logged_in") or not isinstance(issuer, str) or not isinstance(subject, str):
        return None
    if not isinstance(at, int | float):
        return None
    key = hashlib.sha256("\0".join(map(str, (issuer, subject, at, said.get("nonce")))).encode()).hexdigest()
    name, email = (str(said.get(claim) or "") for claim in ("name", "email"))
    found = SignIn(Identity(issuer, subject, email), name or email or subject, key, float(at) + SHIFT_S)
    return None if SESSIONS.has_ended(found.key, found.until) else found


def person_of(found: SignIn | None) -> Person | None:
    """Who that is here; None for an account without a name, or whose person is disabled."""
    person = None if found is None else resources.whole_store().people.with_identity(found.identity)
    return None if person is None or person.disabled else person


def settle() -> Working | None:
    """Who works in this run of the page; None for whoever is not signed in, has no role, or is disabled."""
    found = current()
    person = person_of(found)
    return None if found is None or person is None else Working(person.name, found.key, found.until)


def sign_out() -> None:
    """Ends the sign-in in all tabs of the browser, and at the provider where it can do that."""
    if (found := current()) is not None:
        for session in SESSIONS.end(found.key, found.until):
            tokens.end_session(session)
    st.logout()


@dataclass
class _Waiting:
    """Accounts that signed in and have no name here, the latest last; forgotten when the server ends."""

    _seen: dict[tuple[str, str], SignIn]
    _lock: threading.Lock

    def note(self, found: SignIn) -> None:
        with self._lock:
            key = (found.identity.issuer, found.identity.subject)
            self._seen.pop(key, None)
            self._seen[key] = found
            for oldest in list(self._seen)[:-_MOST_WAITING]:
                del self._seen[oldest]

    def all(self) -> list[SignIn]:
        """Those that still have no name."""
        store = resources.whole_store()
        with self._lock:
            seen = list(self._seen.values())
        return [found for found in seen if store.people.with_identity(found.identity) is None]


WAITING = _Waiting({}, threading.Lock())


@dataclass(frozen=True)
class AskedFor:
    """A place that was asked for before a sign-in.

    Args:
        page: the address of a page of ours, as Streamlit found it; "" for the first one.
        parameters: of the address.
        at: on the monotonic clock, in seconds.
    """

    page: str
    parameters: Mapping[str, str]
    at: float


@dataclass
class _AskedFor:
    """The places that browsers asked for, the latest last; each led to once, within ten minutes.

    A place never comes from what leads back from the provider, so nobody can make up another one on the way.
    """

    _places: dict[str, AskedFor]
    _lock: threading.Lock

    def note(self, browser: str | None, place: AskedFor) -> None:
        if not browser or not (place.page or place.parameters):  # the first page is where everybody comes back
            return
        with self._lock:
            self._places.pop(browser, None)
            self._places[browser] = place
            for oldest in list(self._places)[:-_MOST_ASKED_FOR]:
                del self._places[oldest]

    def take(self, browser: str | None) -> AskedFor | None:
        with self._lock:
            place = self._places.pop(browser or "", None)
        return place if place is not None and time.monotonic() - place.at < _ASKED_FOR_S else None


ASKED_FOR = _AskedFor({}, threading.Lock())


def asked_for(page: str) -> AskedFor | None:
    """Where whoever has just signed in wanted to go, once; None on any page but the first, where they come back."""
    return None if page or st.query_params else ASKED_FOR.take(sessions.own_browser())


def ask(page: str) -> None:
    """The page of whoever does not work here: how to sign in, or whom to ask for a role.

    Args:
        page: that was asked for, by its address; "" for the first one.
    """
    found = current()
    if found is None:
        _ask_to_sign_in(page)
        return
    known = resources.whole_store().people.with_identity(found.identity)
    administrators = [p.name for p in resources.whole_store().people.all() if p.role == "administrator"]
    whom = plain(", ".join(administrators)) or "whoever keeps this installation up"
    if known is not None:
        st.title("Your access was taken away")
        st.info(f"{plain(known.name)} was disabled. An administrator can undo that: {whom}.")
    else:
        WAITING.note(found)
        st.title("You have no role here yet")
        st.info(
            f"You are signed in as {plain(found.name)}. Ask an administrator for a role: {whom}. They find you on "
            "System, People; these two lines tell your account from every other."
        )
        st.code(f"issuer   {found.identity.issuer}\nsubject  {found.identity.subject}", language=None)
    if st.button("Look again"):
        st.rerun()
    st.button("Sign out", on_click=sign_out)


def _ask_to_sign_in(page: str) -> None:
    st.title("Sign in")
    st.caption("Everything you do is recorded under your name. A sign-in lasts for twelve hours.")
    for provider in _providers():
        label = "Sign in" if provider is None else f"Sign in with {plain(provider)}"
        place = (provider, page, st.query_params.to_dict())
        st.button(label, type="primary", on_click=_sign_in, args=place, key=f"sign-in-{provider}")


def _sign_in(provider: str | None, page: str, parameters: Mapping[str, str]) -> None:
    ASKED_FOR.note(sessions.own_browser(), AskedFor(page, parameters, time.monotonic()))
    st.login(provider)


def sidebar(name: str) -> None:
    """The sidebar's lines: who is signed in, and the way out."""
    role = resources.whole_store().people.role_of(name)
    st.caption(f"Signed in as **{plain(name)}**, {plain(role)}. Everything you do is recorded under this name.")
    st.button("Sign out", on_click=sign_out, width="stretch")
