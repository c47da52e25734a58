"""Sources behind addresses, from a server of this machine: whole or absent, once, and nowhere but on the web."""

import gzip
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest

from genus.core.errors import GenusError
from genus.data.sources import Document, Dropped, pieces, read
from genus.data.sources.fetch import fetched
from genus.data.sources.limits import Limits

LINES = gzip.compress(b'{"text": "one"}\n{"text": "two"}\n')
PAGES = {
    "/data/x.jsonl.gz": (200, {}, LINES),
    "/page?q=1": (200, {"Content-Type": "text/html; charset=utf-8"}, b"<p>hello</p>"),
    "/unknown": (200, {"Content-Type": "image/png"}, b"\x89PNG"),
    "/moved.txt": (302, {"Location": "/there.txt"}, b""),
    "/there.txt": (200, {}, b"moved here"),
    "/to-file.txt": (302, {"Location": "file:///etc/hostname"}, b""),
    "/to-ftp.txt": (301, {"Location": "ftp://127.0.0.1/x.txt"}, b""),
    "/round.txt": (302, {"Location": "/round.txt"}, b""),
    "/cut.txt": (200, {"Content-Length": "1000"}, b"only this"),
    "/..%2f..%2fetc%2fpasswd.txt": (200, {}, b"a name that climbs"),
}


@pytest.fixture
def web() -> Iterator[tuple[str, list[str]]]:
    """The address of a server with PAGES, and what was asked of it."""
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status, headers, body = PAGES.get(self.path, (404, {}, b"not here"))
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def test_a_file_is_fetched_once_and_read_as_its_name_says(web: tuple[str, list[str]], tmp_path: Path) -> None:
    address, asked = web[0] + "/data/x.jsonl.gz", web[1]
    for _ in range(2):
        assert list(read(address, tmp_path)) == [
            Document("x.jsonl.gz#1", "one", address),
            Document("x.jsonl.gz#2", "two", address),
        ]
    assert asked == ["/data/x.jsonl.gz"]
    (piece,) = pieces(address, tmp_path)
    assert piece.file.read_bytes() == LINES


def test_the_type_of_a_reply_names_a_page(web: tuple[str, list[str]], tmp_path: Path) -> None:
    (document,) = read(web[0] + "/page?q=1", tmp_path)
    assert document == Document("page.html", "<p>hello</p>", web[0] + "/page?q=1", meta={"format": "html"})
    with pytest.raises(GenusError, match="is not of a format that is read"):
        pieces(web[0] + "/unknown", tmp_path)


def test_redirects_lead_on_the_web_only(web: tuple[str, list[str]], tmp_path: Path) -> None:
    assert fetched(web[0] + "/moved.txt", tmp_path).read_text() == "moved here"
    for path, why in (("/to-file.txt", "is not allowed"), ("/to-ftp.txt", "which is not followed")):
        with pytest.raises(GenusError, match=rf"could not be fetched .*{why}"):
            fetched(web[0] + path, tmp_path)
    with pytest.raises(GenusError, match=r"could not be fetched .*infinite loop"):
        fetched(web[0] + "/round.txt", tmp_path)
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/missing.txt", "could not be fetched .HTTP Error 404: Not Found.; check the address and the network"),
        ("/cut.txt", "could not be fetched .it ended after 9 of 1000 bytes."),
    ],
)
def test_what_fails_leaves_nothing_behind(web: tuple[str, list[str]], tmp_path: Path, path: str, message: str) -> None:
    for _ in range(2):
        with pytest.raises(GenusError, match=message):
            fetched(web[0] + path, tmp_path)
    assert len(web[1]) == 2
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("path", ["/data/x.jsonl.gz", "/cut.txt"])
def test_more_than_is_allowed_is_not_fetched(
    web: tuple[str, list[str]], tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Limits, "FETCHED", 5)
    with pytest.raises(GenusError, match="above 5; fetch a part of it yourself"):
        fetched(web[0] + path, tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_no_network_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(GenusError, match=r"could not be fetched .*refused.*; check the address and the network"):
        fetched("http://127.0.0.1:9/x.txt", tmp_path)


def test_a_name_that_climbs_stays_in_the_cache(web: tuple[str, list[str]], tmp_path: Path) -> None:
    place = fetched(web[0] + "/..%2f..%2fetc%2fpasswd.txt", tmp_path)
    assert place.resolve().is_relative_to(tmp_path)
    assert place.read_text() == "a name that climbs"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """A hub with one data set. Gives what was asked of it."""
    folder = tmp_path / "hub"
    for name in ("README.md", "load.py", "data/a[1].jsonl", "data/b.txt", "picture.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text('{"text": "one"}\n')
    asked: list[tuple[object, ...]] = []

    def dataset_info(self: object, name: str, revision: str | None, files_metadata: bool) -> SimpleNamespace:
        asked.append((name, revision))
        if name != "owner/name":
            raise OSError("404 Client Error\nwith more lines")
        names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        return SimpleNamespace(sha="c0ffee", siblings=[SimpleNamespace(rfilename=name, size=16) for name in names])

    def snapshot_download(name: str, repo_type: str, revision: str, allow_patterns: list[str], local_dir: Path) -> None:
        asked.append((name, repo_type, revision, sorted(allow_patterns)))
        shutil.copytree(folder / "data", local_dir / "data")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", dataset_info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return asked


def test_a_data_set_gives_its_data_of_one_commit(hub: list[tuple[object, ...]], tmp_path: Path) -> None:
    source = "hf://datasets/owner/name@v1"
    found = list(read(source, tmp_path / "cache"))
    assert hub == [("owner/name", "v1"), ("owner/name", "dataset", "c0ffee", ["data/a[[]1].jsonl", "data/b.txt"])]
    assert found == [
        Document("data/a[1].jsonl#1", "one", f"{source}/data/a[1].jsonl"),
        Document("data/b.txt", '{"text": "one"}\n', f"{source}/data/b.txt"),
    ]
    assert list(read(source, tmp_path / "cache")) == found
    assert len(hub) == 2
    list(read("hf://datasets/owner/name/data/*.txt", tmp_path / "cache"))
    assert hub[-1][-1] == ["data/b.txt"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("hf://datasets/owner/missing", "could not be fetched .404 Client Error.; check the address"),
        ("hf://datasets/owner/name/none/", "has no files of a kind that is read"),
        ("hf://datasets/../..", "could not be fetched"),
        ("hf://datasets/name", "is not a data set of the hub"),
        ("hf://owner/name", "is not a data set of the hub"),
    ],
)
def test_data_sets_that_are_none(hub: list[tuple[object, ...]], tmp_path: Path, source: str, message: str) -> None:
    with pytest.raises(GenusError, match=message):
        fetched(source, tmp_path / "cache")


def test_a_data_set_that_is_too_large_is_not_fetched(
    hub: list[tuple[object, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Limits, "FETCHED", 31)
    with pytest.raises(GenusError, match="is 32 bytes or more, above 31"):
        fetched("hf://datasets/owner/name", tmp_path / "cache")
    assert len(hub) == 1


def test_links_in_a_cache_are_dropped_as_anywhere(hub: list[tuple[object, ...]], tmp_path: Path) -> None:
    place = fetched("hf://datasets/owner/name", tmp_path / "cache")
    (place / "evil.txt").symlink_to("/etc/hostname")
    found = list(read("hf://datasets/owner/name", tmp_path / "cache"))
    assert [item.reason for item in found if isinstance(item, Dropped)] == ["link out of the folder"]
