"""Archives from elsewhere: what may not leave its folder, grow or lie."""

import io
import stat
import zipfile

import pytest

from emoscope.corpora import download
from emoscope.errors import CorpusError
from test_download import GOOD, archive, files


def put(tmp_path, content):
    path = tmp_path / "x.zip"
    path.write_bytes(content)
    target = tmp_path / "target"
    target.mkdir(exist_ok=True)
    return path, target


@pytest.mark.parametrize(
    "name", ["../out.wav", "/etc/out.wav", "a/../../out.wav", "..\\out.wav", "C:\\out"]
)
def test_members_may_not_leave_the_folder(tmp_path, name):
    path, target = put(tmp_path, archive({"good.wav": b"x" * 100, name: b"x" * 100}))
    assert len(download.unpack(path, target)) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"x.zip", "target"}


def test_members_do_not_become_links(tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        member = zipfile.ZipInfo("link.wav")
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(member, "/etc/passwd")
    path, target = put(tmp_path, content.getvalue())
    assert download.unpack(path, target)[0].read_text() == "/etc/passwd"
    assert not (target / "link.wav").is_symlink()


def test_bombs(tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros.wav", bytes(10**7))
    path, target = put(tmp_path, content.getvalue())
    with pytest.raises(CorpusError, match="would unpack to 10000000 bytes"):
        download.unpack(path, target)


def test_members_that_lie_about_their_size(tmp_path):
    content = bytearray(archive({"a.wav": b"x" * 1000}))
    at = content.index(b"PK\x01\x02")
    content[at + 24 : at + 28] = (10).to_bytes(4, "little")
    path, target = put(tmp_path, bytes(content))
    with pytest.raises(CorpusError, match="cannot be unpacked"):
        download.unpack(path, target)
    assert files(target) == {}


@pytest.mark.parametrize("damage", ["cut", "bytes", "text"])
def test_damaged_archives(tmp_path, damage):
    content = bytearray(GOOD)
    content[100] ^= 1
    content = {"cut": GOOD[:-30], "bytes": bytes(content), "text": b"<html>not found</html>"}[
        damage
    ]
    path, target = put(tmp_path, content)
    with pytest.raises(CorpusError, match="cannot be unpacked"):
        download.unpack(path, target)


def test_resource_forks_stay_in_the_archive(tmp_path):
    path, target = put(tmp_path, archive({"__MACOSX/._a.wav": b"x", "a.wav": b"y"}))
    assert download.unpack(path, target) == [target / "a.wav"]
