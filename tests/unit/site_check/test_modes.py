"""Who else may read and change what: modes of a real kit, its records and its folders, opened one by one."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from consilium.data.files import private_folder
from consilium.federation.rounds.checkpoints import SERVER_STORAGE
from consilium.participant.site_settings import SiteSettings
from consilium.provisioning.kit import Kit
from consilium.provisioning.start_scripts import UMASK_LINE
from consilium.site_check.finding import Status
from consilium.site_check.modes import check_modes

from .federation import SERVER, read, write

SETTINGS = "cache_dir"


@pytest.fixture
def site(dataset, tmp_path):
    """Settings with a cache outside the kit, as `check_scope` returns them."""
    cache = tmp_path / "cache"
    (cache / "entry").mkdir(parents=True)
    (cache / "entry" / "image.npy").write_bytes(b"patient")
    for path, mode in ((cache, 0o700), (cache / "entry", 0o700), (cache / "entry/image.npy", 0o600)):
        path.chmod(mode)
    return SiteSettings(dataset=dataset, cache_dir=cache, state_dir=tmp_path / "state")


def record(root: Path, name: str, mode: int) -> Path:
    path = root / name
    private_folder(path.parent, ours=False)
    path.write_text("Doe-Jane\n")
    path.chmod(mode)
    return path


def found(kit, site):
    return {finding.id: finding for finding in check_modes(kit, site)}


def run(command: str, folder: Path) -> None:
    subprocess.run(["sh", "-c", command], cwd=folder, check=True)


def command_of(remedy: str) -> str:
    """The command of a remedy that is for the kit's folder."""
    return remedy.partition("(in the kit's folder)")[0].rpartition("then ")[2]


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("with_settings", [True, False])
def test_a_kit_as_provisioned_and_what_a_site_writes_is_well(kit, site, with_settings):
    record(kit.root, "log.txt", 0o600)
    findings = found(kit, site if with_settings else None)
    assert {finding.status for finding in findings.values()} == {Status.OK}, findings


def test_the_server_s_kit_is_well_too(kits, tmp_path):
    kit = Kit(Path(shutil.copytree(kits / SERVER, tmp_path / SERVER)))
    assert {finding.status for finding in found(kit, None).values()} == {Status.OK}


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o710, 0o701, 0o777])
def test_a_kit_that_others_can_look_into_is_rejected(kit, site, refused, mode):
    kit.root.chmod(mode)
    finding = found(kit, site)["modes.kit"]
    refused(finding, f"has mode {mode:04o}", "chmod go-rwx . (in the kit's folder)")
    run(command_of(finding.remedy), kit.root)
    assert found(kit, site)["modes.kit"].status is Status.OK


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("local", 0o770),
        ("local/privacy.json", 0o620),
        ("local/resources.json", 0o602),
        ("startup", 0o707),
        ("startup/sub_start.sh", 0o722),
        ("startup/rootCA.pem", 0o666),
    ],
)
def test_a_policy_that_others_can_change_is_rejected(kit, site, refused, name, mode):
    (kit.root / name).chmod(mode)
    finding = found(kit, site)["modes.policy"]
    refused(finding, "can change 1 file or folder of startup and local", "chmod -R go-w startup local")
    assert [Path(line).name for line in finding.details] == [Path(name).name]
    run(command_of(finding.remedy), kit.root)
    assert found(kit, site)["modes.policy"].status is Status.OK


def test_a_policy_that_is_a_link_is_as_safe_as_what_it_leads_to(kit, site, tmp_path):
    central = record(tmp_path, "central/privacy.json", 0o600)
    (kit.local / "privacy.json").unlink()
    (kit.local / "privacy.json").symlink_to(central)
    assert found(kit, site)["modes.policy"].status is Status.OK
    central.chmod(0o666)
    assert found(kit, site)["modes.policy"].status is Status.FAILED


def test_only_the_readable_files_of_a_kit_s_parts_are_no_fault(kit, site):
    (kit.local / "privacy.json").chmod(0o644)
    (kit.startup / "rootCA.pem").chmod(0o644)
    assert {finding.status for finding in found(kit, site).values()} == {Status.OK}


@pytest.mark.parametrize("name", ["start.sh", "sub_start.sh", "stop_fl.sh"])
def test_a_script_of_an_earlier_version_is_reported(kit, site, refused, name):
    script = kit.startup / name
    script.write_text(script.read_text().replace(UMASK_LINE, ""))
    finding = found(kit, site)["modes.umask"]
    refused(finding, f"startup/{name} of this kit set no umask", "ask the project admin for a new kit")


