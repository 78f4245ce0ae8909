"""The settings: each is checked, said in words when it is wrong, listed in one document, and read in one module."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

import cli
from core import settings as module
from core.errors import InputError
from core.settings import FIELDS, Settings, for_child, settings, spec_of, unknown_variables
from store.files import file_rights
from tests import settings_table

ROOT = Path(__file__).resolve().parents[2]
#: Reads and sets variables; the recipes set nnU-Net's own before they import it.
READS = "core/settings.py"
EXEMPT = ("tests/", "weights/recipes/")
_NAMES = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}

WRONG = {
    "TWIN_EMBEDDING_CACHE_GB": ["much", "-1", "nan", "inf", ""],
    "TWIN_PROMPT_IDLE_MINUTES": ["soon", "0", "-3", "inf", ""],
    "TWIN_ENCODER": ["onnx", "OpenVINO", ""],
    "TWIN_NEIGHBOURS": ["Exact", "hnswlib", ""],
    "TWIN_LESION_ENCODER": ["medsam", "LiteMedSAM", ""],
    "TWIN_MAX_IMPORT_GB": ["0", "-1", "nan", "1e6", "a lot", ""],
    "TWIN_IMPORT_SECONDS": ["0", "1e9", ""],
    "TWIN_MAX_UPLOAD_GB": ["0", "x"],
    "TWIN_MAX_UPLOAD_FILES": ["0", "2.5", "x", "1000000"],
    "TWIN_DATES": ["maybe", "Keep", ""],
    "TWIN_UMASK": ["", "77", "0o77", "777", "078", "077 ", "000", "177", "nobody", "-77", "٠٧٧"],
    "TWIN_WORKERS": ["0", "-1", "two", "1.5", "", "²", "1_0"],
    "TWIN_DASK_WITHOUT_TLS": ["true", "1", "yes please"],
    "TWIN_SECRET": ["zq", " " * 40, "fifteen letters"],
    "TWIN_AUDIT_KEY": ["short"],
    "TWIN_LLM_URL": [
        "http://10.0.0.5/v1",  # another machine, without TLS
        "http://models.example/v1",
        "http://localhost.example/v1",
        "localhost:8000/v1",
        "ftp://localhost/v1",
        "file:///etc/passwd",
        "https:///v1",
        "https://a:b/v1",
        "https://a:0/v1",
        "https://a b/v1",
        "https://a/v 1",
    ],
    "TWIN_LLM_KEY": ["two words", "a\nHost: b", "schlüssel"],
    "TWIN_LLM_TIMEOUT_S": ["0", "-1", "soon", "inf"],
    "OMP_NUM_THREADS": ["0", "all", "2;3"],
}
RIGHT: dict[str, list[tuple[str, object]]] = {
    "TWIN_DATA": [("/srv/data", Path("/srv/data"))],
    "TWIN_CACHE": [("", None), ("c", Path("c"))],
    "TWIN_EMBEDDING_CACHE_GB": [("0", 0.0), ("0.5", 0.5)],
    "TWIN_PROMPT_IDLE_MINUTES": [("0.05", 0.05)],
    "TWIN_ENCODER": [("torch", "torch")],
    "TWIN_NEIGHBOURS": [("hnsw", "hnsw"), ("ruvector", "ruvector")],
    "TWIN_LESION_ENCODER": [("medsiglip", "medsiglip"), ("none", "none")],
    "TWIN_MAX_IMPORT_GB": [("1e-3", 0.001), (" 4 ", 4.0)],
    "TWIN_MAX_UPLOAD_FILES": [("7", 7)],
    "TWIN_DATES": [("shift", "shift")],
    "TWIN_UMASK": [("007", 0o007), ("0027", 0o027)],
    "TWIN_WEIGHTS": [("  ", None), (" w ", Path("w"))],
    "TWIN_WORKERS": [("3", 3)],
    "TWIN_DASK": [("", None), ("tls://a:1", "tls://a:1")],
    "TWIN_DASK_WITHOUT_TLS": [("yes", True), ("", False), ("no", False)],
    "TWIN_HOSTS": [("", frozenset()), (" Twin.Example., 10.0.0.5,", frozenset({"twin.example", "10.0.0.5"}))],
    "TWIN_SECRET": [("", None), ("sixteen letters.", SecretStr("sixteen letters."))],
    "TWIN_AUDIT_KEY": [("", None), ("/k", SecretStr("/k"))],
    "TWIN_AUDIT_ANCHOR": [("", None), ("/a", Path("/a"))],
    "TWIN_PERSON": [("", None), ("ann", "ann")],
    "TWIN_LLM_URL": [
        ("", None),
        ("https://models.example:8443/v1/", "https://models.example:8443/v1"),
        ("http://localhost:8000/v1", "http://localhost:8000/v1"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
    ],
    "TWIN_LLM_MODEL": [(" ", None), ("medgemma-4b-it", "medgemma-4b-it")],
    "TWIN_LLM_KEY": [("", None), ("sk-1", SecretStr("sk-1"))],
    "TWIN_LLM_TIMEOUT_S": [("2.5", 2.5)],
    "OMP_NUM_THREADS": [("", None), (" 2 ", "2"), ("4,2", "4,2")],
}


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's own is set."""
    for name in FIELDS:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("name", "text", "value"), [(n, *pair) for n, pairs in RIGHT.items() for pair in pairs])
