"""What a thread of the server imports is found, whatever pages run meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from streamlit.runtime.scriptrunner.exec_code import modified_sys_path

from pages.ui.frame import shell
from tests.conftest import ROOT

MAIN = ROOT / "pages/ui/frame/main.py"


@pytest.fixture
def path(monkeypatch):
    """sys.path as the server starts with it: without the folder of the main script."""
    start = [entry for entry in sys.path if os.path.realpath(entry) != os.path.realpath(MAIN.parent)]
    monkeypatch.setattr(sys, "path", start)
    return start


def test_a_run_of_a_page_does_not_change_where_other_threads_look_for_modules(path):
    with modified_sys_path(str(MAIN)):
        assert sys.path[0] == str(MAIN.parent), "what Streamlit does without it"
    shell.keep_on_path()
    before = list(sys.path)
    with modified_sys_path(str(MAIN)):
        assert sys.path == before
    assert sys.path == before
    assert before[0] != str(MAIN.parent), "nothing is looked for there first"
    shell.keep_on_path()
    assert sys.path == before, "once is enough"


def test_the_folder_that_is_kept_is_that_of_the_script_which_the_server_runs():
    code = "from app import app; print(app._resolve_script_path())"  # sets a global of Streamlit's: not in this process
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert Path(ran.stdout.strip().splitlines()[-1]) == MAIN