@pytest.mark.parametrize("runtime", ["docker", "k8s"])
def test_where_no_script_of_the_kit_runs_its_policy_has_to_set_the_umask(kit, site, refused, runtime):
    path = kit.local / "resources.json"
    resources = read(path)
    resources["components"].append({"id": f"{runtime}_launcher", "path": "launcher"})
    write(path, resources)
    assert found(Kit(kit.root), site)["modes.umask"].status is Status.OK
    resources["components"] = [one for one in resources["components"] if one["id"] != "private_files"]
    write(path, resources)
    finding = found(Kit(kit.root), site)["modes.umask"]
    refused(
        finding, "local/resources.json has no component consilium.guard", "copy the component private_files"
    )


@pytest.mark.parametrize("name", ["log.txt", "audit.log", "a-job/app/log.txt", "cache/ab/image.npy"])
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o601])
def test_a_record_that_others_can_open_is_rejected_and_the_command_closes_it(kit, site, refused, name, mode):
    record(kit.root, name, mode)
    finding = found(kit, site)["modes.records"]
    refused(finding, "1 file or folder of the kit", "chmod -R go-rwx . (in the kit's folder)")
    assert list(finding.details) == [name]
    assert "Doe" not in finding.seen
    run(command_of(finding.remedy), kit.root)
    assert found(kit, site)["modes.records"].status is Status.OK


def test_one_finding_stands_for_any_number_of_files(kit, site):
    for number in range(40):
        record(kit.root, f"job-{number}/log.txt", 0o644)
    finding = found(kit, site)["modes.records"]
    assert finding.data == {"open": {"the kit": 40}}
    assert len(finding.details) == 11
    assert finding.details[-1] == "and 30 more"


@pytest.mark.parametrize("name", [".", "entry", "entry/image.npy"])
def test_a_cache_that_others_can_open_is_rejected_without_its_place_in_what_may_be_mailed(kit, site, name):
    (site.cache_dir / name).chmod(0o755)
    finding = found(kit, site)["modes.records"]
    assert finding.status is Status.FAILED
    assert finding.data == {"open": {SETTINGS: 1}}
    assert str(site.cache_dir) not in finding.seen + finding.remedy
    run(finding.details[0], kit.root)
    assert found(kit, site)["modes.records"].status is Status.OK


def test_a_cache_within_the_kit_is_looked_at_once(kit, site):
    inside = record(kit.root, "cache/ab/image.npy", 0o644).parents[1]
    finding = found(kit, site.model_copy(update={"cache_dir": inside}))["modes.records"]
    assert finding.data == {"open": {"the kit": 1}}


def test_a_cache_that_is_not_there_yet_is_well(kit, site):
    shutil.rmtree(site.cache_dir)
    assert found(kit, site)["modes.records"].status is Status.OK


def test_every_folder_of_the_settings_but_the_dataset_is_looked_at(kit, site, tmp_path):
    """Whatever folder of ours the settings may name one day."""
    state = record(tmp_path, "state/salt", 0o644).parent

    class Later(SiteSettings):
        state_dir: Path

    later = Later(dataset=site.dataset, cache_dir=site.cache_dir, state_dir=state)
    assert found(kit, later)["modes.records"].data == {"open": {"state_dir": 1}}


@pytest.mark.parametrize("variable", ["NVFL_LOG_ROOT", "NVFL_AUDIT_ROOT", "NVFL_RESULT_ROOT"])
def test_logs_that_flare_keeps_elsewhere_are_looked_at(kit, site, tmp_path, monkeypatch, variable):
    record(tmp_path, f"elsewhere/{kit.site_name}/log.txt", 0o644)
    monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))
    assert found(kit, site)["modes.records"].data == {"open": {variable: 1}}


def test_the_server_s_storage_is_looked_at(kits, tmp_path, monkeypatch):
    kit = Kit(Path(shutil.copytree(kits / SERVER, tmp_path / SERVER)))
    record(tmp_path, "storage/checkpoints/round_1.json", 0o644)
    monkeypatch.setenv(SERVER_STORAGE, str(tmp_path / "storage"))
    assert found(kit, None)["modes.records"].data == {"open": {SERVER_STORAGE: 1}}


