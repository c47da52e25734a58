"""F48: archives of model folders that a stranger packed. What is not a plain file under a plain name is refused."""

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from genus.core.errors import GenusError
from genus.engine.model import load
from genus.models import archives
from genus.models.families import family_named, spec_of
from genus.models.heads import LanguageModel
from genus.models.importing import default_name, import_model
from genus.models.initialise import initialise
from genus.models.weights import save_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    spec = spec_of("llama", vocab=30, context=16, width=12, depth=1, heads=3)
    model = LanguageModel(spec)
    initialise(model, family_named("llama").init(spec), seed=0)
    (tmp_path / "model").mkdir()
    save_model(tmp_path / "model", model, family_named("llama"))
    return tmp_path / "model"


def pack(folder: Path, archive: Path, *more: tarfile.TarInfo | zipfile.ZipInfo, content: bytes = b"x") -> Path:
    """The folder's files under NAME/, then `more` members with `content`."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
            for path in sorted(folder.iterdir()):
                zipped.write(path, f"NAME/{path.name}")
            for member in more:
                zipped.writestr(member, content)
        return archive
    with tarfile.open(archive, "w:gz" if archive.name.endswith("gz") else "w") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, f"NAME/{path.name}")
        for member in more:
            member.size = len(content) if member.isreg() else 0
            tar.addfile(member, io.BytesIO(content))
    return archive


@pytest.mark.parametrize("name", ["m.zip", "m.tar", "m.tar.gz", "m.tgz"])
def test_a_packed_model_is_imported(folder, tmp_path, name):
    archive = pack(folder, tmp_path / name)
    import_model(str(archive), tmp_path / "out")
    before, after = load(folder).network.state_dict(), load(tmp_path / "out").network.state_dict()
    assert before.keys() == after.keys()
    assert all((before[key] == after[key]).all() for key in before)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["model", "out", name])
    assert default_name(str(archive)) == "m"


def tar_member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


def zip_link(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


HOSTILE = {
    "tar upwards": tar_member("NAME/../../evil"),
    "tar absolute": tar_member("/tmp/genus-evil"),
    "tar symbolic link": tar_member("NAME/LICENSE", tarfile.SYMTYPE, "/etc/passwd"),
    "tar inner link": tar_member("NAME/LICENSE", tarfile.SYMTYPE, "config.json"),
    "tar hard link": tar_member("NAME/LICENSE", tarfile.LNKTYPE, "NAME/config.json"),
    "tar character device": tar_member("NAME/LICENSE", tarfile.CHRTYPE),
    "tar block device": tar_member("NAME/LICENSE", tarfile.BLKTYPE),
    "tar fifo": tar_member("NAME/LICENSE", tarfile.FIFOTYPE),
    "tar control characters": tar_member("NAME/\x1b[31m"),
    "tar a name twice": tar_member("NAME/config.json"),
    "tar a name twice in capitals": tar_member("name/CONFIG.json"),
    "zip upwards": zipfile.ZipInfo("NAME/../../evil"),
    "zip upwards by backslash": zipfile.ZipInfo("NAME/..\\..\\evil"),
    "zip absolute": zipfile.ZipInfo("/tmp/genus-evil"),
    "zip drive": zipfile.ZipInfo("C:/evil"),
    "zip symbolic link": zip_link("NAME/LICENSE"),
    "zip a name twice in capitals": zipfile.ZipInfo("NAME/CONFIG.json"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_f48_hostile_members_are_refused_and_nothing_is_left(folder, tmp_path, case):
    archive = pack(folder, tmp_path / f"m.{case[:3]}", HOSTILE[case])
    with pytest.raises(GenusError, match=r"do not use it|cannot be unpacked") as caught:
        import_model(str(archive), tmp_path / "out")
    assert str(caught.value).isprintable()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m." + case[:3], "model"]
    assert not Path("/tmp/genus-evil").exists()


@pytest.mark.parametrize("ending", ["zip", "tar.gz"])
def test_f48_a_bomb_stops_before_it_is_written(folder, tmp_path, ending, monkeypatch):
    member = zipfile.ZipInfo("NAME/LICENSE") if ending == "zip" else tar_member("NAME/LICENSE")
    if ending == "zip":
        member.compress_type = zipfile.ZIP_DEFLATED
    archive = pack(folder, tmp_path / f"m.{ending}", member, content=bytes(3 * 10**7))
    assert archive.stat().st_size < 10**5
    copied = []
    copy = archives.shutil.copyfileobj
    monkeypatch.setattr(archives.shutil, "copyfileobj", lambda *given: (copied.append(given[1].name), copy(*given)))
    with pytest.raises(GenusError, match="far more than its size"):
        import_model(str(archive), tmp_path / "out")
    assert copied
    assert not any("LICENSE" in str(name) for name in copied)


def test_f48_a_zip_that_lies_about_a_size(folder, tmp_path):
    """The header says 1 byte where the data unpacks to more: the checksum of what was announced does not fit."""
    member = zipfile.ZipInfo("NAME/LICENSE")
    member.compress_type = zipfile.ZIP_DEFLATED
    archive = pack(folder, tmp_path / "m.zip", member, content=bytes(10**6))
    text = bytearray(archive.read_bytes())
    central = text.rindex(b"PK\x01\x02")
    text[central + 24 : central + 28] = (1).to_bytes(4, "little")
    archive.write_bytes(text)
    with pytest.raises(GenusError, match="cannot be unpacked"):
        import_model(str(archive), tmp_path / "out")


def test_f48_many_members(folder, tmp_path, monkeypatch):
    archive = pack(folder, tmp_path / "m.tar", *(tar_member(f"NAME/{number}") for number in range(1001)), content=b"")
    with pytest.raises(GenusError, match="more than 1000 members"):
        import_model(str(archive), tmp_path / "out")


@pytest.mark.parametrize("name", ["m.zip", "m.tar.gz", "m.tar"])
def test_f48_a_cut_archive(folder, tmp_path, name):
    archive = pack(folder, tmp_path / name)
    archive.write_bytes(archive.read_bytes()[:1500])
    with pytest.raises(GenusError, match=r"cannot be unpacked|has no config\.json"):
        import_model(str(archive), tmp_path / "out")
    assert not (tmp_path / "out").exists()
