"""The page is seen by the user who started it, and by nobody else."""

from __future__ import annotations

import pytest
from inspecting import GUARD

from cxr_vlp.pipelines.inspector.security import HEADERS, Guard

ADDRESSES = ("/", "/sets", "/rejects", "/keys.txt", "/static/page.js", "/image/nih/x", "/nothing")


@pytest.mark.parametrize("address", ADDRESSES)
def test_without_the_cookie_nothing_is_shown(stranger, address):
    answer = stranger.get(address)
    assert answer.status_code == 403
    assert b"nih" not in answer.data


@pytest.mark.parametrize("token", ["", "wrong", "the-toke", "the-token ", "the-session", "tökén"])
def test_a_wrong_token_is_refused(stranger, token):
    answer = stranger.get("/", query_string={"token": token})
    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers


def test_the_cookie_does_not_excuse_a_wrong_token(client):
    assert client.get("/?token=wrong").status_code == 403


def test_a_visit_with_the_token_gives_a_cookie_and_an_address_without_it(stranger):
    answer = stranger.get("/?split=train&token=the-token&q=a%26b")
    assert answer.status_code == 200
    assert "url=/?split=train&amp;q=a%26b" in answer.text
    assert "the-token" not in answer.text
    cookie = answer.headers["Set-Cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", GUARD.cookie))
    assert "the-token" not in cookie
    assert stranger.get("/").status_code == 200


def test_the_first_page_does_not_lead_to_another_host(stranger):
    address = "//evil.example/x?token=the-token"
    answer = stranger.get("/", environ_overrides={"PATH_INFO": "//evil.example/x"},
                          query_string={"token": "the-token"})  # fmt: skip
    assert "url=//" not in answer.text, address


@pytest.mark.parametrize(
    ("path", "opened"),
    [
        ("/\\evil.example/x", "/%5Cevil.example/x"),
        ("/sample/a?b #c%/k", "/sample/a%3Fb%20%23c%25/k"),
    ],
)
def test_the_first_page_leads_to_the_same_path(stranger, path, opened):
    answer = stranger.get("/", environ_overrides={"PATH_INFO": path},
                          query_string={"token": "the-token"})  # fmt: skip
    assert f'url={opened}"' in answer.text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8", "",
                                  "evil.example:127.0.0.1", "127.0.0.1@evil.example"])  # fmt: skip
def test_a_foreign_host_is_refused_even_with_the_token(client, host):
    for address in ("/", "/?token=the-token"):
        answer = client.get(address, headers={"Host": host})
        assert answer.status_code in (400, 403)
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:9000", "LOCALHOST", "[::1]:1"])
def test_this_machine_and_a_tunnel_are_let_in(client, host):
    assert client.get("/sets", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_request_of_another_page_is_refused(client, site):
    assert client.get("/", headers={"Sec-Fetch-Site": site}).status_code == 403
    assert client.get("/", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 200


def test_another_page_cannot_post(client):
    answer = client.post("/read-again", headers={"Origin": "http://127.0.0.1:9999"})
    assert answer.status_code == 403


@pytest.mark.parametrize("address", ["/", "/sets", "/nothing", "/?where=x", "/image/nih/x"])
def test_every_answer_has_the_headers(client, stranger, address):
    for visitor in (client, stranger):
        answer = visitor.get(address)
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_pages_need_nothing_that_the_policy_forbids(client, session):
    key = session.now.opened.table.column("key")[0].as_py()
    for address in ("/", "/sets", "/rejects", f"/sample/chexpert/{key}"):
        page = client.get(address).text
        for forbidden in ("style=", "<style", "onclick", "javascript:", "http://", "https://"):
            assert forbidden not in page, (address, forbidden)


@pytest.mark.parametrize("path", ["/image/nih/../../../etc/passwd", "/static/../app.py",
                                  "/image/..%2F..%2Fetc/passwd", "/static/%2e%2e/app.py",
                                  "/sample/nih/%00"])  # fmt: skip
def test_an_address_leads_to_no_other_file(client, path):
    answer = client.get(path)
    assert answer.status_code == 404
    assert b"root:" not in answer.data
    assert b"import flask" not in answer.data


def test_secrets_differ_between_runs_and_are_not_printed():
    one, other = Guard(1), Guard(1)
    assert len({one.token, other.token, one.session, other.session}) == 4
    assert one.token not in repr(one)
    assert one.session not in repr(one)
