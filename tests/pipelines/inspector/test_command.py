"""The command: its exit codes, what it prints, and a real server that Ctrl-C ends."""

from __future__ import annotations

import html
import http.client
import itertools
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import webbrowser
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from inspecting import client_of, rewrite
from processes import PATIENCE

from cxr_vlp.pipelines import errors
from cxr_vlp.pipelines.cards import sample_table
from cxr_vlp.pipelines.inspector import command
from cxr_vlp.pipelines.inspector.session import Session


def run(capsys, *words):
    code = errors.run(lambda: command.main(list(map(str, words))))
    return code, capsys.readouterr().err


def test_a_folder_without_sets_is_a_wrong_argument(tmp_path, capsys):
    code, said = run(capsys, tmp_path, "--state", tmp_path / "state")
    assert code == 2
    assert "no manifest.jsonl" in said
    code, said = run(capsys, tmp_path / "absent", "--state", tmp_path / "state")
    assert code == 2
    assert "is not a folder" in said


def test_a_set_of_which_no_tar_can_be_read_is_bad_data(copied, tmp_path, capsys):
    folder = copied("nih")
    for tar in folder.glob("*/*.tar"):
        tar.write_bytes(tar.read_bytes()[:2000])
    code, said = run(capsys, folder, "--state", tmp_path / "state")
    assert code == 65
    assert "cxr-vlp verify" in said


def test_a_port_that_is_taken_is_a_wrong_argument(session, tmp_path, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        words = (session.folder, "--state", session.state, "--port", port, "--no-browser")
        code, said = run(capsys, *words)
    assert code == 2
    assert "--port" in said


@pytest.mark.parametrize("port", ["-1", "65536", "http", "٣"])
def test_a_port_is_a_number(tmp_path, port, capsys):
    with pytest.raises(SystemExit) as end:
        command.main([str(tmp_path), f"--port={port}"])
    assert end.value.code == 2


def test_no_flag_opens_the_page_to_the_network(capsys):
    with pytest.raises(SystemExit):
        command.main(["--help"])
    assert not re.search(r"--(host|ip|bind|address)", capsys.readouterr().out)


def test_a_missing_package_is_named_with_its_remedy(tmp_path):
    code = (
        "import sys; sys.modules['flask'] = None; from cxr_vlp.cli import main; "
        f"sys.exit(main(['inspect', {str(tmp_path)!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 2
    assert 'inspect needs the package flask: pip install "cxr-vlp[share]"' in done.stderr


def test_the_browser_gets_a_private_file_and_no_token_among_its_arguments(monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    with command._opening_page("http://127.0.0.1:1/?token=secret"):
        (address,) = opened
        assert "secret" not in address
        path = Path(address.removeprefix("file://"))
        assert "secret" in path.read_text()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


def test_the_server_answers_on_this_machine_and_ctrl_c_ends_it(session):
    words = [sys.executable, "-c", _START, str(session.folder), str(session.state)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=os.environ | {"PYTHONUNBUFFERED": "1"}) as process:  # fmt: skip
        said = [process.stdout.readline() for _ in range(3)]
        host, port, token = re.search(r"http://([0-9.]+):(\d+)/\?token=(\S+)", said[1]).groups()
        assert host == "127.0.0.1"
        entered = ask(port, f"/?token={token}")
        cookie = entered.headers["Set-Cookie"].partition(";")[0]
        assert ask(port, "/").status == 403
        assert ask(port, "/", Cookie=cookie, Host="evil.example").status == 403
        page = ask(port, "/", Cookie=cookie)
        assert page.status == 200
        assert page.headers["Server"] == "cxr-vlp"
        ask(port, "/?q=secretword", Cookie=cookie)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert err == "stopped: the page is closed\n"
    assert out == ""


_START = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & lets it be ignored
from cxr_vlp.cli import main
sys.exit(main(["inspect", sys.argv[1], "--state", sys.argv[2], "--no-browser"]))
"""


def ask(port, address, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=PATIENCE)
    connection.request("GET", address, headers=headers)
    answer = connection.getresponse()
    answer.read()
    return answer


ODD = ('It\'s "odd" & <b>', "$HOME", "`id`", "Côté gauche", "back\\slash", "view")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash on this machine")
@pytest.mark.parametrize(
    "query",
    [
        [("label", f"{ODD[0]}:1"), ("label", "$HOME:null"), ("label", "`id`:null")],
        [("label", "view:1"), ("label", "Côté gauche:null"), ("label", "back\\slash:null")],
        [("where", "key like '%$HOME`x`!%' or age > 50 -- it's"), ("split", "train")],
        [("q", "effusion"), ("split", "train")],
    ],
)
def test_the_printed_commands_select_and_export_what_is_shown(copied, tmp_path, monkeypatch, query):
    folder = copied("nih", "a $HOME `id` it's é")
    numbers = itertools.count()

    def odd(name, data):
        if name.endswith(".json"):
            other = {"name": ODD[next(numbers) % len(ODD)], "value": 1}
            data = json.dumps(json.loads(data) | {"labels_other": [other]}).encode()
        yield name, data

    rewrite(folder, odd)
    monkeypatch.chdir(tmp_path)
    path = folder.relative_to(tmp_path)
    client = client_of(session := Session(path, tmp_path / "state"))
    (index,) = session.now.search.indexes
    index.start()
    index.wait(PATIENCE)
    page = client.get("/", query_string=query).text
    keys = client.get("/keys.txt", query_string=query).text
    assert keys
    Path("keys.txt").write_text(keys)
    for name in ("select", "export"):
        shown = re.search(f'<pre tabindex="0" id="{name}">(.*?)</pre>', page, re.DOTALL)[1]
        shell = f'cxr-vlp() {{ "{sys.executable}" -m cxr_vlp "$@"; }}\n{html.unescape(shown)}'
        subprocess.run(["bash", "-c", shell], check=True, capture_output=True, timeout=PATIENCE)
    (selected,) = Path("data/selected").rglob("manifest.jsonl")
    (exported,) = Path("data/exported").rglob("*.parquet")
    assert sorted(sample_table.build(selected.parent)["key"].to_pylist()) == sorted(keys.split())
    assert sorted(pq.read_table(exported)["key"].to_pylist()) == sorted(keys.split())
