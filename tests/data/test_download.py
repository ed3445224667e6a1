import hashlib
import io
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Mapping
from email.message import Message
from pathlib import Path

import pytest

from silverprint.data.download import RemoteFile, download, unpack
from silverprint.errors import DataError

ADDRESS = "https://data.example/"


class Answer(io.BytesIO):
    """What urlopen returns, as far as it is used."""

    def __init__(self, data: bytes, length: str | None) -> None:
        super().__init__(data)
        self.headers = Message()
        if length:
            self.headers["Content-Length"] = length


def serve(monkeypatch: pytest.MonkeyPatch, files: Mapping[str, bytes | Exception]) -> list[str]:
    """Let urlopen give these files; return the list of what will have been asked for."""
    asked: list[str] = []

    def urlopen(url: str, timeout: float) -> Answer:
        assert timeout > 0
        asked.append(url)
        found = files[url.removeprefix(ADDRESS)]
        if isinstance(found, Exception):
            raise found
        return Answer(found, str(len(found)))

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return asked


def remote(name: str, data: bytes, kind: str = "md5") -> RemoteFile:
    return RemoteFile(ADDRESS + name, f"{kind}:{hashlib.new(kind, data).hexdigest()}")


def tar(entries: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as packed:
        for name, data in entries.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            packed.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def zipped(entries: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for name, data in entries.items():
            packed.writestr(name, data)
    return out.getvalue()


def test_files_and_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"a.gz": b"1" * 3_000_000, "b.gz": b"2"}
    serve(monkeypatch, data)
    seen: list[tuple[str, int, int | None]] = []
    files = [remote("a.gz", data["a.gz"]), remote("b.gz", data["b.gz"], "sha256")]
    download(files, tmp_path / "deep" / "set", lambda *step: seen.append(step))
    assert {path.name: path.read_bytes() for path in (tmp_path / "deep/set").iterdir()} == data
    assert seen[0] == ("a.gz", 2**20, 3_000_000)
    assert seen[-1] == ("b.gz", 1, 1)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["set"]


@pytest.mark.parametrize(("name", "pack"), [("x.tar.gz", tar), ("x.tgz", tar), ("x.zip", zipped)])
def test_archives_lose_their_wrapping(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, pack
) -> None:
    data = pack({"outer/inner/a/1.jpg": b"1", "outer/inner/b/2.jpg": b"2"})
    serve(monkeypatch, {name: data})
    download([remote(name, data)], tmp_path / "set")
    assert (tmp_path / "set/a/1.jpg").read_bytes() == b"1"
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == ["a", "b"]


def test_a_wrong_digest_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, {"a": b"good", "b": b"bad"})
    with pytest.raises(
        DataError, match=r"example/b: the 3 bytes received give the md5 .*not [0-9a-f]"
    ):
        download([remote("a", b"good"), remote("b", b"better")], tmp_path / "set")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "fault",
    [
        urllib.error.URLError("Name or service not known"),
        urllib.error.HTTPError(ADDRESS, 404, "Not Found", Message(), None),
        TimeoutError("timed out"),
    ],
    ids=["offline", "gone", "slow"],
)
def test_offline_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    serve(monkeypatch, {"a": b"1", "b": fault})
    files = [remote("a", b"1"), remote("b", b"2")]
    with pytest.raises(DataError) as caught:
        download(files, tmp_path / "set")
    for part in ("set could not be downloaded", files[0].url, files[1].url, f"{tmp_path}/set"):
        assert part in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, {"a": b"1"})
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="could not be downloaded"):
        download([remote("a", b"1")], tmp_path / "file" / "set")


def test_another_process_was_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, {"a": b"1"})
    (tmp_path / "set").mkdir()
    (tmp_path / "set/a").write_bytes(b"theirs")
    download([remote("a", b"1")], tmp_path / "set")
    assert (tmp_path / "set/a").read_bytes() == b"theirs"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_with_hidden_files_is_not_taken_for_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, {"a": b"1"})
    (tmp_path / "set").mkdir()
    (tmp_path / "set/.DS_Store").touch()
    with pytest.raises(DataError, match=r"set could not be downloaded .*not empty"):
        download([remote("a", b"1")], tmp_path / "set")
    assert [path.name for path in tmp_path.rglob("*")] == ["set", ".DS_Store"]


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "..\\x", "c:/x", "C:\\x"])
@pytest.mark.parametrize("pack", [tar, zipped])
def test_entries_may_not_leave_the_folder(tmp_path: Path, name: str, pack) -> None:
    archive = tmp_path / ("x.tgz" if pack is tar else "x.zip")
    archive.write_bytes(pack({"fine": b"", name: b"evil"}))
    with pytest.raises(DataError, match="would leave the folder"):
        unpack(archive, tmp_path / "in" / "set")
    assert [path.name for path in tmp_path.rglob("x*")] == [archive.name]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_pipes_are_refused(tmp_path: Path, kind: bytes) -> None:
    archive = tmp_path / "x.tar"
    with tarfile.open(archive, "w") as packed:
        entry = tarfile.TarInfo("link")
        entry.type, entry.linkname = kind, "/etc/passwd"
        packed.addfile(entry)
    with pytest.raises(DataError, match="'link' is a link or device"):
        unpack(archive, tmp_path / "set")


@pytest.mark.parametrize("name", ["x.tgz", "x.zip"])
def test_damaged_archives(tmp_path: Path, name: str) -> None:
    pack = tar if name == "x.tgz" else zipped
    whole = pack({"a": bytes(range(256)) * 40, "b": b"1"})
    for number, data in enumerate((b"", b"nonsense", whole[:-30], whole[:60])):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match="the archive is damaged"):
            unpack(tmp_path / name, tmp_path / f"set{number}")
