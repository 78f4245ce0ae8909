"""Doors of the running dashboard: addresses, sockets, tokens and what a browser may claim."""

from __future__ import annotations

import gzip
import json
import re
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.attack.dashboard import (
    WAIT_MS,
    Running,
    browser_of,
    dashboard,
    headers_of,
    serve,
    session_of,
    statuses,
    token_of,
)
from tests.attack.door import Door, Opened, Skipped
from tests.attack.scene import FIRST, PATIENT, copy_of_scene

HEADERS = {
    "content-security-policy": "frame-ancestors 'none'",
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "",
}


def _rebinding(folder: Path) -> str:
    """The requests of a page of evil.example whose name now means 127.0.0.1."""
    here, said = dashboard(folder), []
    for host in ("evil.example", f"evil.example:{here.port}", "127.0.0.1.evil.example"):
        paths = ["/", "/api/health", "/_stcore/health", "/review"]
        for path, status in statuses(here, paths, {"Host": host}).items():
            if status < 400:
                raise Opened(f"{path} answers {status} to Host: {host}")
        status = _handshake(here.port, host, f"http://{host}")
        if status == 101:
            raise Opened(f"the WebSocket opens for Host: {host}")
        said.append(str(status))
    return f"pages and routes are refused, the WebSocket answers {', '.join(said)}"


def _other_site(folder: Path) -> str:
    here = dashboard(folder)
    status = _handshake(here.port, f"127.0.0.1:{here.port}", "http://evil.example")
    if status == 101:
        raise Opened("the WebSocket opens for a page of evil.example")
    return f"the WebSocket answers {status}"


