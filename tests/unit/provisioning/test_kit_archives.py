import hashlib
import io
import os
import shutil
import stat
import struct
import subprocess
import threading
import tracemalloc
import zipfile
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner

from consilium.cli.main import app
from consilium.errors import ConfigurationError
from consilium.provisioning import kit_packing
from consilium.provisioning.kit_packing import NUMBERS, SUMS, ca_fingerprint, file_sha256, pack_kits
from consilium.provisioning.kit_unpacking import unpack_kit
from consilium.provisioning.runtimes.prepare import prepare_kit

from .test_builder import PROJECT, provision, shipped_project

RUNTIMES = PROJECT.parent / "runtime"
LINK, DEVICE = stat.S_IFLNK | 0o777, stat.S_IFCHR | 0o600


@pytest.fixture(scope="session")
def provisioned(tmp_path_factory):
    """The kits of the shipped project, with all that our builders write."""
    return provision(tmp_path_factory.mktemp("provisioned"), shipped_project())


@pytest.fixture
def handover(provisioned, tmp_path):
    pack_kits(provisioned, tmp_path / "handover")
    return tmp_path / "handover"


def run(*words, **options):
    return CliRunner().invoke(app, ["kits", *map(str, words)], **options)


def tree(folder):
    return {
        str(path.relative_to(folder)): (
            oct(path.stat().st_mode),
            path.read_bytes() if path.is_file() else b"",
        )
        for path in folder.rglob("*")
    }


def test_everybody_s_kit_arrives_as_it_was_provisioned(provisioned, handover, tmp_path):
    kits = sorted(path.name for path in provisioned.iterdir())
    assert sorted(path.name for path in handover.iterdir()) == sorted(
        [NUMBERS, SUMS, *(f"{name}.zip" for name in kits)]
    )
    for name in kits:
        archive = handover / f"{name}.zip"
        kit = unpack_kit(archive, tmp_path / "received", sha256=file_sha256(archive))
        assert kit == tmp_path / "received" / name
        assert tree(kit) == tree(provisioned / name)
    assert (tmp_path / "received/north/startup/start.sh").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "received/north/startup/client.key").stat().st_mode & 0o777 == 0o600


def test_modes_are_private_whatever_the_umask(provisioned, tmp_path):
    before = os.umask(0)
    try:
        pack_kits(provisioned, tmp_path / "handover")
        archive = tmp_path / "handover/north.zip"
        unpack_kit(archive, tmp_path, sha256=file_sha256(archive))
    finally:
        os.umask(before)
    written = [tmp_path / "handover", tmp_path / "north"]
    written += [path for folder in written for path in folder.rglob("*")]
    assert [path for path in written if path.stat().st_mode & 0o077] == []


def test_the_hashes_are_those_of_sha256sum_and_openssl(provisioned, handover):
    done = subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd=handover, capture_output=True)
    assert done.returncode == 0, done.stderr
    root = provisioned / "north/startup/rootCA.pem"
    words = ["openssl", "x509", "-in", root, "-noout", "-fingerprint", "-sha256"]
    shown = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    assert shown.endswith(ca_fingerprint(root).removeprefix("SHA256:"))
    numbers = (handover / NUMBERS).read_text()
    assert ca_fingerprint(root) in numbers
    assert file_sha256(handover / "north.zip") in numbers.replace(" ", "")


def test_the_same_kit_gives_the_same_archive(provisioned, tmp_path):
    first = pack_kits(provisioned, tmp_path / "a", names=["north"])
    second = pack_kits(provisioned, tmp_path / "b", names=["north"])
    assert [one.sha256 for one in first] == [one.sha256 for one in second]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted([NUMBERS, SUMS, "north.zip"])


def test_the_session_of_both_ends(provisioned, tmp_path):
    packed = run("pack", provisioned, "--to", tmp_path / "handover", "--only", "north")
    assert packed.exit_code == 0, packed.stderr
    archive = tmp_path / "handover/north.zip"
    assert packed.stdout.strip() == str(archive)
    numbers = (tmp_path / "handover" / NUMBERS).read_text().splitlines()
    unheard = run("unpack", archive, "--to", tmp_path)
    assert "nobody has compared" in str(unheard.exception)
    received = run(
        "unpack", archive, "--to", tmp_path, "--sha256", numbers[-1], "--fingerprint", numbers[1].strip()
    )
    assert received.exit_code == 0, received.exception
    assert f"consilium check-site {tmp_path / 'north'}" in received.stderr


def test_nothing_is_ever_replaced(provisioned, handover, tmp_path):
    before = tree(handover)
    with pytest.raises(ConfigurationError, match="nothing is replaced"):
        pack_kits(provisioned, handover)
    archive = handover / "north.zip"
    (tmp_path / "north").mkdir()
    with pytest.raises(ConfigurationError, match="is not replaced"):
        unpack_kit(archive, tmp_path, sha256=file_sha256(archive))
    assert tree(handover) == before
    assert list((tmp_path / "north").iterdir()) == []


@pytest.mark.parametrize("runtime", ["k8s", "slurm", "docker"])
def test_a_kit_that_was_prepared_for_a_cluster_arrives_as_well(provisioned, tmp_path, runtime):
    prepare_kit(provisioned / "north", RUNTIMES / f"{runtime}.yaml", tmp_path / "prepared/north")
    pack_kits(tmp_path / "prepared", tmp_path / "handover")
    archive = tmp_path / "handover/north.zip"
    kit = unpack_kit(archive, tmp_path / "received", sha256=file_sha256(archive))
    assert tree(kit) == tree(tmp_path / "prepared/north")


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_half_an_archive_is_never_left(provisioned, tmp_path, monkeypatch, error):
    def fail(path, content, **options):
        if path.name == SUMS:
            raise error
        path.write_bytes(content)

    monkeypatch.setattr(kit_packing, "write_atomically", fail)
    with pytest.raises((KeyboardInterrupt, OSError)):
        pack_kits(provisioned, tmp_path / "handover")
    assert list(tmp_path.iterdir()) == []


def test_a_kit_that_has_run_is_not_handed_over(provisioned, tmp_path):
    shutil.copytree(provisioned, tmp_path / "prod_00")
    (tmp_path / "prod_00/north/log.txt").write_text("patient-17\n")
    with pytest.raises(ConfigurationError, match=r"log\.txt"):
        pack_kits(tmp_path / "prod_00", tmp_path / "handover")
    (tmp_path / "prod_00/north/log.txt").unlink()
    result = tmp_path / "prod_00/scientist@consortium.example/transfer/result"
    result.mkdir()
    with pytest.raises(ConfigurationError, match="transfer/result"):
        pack_kits(tmp_path / "prod_00", tmp_path / "handover")
    result.rmdir()
    (tmp_path / "prod_00/north/local/data").symlink_to("/etc")
    with pytest.raises(ConfigurationError, match="link"):
        pack_kits(tmp_path / "prod_00", tmp_path / "handover")
    assert not (tmp_path / "handover").exists()


def test_the_workspace_instead_of_its_kits_is_pointed_out(provisioned, tmp_path):
    with pytest.raises(ConfigurationError, match=r"did you mean .*prod_00\?"):
        pack_kits(provisioned.parent, tmp_path / "handover")
    with pytest.raises(ConfigurationError, match=r"no kit of nrth .* there are: .*north"):
        pack_kits(provisioned, tmp_path / "handover", names=["nrth"])


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
    """An archive that is there to be read once: whoever replaces it meanwhile changes nothing."""
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
