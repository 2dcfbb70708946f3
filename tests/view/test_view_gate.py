"""Who may ask what: hosts, tokens, methods, origins, headers; and that no path leads out of the runs folder."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from starlette.testclient import TestClient
from view_data import comparison, stored, visitor

from cai.view.gate import COOKIE, Rules, is_loopback

SECRET = "s3cret-outside"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "run.json").write_text(f'{{"recipe": {{"description": "{SECRET}"}}, "steps": {{}}}}')
    (tmp_path / "secret" / "items.jsonl").write_text(f'{{"id": "{SECRET}"}}\n')
    stored(tmp_path / "runs")
    return tmp_path / "runs"


def form(viewer: TestClient, **changes: str) -> dict[str, str]:
    page = viewer.get("/run/made/label?as=ana").text
    found = dict(re.findall(r'name="(csrf|comparison|since|as|n)" value="([^"]*)"', page))
    return {**found, "choice": "first", **changes}


def same(viewer: TestClient) -> dict[str, str]:
    return {"origin": str(viewer.base_url).rstrip("/"), "sec-fetch-site": "same-origin"}


# Hosts.


@pytest.mark.parametrize("host", ["127.0.0.1:8321", "localhost:8321", "[::1]:8321", "127.0.0.1", "LOCALHOST"])
def test_this_machine_s_own_names_are_answered(runs: Path, host: str) -> None:
    assert visitor(runs).get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:8321",
        "10.0.0.5",
        "",
        "[::1",
        "a@b:c:d",
        "127.0.0.1@evil.example",
    ],
)
def test_another_name_is_refused_whatever_it_points_to(runs: Path, host: str) -> None:
    answer = visitor(runs).get("/", headers={"host": host})
    assert answer.status_code == 421
    assert "made" not in answer.text


@pytest.mark.parametrize(
    ("host", "near"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("[::1]", True), ("localhost", True), ("0.0.0.0", False),
     ("::", False), ("192.168.1.2", False), ("example.org", False)],
)  # fmt: skip
def test_a_token_is_asked_for_unless_this_machine_alone_is_bound(host: str, near: bool) -> None:
    assert is_loopback(host) is near
    assert bool(Rules.of(host, token=False).token) is not near
    assert Rules.of(host, token=True).token


# Tokens.


def test_without_the_token_nothing_is_shown(runs: Path) -> None:
    viewer = visitor(runs, Rules(loopback=False, token="t0ken"), "http://node7:8321")
    for path in ("/", "/run/made", "/static/view.css", "/?token=wrong", "/nowhere", "/run/made/training/sft.json"):
        answer = viewer.get(path)
        assert answer.status_code == 403, path
        assert "made" not in answer.text
    assert viewer.get("/", headers={"cookie": f"{COOKIE}=wrong"}).status_code == 403
    assert viewer.get("/?token=%C3%B6").status_code == 403


def test_the_token_becomes_a_cookie_and_leaves_the_address(runs: Path) -> None:
    viewer = visitor(runs, Rules(loopback=False, token="t0ken"), "http://node7:8321")
    answer = viewer.get("/run/made/records/revise?f.flag=truncated&token=t0ken&q=a+b")
    assert (answer.status_code, answer.headers["location"]) == (303, "/run/made/records/revise?f.flag=truncated&q=a+b")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert viewer.get("/run/made").status_code == 200


def test_the_way_from_the_token_leads_to_no_other_site(runs: Path) -> None:
    viewer = visitor(runs, Rules(loopback=False, token="t0ken"), "http://node7:8321")
    for path in ("//evil.example/?token=t0ken", "/%2f/evil.example?token=t0ken", "/\\evil.example?token=t0ken"):
        there = viewer.get(f"http://node7:8321{path}").headers["location"]
        assert re.match(r"/(?![/\\])", there), (path, there)


# What may be written.


def labelled(runs: Path) -> bool:
    return (runs / "made" / "labels").exists()


def test_a_label_from_our_own_page_is_kept(runs: Path) -> None:
    viewer = visitor(runs)
    answer = viewer.post("/run/made/label", data=form(viewer), headers=same(viewer))
    assert answer.status_code == 303 and labelled(runs)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "http://127.0.0.1:8321", "sec-fetch-site": "cross-site"},
        {"origin": "http://127.0.0.1:8321", "sec-fetch-site": "same-site"},
        {"referer": "http://evil.example/127.0.0.1:8321"},
        {},
    ],
)
def test_a_form_on_another_site_writes_nothing(runs: Path, headers: dict[str, str]) -> None:
    viewer = visitor(runs)
    assert viewer.post("/run/made/label", data=form(viewer), headers=headers).status_code == 403
    assert not labelled(runs)


@pytest.mark.parametrize("csrf", ["", "guess", "é"])
def test_a_form_without_our_token_writes_nothing(runs: Path, csrf: str) -> None:
    viewer = visitor(runs)
    assert viewer.post("/run/made/label", data=form(viewer, csrf=csrf), headers=same(viewer)).status_code == 403
    assert not labelled(runs)


def test_a_form_of_any_length_is_not_read_to_its_end(runs: Path) -> None:
    viewer = visitor(runs)
    given = form(viewer, note="x" * 2_000_000)
    assert viewer.post("/run/made/label", data=given, headers=same(viewer)).status_code == 403


@pytest.mark.parametrize("name", ["../../made/run", "a/b", "..", ".hidden", "", "x" * 61, "a\x00b", "a b"])
def test_a_labeller_s_name_is_no_path(runs: Path, name: str) -> None:
    viewer = visitor(runs)
    before = sorted(runs.rglob("*"))
    answer = viewer.post("/run/made/label", data=form(viewer, **{"as": name}), headers=same(viewer))
    assert answer.status_code == 400
    assert sorted(runs.rglob("*")) == before


@pytest.mark.parametrize("changes", [{"comparison": "none/0-1"}, {"choice": "a"}, {"choice": ""}, {"comparison": ""}])
def test_what_is_no_label_is_not_written(runs: Path, changes: dict[str, str]) -> None:
    viewer = visitor(runs)
    assert viewer.post("/run/made/label", data=form(viewer, **changes), headers=same(viewer)).status_code in (400, 404)
    assert not labelled(runs)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(runs: Path, method: str) -> None:
    assert visitor(runs).request(method, "/run/made/label").status_code == 405


def test_reading_pages_writes_nothing_below_the_runs(runs: Path) -> None:
    viewer = visitor(runs)
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("*")}
    pages = ("records/revise", "records/compare", "training", "label?as=ana", "agreement", "evaluation")
    for path in ("/", "/run/made", *(f"/run/made/{page}" for page in pages), "/compare?a=made&b=made"):
        assert viewer.get(path).status_code == 200
    assert {path: path.stat().st_mtime_ns for path in runs.rglob("*")} == before


# Headers.


@pytest.mark.parametrize("path", ["/", "/run/made/records/revise", "/static/view.js", "/nowhere", "/run/none"])
def test_nothing_inline_runs_and_nothing_comes_from_elsewhere(runs: Path, path: str) -> None:
    answer = visitor(runs).get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|https?://(?!127)", answer.text) or path.endswith(
        ".js"
    )


def test_the_report_stands_in_a_sandbox(runs: Path) -> None:
    folder = stored(runs, "told", {"report": []}).steps["report"].path
    (folder / "report.html").write_text("<style>p {color: red}</style><script>1</script>")
    policy = visitor(runs).get("/run/told/report").headers["content-security-policy"]
    assert policy.startswith("sandbox;") and "script-src" not in policy and "default-src 'none'" in policy


# Paths.


@pytest.mark.parametrize(
    "name", ["..", "../secret", "%2e%2e/secret", "..%2fsecret", "%2e%2e%2fsecret", "....//secret", ".",
             "made/../../secret", "made%00", "%252e%252e%252fsecret", "..\\secret", "/etc"]
)  # fmt: skip
def test_no_address_leads_out_of_the_runs_folder(runs: Path, name: str) -> None:
    viewer = visitor(runs)
    for path in (f"/run/{name}", f"/run/{name}/records/revise", f"/static/{name}", f"/static/../{name}/run.json",
                 f"/run/made/records/{name}", f"/run/made/raw/{name}", f"/run/made/training/{name}.json",
                 f"/compare?a={quote(name)}&b=made", f"/run/made/records/revise/raw?id={quote(name)}"):  # fmt: skip
        status, text = unchanged(viewer.app, path)
        assert status in (307, 400, 404), path
        assert SECRET not in text and "root:" not in text


def unchanged(app: Any, address: str) -> tuple[int, str]:
    """Asks for an address as it stands, which a browser or a client would tidy first."""
    path, _, query = address.partition("?")
    scope = {"type": "http", "method": "GET", "path": unquote(path), "raw_path": path.encode(), "scheme": "http",
             "query_string": query.encode(), "headers": [(b"host", b"127.0.0.1:8321")], "http_version": "1.1",
             "root_path": "", "server": ("127.0.0.1", 8321), "client": ("127.0.0.1", 9)}  # fmt: skip
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], b"".join(one.get("body", b"") for one in sent[1:]).decode("utf-8", "replace")


def test_links_out_of_the_runs_folder_are_not_followed(runs: Path) -> None:
    secret = runs.parent / "secret"
    (runs / "linked").symlink_to(secret)
    step = stored(runs, "other").steps["compare"].path
    (step / "items.jsonl").unlink()
    (step / "items.jsonl").symlink_to(secret / "items.jsonl")
    (runs / "other" / "labels").symlink_to(secret)
    viewer = visitor(runs)
    assert "linked" not in viewer.get("/").text
    for path in ("/run/linked", "/run/other/records/compare", "/run/other/records/compare/raw?id=" + SECRET,
                 "/run/other/agreement", "/run/other/label?as=ana"):  # fmt: skip
        answer = viewer.get(path)
        assert answer.status_code == 404, path
        assert SECRET not in answer.text
    assert viewer.get("/run/other").status_code == 200


def test_a_run_that_names_folders_elsewhere_shows_none_of_them(runs: Path) -> None:
    path = stored(runs, "odd", {"compare": [comparison("One?")]}).path / "run.json"
    text = path.read_text("utf-8")
    path.write_text(text.replace("odd/compare-01234567", os.path.relpath(runs.parent / "secret", runs)))
    viewer = visitor(runs)
    assert "Not shown, since they lie outside" in viewer.get("/run/odd").text
    assert viewer.get("/run/odd/records/compare").status_code == 404
    path.write_text(text.replace("odd/compare-01234567", str(runs.parent / "secret")))
    assert viewer.get("/run/odd/records/compare").status_code == 404


def test_a_label_is_not_written_through_a_link(runs: Path) -> None:
    viewer = visitor(runs)
    given = form(viewer)
    (runs / "made" / "labels").symlink_to(runs.parent / "secret")
    assert viewer.post("/run/made/label", data=given, headers=same(viewer)).status_code == 404
    assert not (runs.parent / "secret" / "ana.jsonl").exists()
