"""Unpacking of archives that are not what was sent."""

import hashlib
import io
import os
import stat
import struct
import threading
import tracemalloc
import zipfile
from pathlib import Path
from random import Random

import pytest

from consilium.errors import ConfigurationError
from consilium.provisioning.kit_packing import file_sha256
from consilium.provisioning.kit_unpacking import unpack_kit

from .archives import DEVICE, LINK


def test_a_changed_archive_is_not_unpacked(handover, tmp_path):
    archive = handover / "north.zip"
    right = file_sha256(archive)
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    with pytest.raises(ConfigurationError, match="isn't the file that was sent"):
        unpack_kit(archive, tmp_path / "received", sha256=right)
    with pytest.raises(ConfigurationError):  # its sender's own hash makes it no better
        unpack_kit(archive, tmp_path / "received", sha256=file_sha256(archive))
    assert not list(tmp_path.glob("received/**/*"))


def test_a_kit_of_another_federation_is_not_unpacked(handover, tmp_path):
    archive = handover / "north.zip"
    with pytest.raises(ConfigurationError, match="another federation's"):
        unpack_kit(archive, tmp_path / "received", sha256=file_sha256(archive), fingerprint="AB:" * 31 + "AB")
    assert not list(tmp_path.glob("received/*"))


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("text", ["", "abc", "g" * 64, "0" * 63])
def test_a_number_that_is_none_is_said(handover, tmp_path, text):
    with pytest.raises(ConfigurationError, match="64 hexadecimal digits"):
        unpack_kit(handover / "north.zip", tmp_path / "received", sha256=text)


def entry(name, mode=stat.S_IFREG | 0o600):
    made = zipfile.ZipInfo(name)
    made.create_system = 3
    made.external_attr = mode << 16
    return made


@pytest.mark.parametrize(
    "evil",
    [
        entry("../evil"), entry("north/../../evil"), entry("/evil"), entry("north//evil"),
        entry("north/startup/../../evil"), entry("north\\..\\evil"), entry("C:/evil"),
        entry("north/startup/link", LINK), entry("north/startup/device", DEVICE),
        entry("south/startup/evil.sh"), entry("north/log.txt"), entry("north/consilium/evil.py"),
        entry("north/startup/START.SH"), entry("north"), entry("north/startup/a\nb"), entry("north/startup"),
    ],
    ids=lambda made: made.filename,
)  # fmt: skip
def test_nothing_in_an_archive_gets_out_of_its_kit(handover, tmp_path, evil):
    archive = handover / "north.zip"
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(evil, b"/etc/passwd")
    before = set(tmp_path.rglob("*"))
    with pytest.raises(ConfigurationError, match="which no kit does"):
        unpack_kit(archive, tmp_path / "received", sha256=file_sha256(archive))
    assert set(tmp_path.rglob("*")) - {tmp_path / "received"} == before


def test_an_archive_that_grows_is_not_unpacked(handover, tmp_path):
    archive = handover / "north.zip"
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr(entry("north/startup/large"), bytes(40 << 20), zipfile.ZIP_DEFLATED)
    with pytest.raises(ConfigurationError, match="larger than a kit's files"):
        unpack_kit(archive, tmp_path / "received", sha256=file_sha256(archive))


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x05\x06" + bytes(18)], ids=len)
def test_what_is_no_kit_is_said(tmp_path, content):
    archive = tmp_path / "north.zip"
    archive.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"north\.zip"):
        unpack_kit(archive, tmp_path / "received", sha256=hashlib.sha256(content).hexdigest())
    assert not list(tmp_path.glob("received/*"))


def unpack_made_up(tmp_path, content):
    archive = tmp_path / "north.zip"
    archive.write_bytes(content)
    return unpack_kit(archive, tmp_path / "received", sha256=hashlib.sha256(content).hexdigest())


def zipped(*names, content=b"{}", packing=zipfile.ZIP_DEFLATED):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", packing) as file:
        for name in names:
            file.writestr(name, content)
    return made.getvalue()


@pytest.mark.parametrize(
    ("names", "packing"),
    [
        (["north/startup/a", "north/startup/a/b"], zipfile.ZIP_DEFLATED),
        (["north/startup/a/b", "north/startup/a"], zipfile.ZIP_DEFLATED),
        (["north/startup/A/b", "north/startup/a"], zipfile.ZIP_DEFLATED),
        ([".ssh/startup/fed_client.json"], zipfile.ZIP_DEFLATED),
        (["-rf/startup/fed_client.json"], zipfile.ZIP_DEFLATED),
        (["north/startup/fed_client.json\0.txt"], zipfile.ZIP_DEFLATED),
        (["north/startup/\u202egnp.exe"], zipfile.ZIP_DEFLATED),
        (["north/startup/e\u0301", "north/startup/\xe9"], zipfile.ZIP_DEFLATED),  # one name on a Mac
        (["north/startup/" + "x" * 300], zipfile.ZIP_DEFLATED),
        (["north/startup/fed_client.json"], zipfile.ZIP_LZMA),
        (["north/startup/fed_client.json"], zipfile.ZIP_BZIP2),
    ],
)
def test_no_name_and_no_packing_that_a_kit_does_not_have(tmp_path, names, packing):
    with pytest.raises(ConfigurationError):
        unpack_made_up(tmp_path, zipped(*names, packing=packing))
    assert not list(tmp_path.glob("received/*"))


def test_an_entry_that_understates_its_size_takes_no_memory(tmp_path):
    content = bytearray(zipped("north/startup/fed_client.json", content=bytes(64 << 20)))
    struct.pack_into("<I", content, content.rfind(b"PK\x01\x02") + 24, 1000)  # uncompressed size
    tracemalloc.start()
    try:
        with pytest.raises(ConfigurationError):
            unpack_made_up(tmp_path, bytes(content))
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_what_was_hashed_is_what_is_unpacked(handover, tmp_path):
    """An archive that is there to be read once: replacing it meanwhile changes nothing."""
    content, archive = (handover / "north.zip").read_bytes(), tmp_path / "north.zip"
    os.mkfifo(archive)
    writer = threading.Thread(target=archive.write_bytes, args=(content,), daemon=True)
    writer.start()
    kit = unpack_kit(archive, tmp_path / "received", sha256=hashlib.sha256(content).hexdigest())
    assert (kit / "startup/start.sh").is_file()


def test_a_file_without_end_is_not_read_to_its_end(tmp_path):
    with pytest.raises(ConfigurationError, match="larger than a startup kit"):
        unpack_kit(Path("/dev/zero"), tmp_path, sha256="0" * 64)


def test_whatever_an_archive_holds_it_is_a_kit_or_a_plain_error(tmp_path):
    content, random = zipped("north/startup/fed_client.json", "north/local/a"), Random(0)
    for _ in range(1000):
        changed = bytearray(content)
        for _ in range(random.choice((1, 2, 4))):
            changed[random.randrange(len(changed))] = random.randrange(256)
        with pytest.raises(ConfigurationError):
            unpack_made_up(tmp_path, bytes(changed))
    assert not list(tmp_path.glob("received/*"))