def _handshake(port: int, host: str, origin: str) -> int:
    """The status that the WebSocket's address answers to a handshake."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(
            (
                f"GET /_stcore/stream HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            ).encode()
        )
        first = line.recv(4096).split(b"\r\n")[0]
    return int(first.split()[1]) if len(first.split()) > 1 else 0


def _every_interface(folder: Path) -> str:
    """Somebody starts it for the whole network, without sign-in and without saying that this is wanted."""
    import httpx

    root = copy_of_scene(folder)
    url, process = serve(root, "--server.address", "0.0.0.0")
    try:
        for _ in range(80):
            if process.poll() is not None:
                return f"it ends with {process.returncode} instead of serving"
            try:
                status = httpx.get(url + "/", timeout=2).status_code
            except httpx.HTTPError:
                time.sleep(0.5)
                continue
            if status < 400:
                raise Opened("the dashboard serves every interface without sign-in")
            return f"every page answers {status}"
    finally:
        process.terminate()
        process.wait(30)
    return "it never answers"


def _plain_start(folder: Path) -> str:
    import psutil

    here = dashboard(folder)
    places = {
        c.laddr.ip for c in psutil.Process(here.process.pid).net_connections("inet") if c.status == psutil.CONN_LISTEN
    }
    outside = places - {"127.0.0.1", "::1"}
    if outside:
        raise Opened(f"it listens on {', '.join(sorted(outside))}")
    return "it listens on the loopback alone"


def _headers(folder: Path) -> str:
    import httpx

    here = dashboard(folder)
    for path in ("/", "/review", "/api/health", "/api/viewer/scan/x/slab/0"):
        headers = httpx.get(here.url + path, timeout=10).headers
        for name, value in HEADERS.items():
            if value.lower() not in headers.get(name, "absent: ").lower() or name not in headers:
                raise Opened(f"{path} has {name}: {headers.get(name)}")
    return "pages and routes carry them all"


def _without_token(folder: Path) -> str:
    import httpx

    from pages.ui.api import routes

    here, tried = dashboard(folder), 0
    junk = ("x", "0", "9" * 5000, "%00", "..%2f..%2fetc%2fpasswd", "%ff")
    for route in routes.ROUTES:
        for value in junk:
            path = re.sub(r"\{[^}]*\}", value, route.path)
            for method in sorted((route.methods or {"GET"}) - {"HEAD"}):
                answer = httpx.request(method, here.url + path, content=b"{" * 100_000, timeout=20)
                tried += 1
                open_to_all = route.path.startswith(("/api/health", "/api/viewer/static"))
                open_to_all |= "text/html" in answer.headers.get("content-type", "")  # no route: Streamlit's frame
                if answer.status_code >= 500 and answer.status_code != 503:
                    raise Opened(f"{method} {route.path} answers {answer.status_code} to {value[:20]!r}")
                if answer.status_code < 400 and not open_to_all:
                    raise Opened(f"{method} {route.path} answers {answer.status_code} without a token")
    return f"{tried} requests to {len(routes.ROUTES)} routes: none served, none failed"


def _absurd_slab(folder: Path) -> str:
    import httpx

    here = dashboard(folder)
    page, headers = _at_first(here)
    scan = json.loads(next(here.root.glob(f"raw/*/*/{FIRST}/CT.json")).read_text())["sha256"]
    place, said = f"{here.url}/api/viewer/scan/{scan}/slab", []
    if httpx.get(f"{place}/0", headers=headers, timeout=60).status_code != 200:
        raise Opened("the token does not open its own scan, so nothing was tried")
    for number in ("9" * 5000, "-1", "1e3", "999999999999"):
        answer = httpx.get(f"{place}/{number}", headers=headers, timeout=20)
        said.append(answer.status_code)
    page.context.close()
    if any(status >= 500 or status < 400 for status in said):
        raise Opened(f"answered {said}")
    return f"answered {said}"


def _packed(header: str, pixels: bytes = b"") -> bytes:
    text = header.encode()
    return gzip.compress(struct.pack("<I", len(text)) + text + pixels)


def _draft(here: Running, headers: dict[str, str]) -> tuple[Any, dict[str, Any]]:
    import httpx

    client = httpx.Client(base_url=here.url, timeout=30, headers=headers)
    begin = {"patient_id": PATIENT, "timepoint": FIRST, "parent_version": None}
    answer = client.post("/api/viewer/draft", json=begin)
    if answer.status_code != 200:
        raise Opened(f"a draft cannot be begun: {answer.status_code} {answer.text[:100]}")
    return client, answer.json()


def _first_timepoint(page: Any) -> None:
    page.get_by_role("combobox", name="Timepoint").first.click()
    page.get_by_role("option", name=FIRST, exact=True).click()


def _at_first(here: Running) -> tuple[Any, dict[str, str]]:
    page, _ = token_of(here)
    known = len(here.tokens)
    _first_timepoint(page)
    until = time.monotonic() + 60
    while len(here.tokens) == known and time.monotonic() < until:
        page.wait_for_timeout(200)
    return page, headers_of(here, page)


def _nan_edit(folder: Path) -> str:
    here = dashboard(folder)
    page, headers = _at_first(here)
    client, draft = _draft(here, headers)
    place = f"/api/viewer/draft/{draft['draft_id']}"
    box = '{"type":"box","scan":"CT","axis":2,"slice":2,"coords":[NaN,0,1e999,5],"positive":true,"lesion":1}'
    for header in (
        f'{{"slices": [], "what": "x", "prompts": [{box}]}}',
        '{"slices": [], "what": "x", "prompts": [{"a": NaN}]}',
        '{"slices": [], "prompts": ' + "[" * 20_000 + "]" * 20_000 + "}",
        '{"slices": [NaN]}',
    ):
        answer = client.put(place, content=_packed(header), headers={"If-Match": str(draft["revision"])})
        if answer.status_code not in (400, 422):
            raise Opened(f"an edit with NaN in it was answered {answer.status_code}")
    again = client.post("/api/viewer/draft", json={"patient_id": PATIENT, "timepoint": FIRST, "parent_version": None})
    client.delete(place)
    page.context.close()
    if again.status_code != 200:
        raise Opened(f"the draft cannot be begun again: {again.status_code}")
    return f"refused with {answer.status_code}; the draft goes on"


def _invented(folder: Path) -> str:
    """A drawing by hand that says it was MedSAM's answer."""
    here = dashboard(folder)
    page, headers = _at_first(here)
    client, draft = _draft(here, headers)
    place = f"/api/viewer/draft/{draft['draft_id']}"
    from tests.attack.scene import SHAPE

    pixels = bytearray(SHAPE[0] * SHAPE[1])
    pixels[500:520] = b"\x01" * 20
    box = {"type": "box", "scan": "CT", "axis": 2, "slice": 2, "coords": [1, 1, 9, 9], "positive": True, "lesion": 1}
    claim = {"model_id": "litemedsam", "checkpoint_sha256": "ab" * 32, "kept": True}
    header = {"slices": [2], "what": "x", "by_hand": False, "prompts": [{**box, **claim}]}
    answer = client.put(place, content=_packed(json.dumps(header), bytes(pixels)), headers={"If-Match": "0"})
    if answer.status_code >= 400:
        header["prompts"] = [box]
        claimed = answer.status_code
        answer = client.put(place, content=_packed(json.dumps(header), bytes(pixels)), headers={"If-Match": "0"})
    else:
        claimed = 0
    if answer.status_code >= 400:
        client.delete(place)
        page.context.close()
        return f"refused with {claimed or answer.status_code}"
    saved = client.post(place + "/save", headers={"If-Match": str(answer.json()["revision"])})
    page.context.close()
    if saved.status_code != 200:
        raise Opened(f"the drawing cannot be saved: {saved.status_code} {saved.text[:100]}")
    if saved.json()["method"] != "manual":
        raise Opened(f"it is recorded as {saved.json()['method']}")
    return "it is recorded as manual" + (f"; the claim itself is refused with {claimed}" if claimed else "")


