"""Fetching a corpus from a real HTTP server on this machine: resume, checksum, unpacking."""

import contextlib
import errno
import hashlib
import http.server
import io
import re
import threading
import zipfile

import pytest
import requests
from rich.console import Console

from emoscope import corpora, corpus
from emoscope.cli import terminal
from emoscope.corpora import CorpusInfo, Download, download
from emoscope.errors import CorpusError, UnknownNameError
from emoscope.files import try_lock

CLIPS = {
    f"Actor_0{a}/03-01-0{e}-01-01-01-0{a}.wav": bytes([a, e]) * 30_000
    for a in (1, 2)
    for e in (3, 4)
}


def archive(files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:  # stored, so that its size does not collapse
        for name, data in files.items():
            file.writestr(name, data)
    return content.getvalue()


GOOD = archive(CLIPS)


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves ``server.content``; ``server.script`` says how to misbehave, one entry per request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        server.requests.append(dict(self.headers))
        act = server.script.pop(0) if server.script else "serve"
        if isinstance(act, int) and act >= 300:
            self.send_error(act)
            return
        content = server.content
        start = 0
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if wanted and act != "ignore range":
            start = int(wanted[1])
            if start >= len(content):
                self.send_error(416)
                return
        if act == "endless":
            self._endless()
            return
        self.send_response(206 if start else 200)
        if start:
            at = 0 if act == "wrong range" else start
            self.send_header("Content-Range", f"bytes {at}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        rest = content[start:]
        if act == "break":
            self.wfile.write(rest[: len(rest) // 2])
            self.close_connection = True
            return
        self.wfile.write(rest)

    def _endless(self):
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(bytes(2**16))

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "PAUSE", 0.001)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.content, server.script, server.requests = GOOD, [], []
        server.address = f"http://127.0.0.1:{server.server_port}/files"
        threading.Thread(target=server.serve_forever, args=(0.005,), daemon=True).start()
        yield server
        server.shutdown()


def info(**changes):
    facts = {"size": len(GOOD), "md5": hashlib.md5(GOOD).hexdigest(), "part": "speech"} | changes
    return CorpusInfo(
        name="tiny",
        title="Tiny corpus",
        licence="CC0",
        citation="none",
        homepage="none",
        label_map={},
        parse=lambda path: None,
        file_names="none",
        example="none",
        downloads=(Download("http://publisher.invalid/x/tiny.zip", **facts),),
    )


def get(server, target, **changes):
    return download.download(info(**changes), target, mirror=server.address)


def files(folder):
    found = (p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    return {str(p.relative_to(folder)): p.read_bytes() for p in found}


# --- transfer -------------------------------------------------------------------------------------


def test_fetch_check_unpack_and_load(server, tmp_path):
    told = []
    folder = download.download(
        info(),
        tmp_path / "a" / "b",
        mirror=server.address,
        progress=lambda *step: told.append(step),
    )
    assert folder == tmp_path / "a" / "b" and files(folder) == CLIPS
    assert ("tiny.zip", len(GOOD), len(GOOD)) in told
    assert told[-1] == ("unpacking tiny.zip", 240_000, 240_000)
    loaded = corpus.load(folder)
    assert loaded.name == "ravdess" and loaded.speakers == ["01", "02"]


def test_the_second_time_nothing_is_fetched_unless_something_is_missing(server, tmp_path):
    get(server, tmp_path)
    get(server, tmp_path)
    assert len(server.requests) == 1
    (tmp_path / "Actor_01" / "03-01-03-01-01-01-01.wav").unlink()
    get(server, tmp_path)
    assert len(server.requests) == 2 and files(tmp_path) == CLIPS


def test_a_broken_transfer_continues_where_it_stopped(server, tmp_path):
    server.script = ["break", "break"]
    get(server, tmp_path)
    assert files(tmp_path) == CLIPS
    first, second, third = (request.get("Range", "bytes=0-") for request in server.requests)
    assert first == "bytes=0-"
    starts = [int(text[6:-1]) for text in (second, third)]
    half = len(GOOD) // 2
    assert 0 <= half - starts[0] < download._BLOCK
    assert 0 <= starts[0] + (len(GOOD) - starts[0]) // 2 - starts[1] < download._BLOCK
    assert server.requests[1]["Accept-Encoding"] == "identity"


def test_a_killed_run_continues_where_it_stopped(server, tmp_path):
    def kill(what, done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download.download(info(), tmp_path, mirror=server.address, progress=kill)
    part = tmp_path / "tiny.zip.part"
    part.write_bytes(GOOD[:1000])
    get(server, tmp_path)
    assert server.requests[-1]["Range"] == "bytes=1000-" and files(tmp_path) == CLIPS
    assert not list(tmp_path.glob("*.part*"))


def test_a_part_that_is_complete_is_not_asked_for_again(server, tmp_path):
    (tmp_path / "tiny.zip.part").write_bytes(GOOD)
    get(server, tmp_path)
    assert server.requests == [] and files(tmp_path) == CLIPS


def test_an_archive_fetched_by_hand_is_used_or_refused(server, tmp_path):
    (tmp_path / "tiny.zip").write_bytes(GOOD)
    get(server, tmp_path)
    assert server.requests == [] and files(tmp_path) == CLIPS
    other = tmp_path / "other"
    other.mkdir()
    (other / "tiny.zip").write_bytes(b"something else")
    with pytest.raises(CorpusError, match="14 bytes, .* are expected; move it away"):
        get(server, other)


def test_only_a_checksum_allows_to_continue(server, tmp_path):
    (tmp_path / "tiny.zip.part").write_bytes(GOOD[:500])
    get(server, tmp_path, md5=None, size=None)
    assert "Range" not in server.requests[0] and files(tmp_path) == CLIPS


@pytest.mark.parametrize("act", ["ignore range", "wrong range"])
def test_servers_without_working_ranges(server, tmp_path, act):
    (tmp_path / "tiny.zip.part").write_bytes(GOOD[:500])
    server.script = [act]
    get(server, tmp_path)
    assert files(tmp_path) == CLIPS


def test_a_part_longer_than_the_file_is_dropped(server, tmp_path):
    (tmp_path / "tiny.zip.part").write_bytes(GOOD + b"more")
    get(server, tmp_path)
    assert files(tmp_path) == CLIPS


def test_a_busy_server_is_asked_again(server, tmp_path):
    server.script = [503, 429, 500]
    get(server, tmp_path)
    assert len(server.requests) == 4 and files(tmp_path) == CLIPS


# --- refusals -------------------------------------------------------------------------------------


def test_wrong_checksum(server, tmp_path):
    with pytest.raises(CorpusError, match="checksum .* instead of 0{32}; it was deleted"):
        get(server, tmp_path, md5="0" * 32)
    assert files(tmp_path) == {}


def test_wrong_size(server, tmp_path):
    with pytest.raises(CorpusError, match="the server sends more than the 17 bytes expected"):
        get(server, tmp_path, size=17)
    assert files(tmp_path) == {}


@pytest.mark.parametrize("status,words", [(404, "404 Not Found"), (403, "403 Forbidden")])
def test_server_refuses(server, tmp_path, status, words):
    server.script = [status]
    with pytest.raises(CorpusError, match=f"the server answers {words}"):
        get(server, tmp_path)
    assert len(server.requests) == 1


def test_server_that_stays_broken(server, tmp_path):
    server.script = ["break"] + [503] * 10
    with pytest.raises(CorpusError, match="what was received is kept"):
        get(server, tmp_path)
    assert len(server.requests) == 1 + download.ATTEMPTS - 1
    kept = (tmp_path / "tiny.zip.part").read_bytes()
    assert len(kept) > len(GOOD) // 2 - download._BLOCK and GOOD.startswith(kept)


def test_server_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PAUSE", 0.001)
    with pytest.raises(CorpusError, match="cannot be reached"):
        download.download(info(), tmp_path, mirror="http://127.0.0.1:9/")
    with pytest.raises(CorpusError, match="not-a-url"):
        download.download(info(), tmp_path, mirror="not-a-url")


@pytest.mark.parametrize("size", [None, len(GOOD)])
def test_server_that_never_stops(server, tmp_path, monkeypatch, size):
    monkeypatch.setattr(download, "MAX_BYTES", 10**6)
    server.script = ["endless"]
    with pytest.raises(CorpusError, match="sends more than"):
        get(server, tmp_path, size=size)
    assert files(tmp_path) == {}


def test_disk_that_fills_up(server, tmp_path, monkeypatch):
    def full(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(requests.Response, "iter_content", full)
    with pytest.raises(CorpusError, match="the disk is full; what was received is kept"):
        get(server, tmp_path)


def test_no_permission(server, tmp_path, monkeypatch):
    def refuse(self, **options):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(download.Path, "mkdir", refuse)
    with pytest.raises(CorpusError, match="no permission to write .*new"):
        get(server, tmp_path / "new")


def test_target_that_is_a_file(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CorpusError, match="File exists"):
        get(server, tmp_path / "file")


def test_two_at_once(server, tmp_path):
    with open(tmp_path / ".emoscope-get.lock", "a") as other:
        assert try_lock(other.fileno())
        with pytest.raises(CorpusError, match="another download"):
            get(server, tmp_path)
    get(server, tmp_path)


def test_parts(server, tmp_path):
    two = info()
    song = Download("http://publisher.invalid/song.zip", part="song")
    two = CorpusInfo(**{**two.__dict__, "downloads": (*two.downloads, song)})
    download.download(two, tmp_path, parts=["song"], mirror=server.address)
    assert files(tmp_path) == CLIPS and (tmp_path / ".song.zip.done").exists()
    with pytest.raises(UnknownNameError, match="unknown part of tiny 'sing'. Did you mean 'song'"):
        download.download(two, tmp_path, parts=["sing"], mirror=server.address)


@pytest.mark.parametrize("name", corpora.names())
def test_what_cannot_be_downloaded_says_how_to_get_it(name, tmp_path):
    found = corpora.get(name)
    if not found.downloads:
        with pytest.raises(CorpusError, match="requires a manual download: "):
            download.download(found, tmp_path)


def test_progress_on_the_console(server, tmp_path, monkeypatch):
    shown = Console(file=io.StringIO(), width=120)
    monkeypatch.setattr(terminal, "err", shown)
    with terminal.transfers() as progress:
        download.download(info(), tmp_path, mirror=server.address, progress=progress)
    assert re.search(r"tiny.zip .*240.* kB", shown.file.getvalue())
    assert re.search(r"unpacking tiny.zip .*240.0/240.0 kB", shown.file.getvalue())


# --- unpacking ------------------------------------------------------------------------------------


def test_a_damaged_archive_is_fetched_again_next_time(server, tmp_path):
    damaged = bytearray(GOOD)
    damaged[100] ^= 1
    server.content = bytes(damaged)
    with pytest.raises(CorpusError, match="damaged .* bad checksum of Actor_01.*it was deleted"):
        get(server, tmp_path, md5=None)
    server.content = GOOD
    get(server, tmp_path, md5=None)
    assert files(tmp_path) == CLIPS


def test_a_damaged_archive_of_the_users_own_is_left_alone(server, tmp_path):
    (tmp_path / "tiny.zip").write_bytes(GOOD[:-30])
    with pytest.raises(CorpusError, match="damaged .*move it away"):
        get(server, tmp_path, md5=None, size=None)
    assert (tmp_path / "tiny.zip").read_bytes() == GOOD[:-30]


@pytest.mark.parametrize("content", [{}, {"README.txt": b"moved"}, {"__MACOSX/._a.wav": b"x"}])
def test_an_archive_without_a_recording_is_no_corpus(server, tmp_path, content):
    server.content = archive(content)
    with pytest.raises(CorpusError, match="the archive holds no recording; it was deleted"):
        get(server, tmp_path, md5=None, size=None)
    assert files(tmp_path) == {} and not (tmp_path / ".tiny.zip.done").exists()


def test_a_bomb_is_refused_before_any_of_it_is_decompressed(server, tmp_path, monkeypatch):
    """Also where the publisher states no checksum, so that the archive's own have to do."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros.wav", bytes(10**7))
    server.content = content.getvalue()

    def read(*arguments):
        raise AssertionError("decompressed")

    monkeypatch.setattr(zipfile.ZipExtFile, "read", read)
    with pytest.raises(CorpusError, match="would unpack to 10000000 bytes"):
        get(server, tmp_path, md5=None, size=None)


def test_file_names_of_downloads():
    assert corpora.Download("http://x/y/z.zip?download=1").file_name == "z.zip"