def test_a_setting_is_read_in_its_own_type(monkeypatch, name, text, value):
    monkeypatch.setenv(name, text)
    assert getattr(settings(), FIELDS[name]) == value


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in WRONG.items() for text in texts])
def test_a_wrong_value_is_one_sentence_that_names_the_variable(monkeypatch, name, text):
    monkeypatch.setenv(name, text)
    with pytest.raises(InputError) as refused:
        settings()
    sentence = str(refused.value)
    assert re.match(r"Expected .*, got .*[:.] ?.*\.$", sentence)
    assert name in sentence
    assert "\n" not in sentence
    if module.is_secret(name):
        assert text.strip() == "" or text not in sentence
    else:
        assert spec_of(name).allowed in sentence
        assert ascii(text) in sentence


@pytest.mark.parametrize("name", [name for name in FIELDS if module.is_secret(name)])
def test_a_secret_is_neither_printed_nor_quoted(monkeypatch, name):
    assert name in ("TWIN_SECRET", "TWIN_AUDIT_KEY", "TWIN_LLM_KEY")
    monkeypatch.setenv(name, "known-to-nobody-at-all")
    assert "known" not in repr(settings()) + str(settings()) + settings().model_dump_json()
    monkeypatch.setenv(name, "known\udcff to nobody at all")  # as Python has a byte that is not UTF-8
    with pytest.raises(InputError, match=name) as refused:
        settings()
    assert "known" not in str(refused.value)


@pytest.mark.parametrize(
    "address", ["https://me:hush@a/v1", "https://hush@a/v1", "https://a/v1?key=hush", "https://a#hush"]
)
def test_a_key_in_the_address_of_a_language_model_is_refused_and_not_quoted(monkeypatch, address):
    monkeypatch.setenv("TWIN_LLM_URL", address)
    with pytest.raises(InputError, match="TWIN_LLM_KEY") as refused:
        settings()
    assert "hush" not in str(refused.value)


def test_without_any_the_defaults_hold():
    now = settings()
    assert (now.data, now.cache_folder, now.workers, now.umask) == (Path("data"), Path("data/cache"), 1, 0o077)
    assert (now.secret, now.audit_key, now.hosts) == (None, None, frozenset())


def test_they_cannot_be_changed_but_by_the_environment_which_is_looked_at_each_time(monkeypatch):
    before = settings()
    with pytest.raises(ValidationError):
        before.workers = 2  # type: ignore[misc]
    monkeypatch.setenv("TWIN_WORKERS", "2")
    assert (settings().workers, before.workers) == (2, 1)
    monkeypatch.delenv("TWIN_WORKERS")
    assert settings() == before
    assert settings() is settings(), "checked once while nothing changes"


def test_asking_again_costs_little():
    settings()
    start = time.perf_counter()
    for _ in range(1000):
        settings()
    assert time.perf_counter() - start < 1.0, "a millisecond each, on the busiest machine"