def _after_the_session(folder: Path) -> str:
    import httpx

    here = dashboard(folder)
    page, headers = _at_first(here)
    scan = json.loads(next(here.root.glob(f"raw/*/*/{FIRST}/CT.json")).read_text())["sha256"]
    place = f"{here.url}/api/viewer/scan/{scan}/slab/0"
    if httpx.get(place, headers=headers, timeout=60).status_code != 200:
        raise Opened("the token does not open its own scan, so nothing was tried")
    page.context.close()
    started = time.monotonic()
    while time.monotonic() - started < 200:
        draft = httpx.post(f"{here.url}/api/viewer/draft", json={}, headers=headers, timeout=10).status_code
        if draft == 403 and httpx.get(place, headers=headers, timeout=10).status_code == 403:
            return f"{time.monotonic() - started:.0f} s after the window was closed its token opens nothing"
        time.sleep(2)
    raise Opened("the token of a closed window still opens scans")


def _clear_cache(folder: Path) -> str:
    """Anybody's WebSocket message, without any name: `clear_cache`."""
    import psutil
    from streamlit.proto.BackMsg_pb2 import BackMsg
    from websockets.sync.client import connect
    from websockets.typing import Origin, Subprotocol

    here = dashboard(folder)
    page = session_of(here, "review")
    page.get_by_role("button", name="Score the scan").click()
    ports = _dask_ports(here, wait_s=90)
    if not ports:
        raise Skipped("the job never came to Dask")
    children = {child.pid for child in psutil.Process(here.process.pid).children(recursive=True)}
    message = BackMsg()
    message.clear_cache = True
    address = f"ws://127.0.0.1:{here.port}/_stcore/stream"
    with connect(address, origin=Origin(here.url), subprotocols=[Subprotocol("streamlit")]) as line:
        line.send(message.SerializeToString())
        time.sleep(4)
    left = {child.pid for child in psutil.Process(here.process.pid).children(recursive=True)}
    page.context.close()
    if not children & left or not ports & _dask_ports(here, wait_s=0):
        raise Opened("it ended the processes that run jobs, for everybody")
    return f"{len(children & left)} of {len(children)} processes of jobs go on, and so does what hands them work"


