"""Archives of kits: what they hold, and that nothing is replaced or left half done."""

import os
import shutil
import subprocess

import pytest

from consilium.errors import ConfigurationError
from consilium.provisioning import kit_packing
from consilium.provisioning.kit_packing import (
    NUMBERS,
    SUMS,
    ca_fingerprint,
    file_sha256,
    newest_kits,
    pack_kits,
)
from consilium.provisioning.kit_unpacking import unpack_kit
from consilium.provisioning.runtimes.prepare import prepare_kit

from .archives import RUNTIMES, run, tree


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


def test_the_newest_kits_are_those_of_the_last_provisioning(tmp_path):
    assert newest_kits(tmp_path) is None
    for name in ("prod_00", "prod_99", "prod_100", "state"):
        (tmp_path / "project" / name).mkdir(parents=True)
    assert newest_kits(tmp_path) == tmp_path / "project/prod_100"


def test_the_workspace_instead_of_its_kits_is_pointed_out(provisioned, tmp_path):
    with pytest.raises(ConfigurationError, match=r"did you mean .*prod_00\?"):
        pack_kits(provisioned.parent, tmp_path / "handover")
    with pytest.raises(ConfigurationError, match=r"no kit of nrth .* there are: .*north"):
        pack_kits(provisioned, tmp_path / "handover", names=["nrth"])