def test_the_dataset_is_never_to_be_closed(kit, site):
    """Wherever it lies: it is the hospital's own, and others may work with it."""
    dataset = record(kit.root, "data/brats/Doe-Jane/flair.nii.gz", 0o644).parents[1]
    for path in (dataset, dataset / "Doe-Jane"):
        path.chmod(0o755)
    log = record(kit.root, "log.txt", 0o644)
    inside = site.model_copy(update={"dataset": dataset})
    finding = found(kit, inside)["modes.records"]
    assert finding.data == {"open": {"the kit": 1}}
    run(finding.details[-1], kit.root)
    assert log.stat().st_mode & 0o777 == 0o600
    assert (dataset / "Doe-Jane/flair.nii.gz").stat().st_mode & 0o777 == 0o644
    assert dataset.stat().st_mode & 0o777 == 0o755
    assert found(kit, inside)["modes.records"].status is Status.OK


def test_a_cache_that_holds_the_dataset_has_to_move(kit, site, refused):
    shared = site.cache_dir
    shared.chmod(0o755)
    holding = site.model_copy(update={"dataset": shared / "brats"})
    finding = found(kit, holding)["modes.records"]
    refused(
        finding, "1 file or folder of cache_dir", "set cache_dir to a folder that doesn't hold the dataset"
    )
    assert "chmod" not in str((finding.remedy, finding.details))


def test_a_cache_in_the_dataset_s_own_place_is_not_passed_over(kit, site, refused):
    site.cache_dir.chmod(0o755)
    finding = found(kit, site.model_copy(update={"dataset": site.cache_dir}))["modes.records"]
    refused(finding, "1 file or folder of cache_dir", "doesn't hold the dataset")


def test_links_have_no_modes_of_their_own(kit, site):
    (kit.root / "daemon_pid.fl").symlink_to("nowhere")
    assert found(kit, site)["modes.records"].status is Status.OK


def test_a_name_that_another_account_chose_does_not_reach_the_terminal_as_it_is(kit, site):
    record(kit.root, "log\x1b[2J\n\udce4.txt", 0o644)
    (line,) = found(kit, site)["modes.records"].details
    assert line.isprintable()
    assert line == r"log\x1b[2J\n\udce4.txt"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files to another account")
@pytest.mark.parametrize("name", [".", "startup/client.key", "local/privacy.json", SETTINGS])
def test_what_belongs_to_another_account_is_rejected(kit, site, refused, name):
    os.chown(site.cache_dir if name == SETTINGS else kit.root / name, 4242, -1)
    finding = found(kit, site)["modes.owner"]
    refused(finding, "1 file or folder of the kit", 'chown -R "$(id -un)" .')
    assert "user id 4242" in finding.seen
    assert str(site.cache_dir) not in finding.seen + finding.remedy


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, whose files these are")
def test_what_belongs_to_root_is_safe_from_a_site_s_account(kit, site, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    assert found(kit, site)["modes.owner"].status is Status.OK


@pytest.mark.parametrize("what", ["kit", SETTINGS])
@pytest.mark.parametrize(
    ("mode", "status"), [(0o777, Status.FAILED), (0o1777, Status.OK), (0o775, Status.WARNING)]
)
def test_a_folder_above_in_which_others_could_replace_ours_is_reported(kit, site, what, mode, status):
    place = kit.root if what == "kit" else site.cache_dir
    above = place.parent / "above"
    above.mkdir()
    place = place.rename(above / "inside")
    above.chmod(mode)
    if what == "kit":
        kit = Kit(place)
    else:
        site = site.model_copy(update={"cache_dir": place})
    finding = found(kit, site)["modes.parents"]
    assert finding.status is status
    if status is Status.FAILED:
        assert finding.details == (f"chmod o-w {above}",)
        run(finding.details[0], above)
        assert found(kit, site)["modes.parents"].status is not Status.FAILED
    assert str(above) not in f"{finding.seen} {finding.remedy}"


def test_the_folder_in_which_a_link_to_the_kit_lies_counts_as_well(kit, site, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "north").symlink_to(kit.root)
    shared.chmod(0o777)
    assert found(Kit(shared / "north"), site)["modes.parents"].status is Status.FAILED


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a folder to another account")
def test_a_folder_above_of_another_account_is_reported(kit, site, refused):
    os.chown(kit.root.parent, 4242, -1)
    finding = found(kit, site)["modes.parents"]
    refused(finding, "a group or another account can write", "chown root", Status.WARNING)