def _dask_ports(here: Running, wait_s: float) -> set[int]:
    """The ports besides its own on which the dashboard and its children listen, waiting until there are some."""
    import psutil

    until = time.monotonic() + wait_s
    while True:
        ports: set[int] = set()
        for process in [psutil.Process(here.process.pid), *psutil.Process(here.process.pid).children(recursive=True)]:
            try:
                ports |= {c.laddr.port for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN}
            except psutil.Error:
                continue
        ports.discard(here.port)
        if len(ports) > 1 or time.monotonic() >= until:  # the scheduler's and a worker's
            return ports
        time.sleep(0.3)


def _scheduler(folder: Path) -> str:
    """Another user of this machine hands Dask a function."""
    here = dashboard(folder)
    ports = _dask_ports(here, wait_s=0)
    if not ports:
        raise Skipped("no job was running, so Dask was not there")
    script = (
        "import sys, os\nfrom distributed import Client\n"
        "client = Client(sys.argv[1], timeout=4)\nprint('RAN', client.submit(os.getpid).result(timeout=6))\n"
    )
    for port in sorted(ports):
        command = [sys.executable, "-c", script, f"tcp://127.0.0.1:{port}"]
        try:
            said = subprocess.run(command, capture_output=True, timeout=30, check=False).stdout
        except subprocess.TimeoutExpired as error:  # it waits for an answer that never comes
            said = error.stdout or b""
        if b"RAN" in said:
            raise Opened(f"port {port} ran a stranger's function")
    return f"{len(ports)} ports tried, none runs a stranger's function"


def _csv(folder: Path) -> str:
    import httpx

    here = dashboard(folder)
    page = session_of(here, "trajectory")
    page.get_by_role("button", name="Export").first.click()
    with page.expect_download(timeout=WAIT_MS) as waiting:
        page.get_by_role("button", name="Data of the chart (CSV)").click()
    address = waiting.value.url
    page.context.close()
    if address.startswith("blob:"):
        return "the table has no address"
    status = httpx.get(address, timeout=10).status_code
    if status < 400:
        raise Opened("the table is served to whoever has its address")
    return f"its address answers {status} to anybody else"


def _fresh_window(folder: Path) -> str:
    here = dashboard(folder)
    page = browser_of(here).new_context().new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(f"{here.url}/review?patient_id={PATIENT}")
    asked = page.get_by_role("heading", name="Who is working?")
    named = page.get_by_role("combobox", name=re.compile("Working as"))
    asked.or_(named).first.wait_for()
    page.wait_for_timeout(3000)
    name = named.input_value() if named.count() else ""
    page.context.close()
    if name:
        raise Opened(f"a window in which nobody has chosen a name works as {name!r}")
    return "it asks who is working"


def _door(name: str, attempt: Callable[[Path], str]) -> Door:
    return Door("Server", name, attempt)


DOORS = [
    _door("started plainly, which addresses it listens on", _plain_start),
    _door("started for every interface", _every_interface),
    _door("a page of another name that resolves to this machine", _rebinding),
    _door("a page of another site opens the WebSocket", _other_site),
    _door("headers against framing, sniffing and foreign scripts", _headers),
    _door("every route without a token, with absurd values", _without_token),
    _door("a window in which nobody has chosen a name", _fresh_window),
    _door("a slab number of 5,000 digits", _absurd_slab),
    _door("an edit with NaN in its prompts", _nan_edit),
    _door("a drawing that claims to be a model's", _invented),
    _door("a table fetched by its address alone", _csv),
    _door("clear_cache from anybody, while a job runs", _clear_cache),
    _door("Dask's scheduler, as another user of this machine", _scheduler),
    _door("a token after its window was closed", _after_the_session),
]