def test_a_slip_of_the_pen_is_said_without_its_value(monkeypatch, tmp_path, capsys):
    assert unknown_variables() == []
    monkeypatch.setenv("TWIN_WORKER", "hush")
    monkeypatch.setenv("TWIN_SHARED", "/of/tests")
    assert unknown_variables() == [
        "TWIN_WORKER is set, but TwinReview has no such setting; did you mean TWIN_WORKERS? "
        "docs/settings.md lists them."
    ]
    monkeypatch.setenv("TWIN_NOTHING\nLIKE IT", "x")
    assert len(unknown_variables()) == 2
    assert all("\n" not in line for line in unknown_variables())
    assert cli.main(["--data", str(tmp_path / "none"), "masks", "P1"]) == 1
    assert "did you mean TWIN_WORKERS?" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["masks", "P1"], ["--data", "there", "verify"]])
def test_the_command_line_says_a_wrong_setting_before_it_does_anything(monkeypatch, tmp_path, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TWIN_WORKERS", "many")
    assert cli.main(arguments) == 1
    assert (
        capsys.readouterr().err
        == "Expected TWIN_WORKERS as a whole number from 1 on, got 'many'. Correct the setting.\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_the_dashboard_does_not_start_with_a_wrong_setting_and_says_so(tmp_path):
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", "0"]
    wrong = {"TWIN_WORKERS": "many", "TWIN_DATA": str(tmp_path / "data")}
    done = subprocess.run(command, cwd=ROOT, env=for_child(wrong), capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "Expected TWIN_WORKERS as a whole number from 1 on, got 'many'." in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert not (tmp_path / "data").exists()


def test_while_a_setting_is_wrong_files_are_closed(monkeypatch):
    monkeypatch.setenv("TWIN_UMASK", "007")
    monkeypatch.setenv("TWIN_WORKERS", "many")
    before = os.umask(0)
    try:
        file_rights.keep_private()
        assert os.umask(before) == 0o077
    finally:
        os.umask(before)


def test_a_child_gets_what_it_should_of_the_environment(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/theirs")
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    monkeypatch.setenv("TWIN_WORKERS", "2")
    everything = for_child({"OMP_NUM_THREADS": "1"}, home=Path("/ours"))
    assert everything == {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(["/ours", "/theirs"])}
    assert for_child({"A": "b"}, only=("TWIN_WORKERS", "NOT_SET")) == {"A": "b", "TWIN_WORKERS": "2"}
    less = for_child({"GIT_OPTIONAL_LOCKS": "0"}, without="GIT_")
    assert {name for name in less if name.startswith("GIT_")} == {"GIT_OPTIONAL_LOCKS"}
    assert less["PYTHONPATH"] == "/theirs"


def test_a_process_started_from_here_reads_the_same_settings(monkeypatch):
    monkeypatch.setenv("TWIN_DATES", "shift")
    code = "import sys; from core.settings import settings; print(settings().dates, 'torch' in sys.modules)"
    env = for_child({}, home=ROOT)
    done = subprocess.run([sys.executable, "-P", "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "shift False\n"


# --- one list, one reader ---


def test_every_setting_says_what_it_is_for_and_what_it_may_be():
    for name, field in FIELDS.items():
        assert Settings.model_fields[field].description
        assert spec_of(name).allowed
        assert name in (f"TWIN_{field.upper()}", field.upper())
    assert set(FIELDS) == RIGHT.keys() | WRONG.keys(), "each is tried here"


def test_the_list_of_settings_is_as_the_module_says():
    written = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert written == settings_table.document(), "run `make settings`"


def environment_readers(source: str) -> list[int]:
    """The lines on which a module looks at the environment or changes it."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in _NAMES:
            lines.append(node.lineno)
        elif isinstance(node, ast.ImportFrom) and node.module in ("os", "posix"):
            lines += [node.lineno for alias in node.names if alias.name in _NAMES]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            lines += [node.lineno] if re.match(r"/proc/\w+/environ", node.value) else []
    return lines


def test_no_other_module_reads_the_environment():
    files = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    read = {
        name
        for name in files.stdout.split()
        if not name.startswith(EXEMPT) and environment_readers((ROOT / name).read_text(encoding="utf-8"))
    }
    assert read == {READS}


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos.environ['TWIN_DATA']",
        "import os as system\nsystem.getenv('TWIN_DATA')",
        "from os import environ",
        "from os import getenv as get",
        "import os\nos.environb.get(b'A')",
        "import os\nos.putenv('A', 'b')",
        "open('/proc/self/environ')",
    ],
)
def test_a_module_that_reads_the_environment_is_caught(source):
    assert environment_readers(source)
