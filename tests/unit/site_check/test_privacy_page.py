"""The officer's page from a job's files and a hospital's kit."""

import json
from pathlib import Path

import pytest
from privacy.ledgers import ROUND, payment

from consilium.errors import ConfigurationError, SiteRefusal
from consilium.participant.register_files import open_register
from consilium.participant.site_settings import SiteSettings
from consilium.privacy.accounting import epsilon_spent
from consilium.privacy.ledger import LEDGER_FILE, PrivacyLedger
from consilium.privacy.ledger_entry import Payment
from consilium.privacy.mechanism import SampledGaussian
from consilium.provisioning.kit import Kit
from consilium.recipes.catalog import build_recipe
from consilium.recipes.exported_job import export_job
from consilium.recipes.privacy_facts import facts_of_recipe
from consilium.report.privacy.build import state_privacy
from consilium.report.privacy.page import render_privacy
from consilium.secagg.identity import format_fingerprint
from consilium.secagg.peers import PEERS_FILE
from consilium.site_check.privacy_page import describe_privacy, read_site_facts

from .federation import SERVER, read, write

JOBS = Path(__file__).parents[3] / "jobs"


def set_scopes(root: Path, **scopes: dict) -> None:
    path = root / "local" / "privacy.json"
    policy = read(path)
    properties = policy["scopes"][0]["properties"]["consilium"]
    listed = []
    for name, one in scopes.items():
        filters = {"task_result_filters": one.pop("filters")} if "filters" in one else {}
        listed.append({"name": name, "properties": {"consilium": properties | one}, **filters})
    write(path, {"scopes": listed, "default_scope": next(iter(scopes))})


NOT_ABOUT_WHAT_LEAVES = {
    "dataset": "where the cases are",
    "cache_dir": "where",
    "cache_gib": "how large",
    "state_dir": "where; the ledger in it is on the page",
    "label_convention": "stated by every page as what label values mean",
    "file_endings": "how files are found",
    "accepted_findings": "which cases are used; counted as the others are",
    "patients_file": "who is one patient",
    "tasks": "for_task has chosen",
    "validation_fraction": "whom scores are of",
    "test_fraction": "whom scores are of",
    "max_left_out": "whether the hospital takes part",
    "split_salt": "check-site fails on it",
    "device": "where it is computed",
    "cpu_threads": "the same",
    "loader_workers": "the same",
    "processes": "the same",
}
"""Settings of a hospital that its page doesn't depend on, with the reason."""

ON_THE_PAGE = {
    "role": "evaluates",
    "min_training_patients": 11,
    "min_update_patients": 2,
    "min_count": 31,
    "max_evaluated_models": 0,
    "local_only": False,
    "local_only_model": "model",
    "subgroups_file": "subgroups.csv",
    "withdrawn_patients": "withdrawn.txt",
    "privacy": {"min_sites": 4},
    "hospital_noise": {"clip": 0.5, "noise_multiplier": 4.0},
    "missing_inputs": ["t1"],
    "missing_targets": ["et"],
}
"""A hospital's settings that change what leaves, with values other than the defaults."""


def test_every_setting_of_a_hospital_is_on_its_page_or_known_to_change_nothing_that_leaves(
    root: Path,
) -> None:
    """A new setting fails here until somebody has decided which it is."""
    assert set(SiteSettings.model_fields) == NOT_ABOUT_WHAT_LEAVES.keys() | ON_THE_PAGE.keys()
    jobs = ["brain_tumor_fedavg", "brain_tumor_evaluate"]

    def pages() -> list[str]:
        facts = (build_recipe(job, {"local_only": True}) for job in jobs)
        return [
            state_privacy(facts_of_recipe(one), read_site_facts(Kit(root), "brain_tumor", None), version="0")
            .model_dump_json()
            for one in facts
        ]  # fmt: skip

    before, policy = pages(), read(root / "local" / "privacy.json")
    for name, value in ON_THE_PAGE.items():
        set_scopes(root, hospital={name: value})
        assert pages() != before, name
        write(root / "local" / "privacy.json", policy)


@pytest.mark.quick_cases(5)
@pytest.mark.parametrize("job", sorted(JOBS.iterdir()), ids=lambda path: path.name)
def test_every_job_folder_gives_a_page(job: Path) -> None:
    page = describe_privacy(str(job))
    assert page.job == job.name
    assert page.flows
    assert page == describe_privacy(job.name)
    assert job.name in render_privacy(page)


def test_the_kit_s_own_settings_count(root: Path) -> None:
    set_scopes(root, hospital={"min_training_patients": 11, "role": "evaluates"})
    page = describe_privacy("brain_tumor_fedavg", Kit(root))
    assert page.site == "north"
    assert "update" not in {flow.key for flow in page.flows}
    assert any("at least 11 patients" in flow.minimum for flow in page.flows)
    assert describe_privacy("brain_tumor_fedavg").site is None


def test_the_scope_that_a_job_names_decides_about_it(root: Path, tmp_path: Path) -> None:
    filters = [{"path": "nvflare.app_common.filters.exclude_vars.ExcludeVars", "args": {}}]
    set_scopes(root, hospital={}, narrow={"min_count": 31, "filters": filters})
    folder = export_job(build_recipe("brain_tumor_stats"), tmp_path)
    meta = read(folder / "meta.json")
    write(folder / "meta.json", meta | {"scope": "narrow"})
    page = describe_privacy(str(folder), Kit(root))
    text = page.model_dump_json()
    assert "at least 31 patients" in text
    assert "exclude_vars.ExcludeVars" in text
    assert "at least 31" not in describe_privacy("brain_tumor_stats", Kit(root)).model_dump_json()


def test_an_unknown_scope_is_an_error(root: Path, tmp_path: Path) -> None:
    folder = export_job(build_recipe("brain_tumor_stats"), tmp_path)
    write(folder / "meta.json", read(folder / "meta.json") | {"scope": "elsewhere"})
    with pytest.raises(ConfigurationError, match="no privacy scope 'elsewhere'"):
        describe_privacy(str(folder), Kit(root))


def test_logs_that_a_job_could_stream_are_named(root: Path) -> None:
    assert "unless" not in " ".join(describe_privacy("brain_tumor_stats", Kit(root)).stays)
    path = root / "local" / "resources.json"
    write(path, read(path) | {"allow_log_streaming": True})
    assert "Not the log files" in " ".join(describe_privacy("brain_tumor_stats", Kit(root)).stays)


def test_the_server_s_kit_is_no_hospital_s(kits: Path) -> None:
    with pytest.raises(ConfigurationError, match="the server's kit, which has no patients"):
        describe_privacy("brain_tumor_stats", Kit(kits / SERVER))


def test_nothing_of_the_kit_or_the_job_is_written(root: Path, tmp_path: Path) -> None:
    folder = export_job(build_recipe("brain_tumor_fedavg"), tmp_path / "job")

    def content() -> dict[str, bytes]:
        places = (*root.rglob("*"), *folder.rglob("*"))
        return {str(path): path.read_bytes() for path in places if path.is_file()}

    before = content()
    text = describe_privacy(str(folder), Kit(root)).model_dump_json()
    assert content() == before
    dataset = read(root / "local" / "privacy.json")["scopes"][0]["properties"]["consilium"]["dataset"]
    assert str(root) not in text
    assert dataset not in text


def test_a_job_that_no_recipe_writes_has_no_page(tmp_path: Path) -> None:
    folder = export_job(build_recipe("brain_tumor_fedavg"), tmp_path)
    path = folder / "app" / "config" / "config_fed_client.json"
    config = read(path)
    config["task_result_filters"] = [{"tasks": ["*"], "filters": [{"path": "a.B"}]}]
    path.write_text(json.dumps(config))
    with pytest.raises(ConfigurationError, match="not what a recipe of Consilium writes"):
        describe_privacy(str(folder))


def pay(root: Path, *rounds: int) -> None:
    """Have a job pay for rounds at this hospital."""
    state = root / "site_state"
    with open_register(SiteSettings(dataset=root, state_dir=state)) as register:
        ledger = PrivacyLedger(state, register.ledger_key)
    for number in rounds:
        ledger.pay(payment(number))


def test_what_the_hospital_s_patients_have_spent_is_read_from_its_ledger(root: Path) -> None:
    set_scopes(root, hospital={"privacy": {"level": "formal", "epsilon": 9.0, "delta": 1e-3}})
    before = describe_privacy("brain_tumor_fedavg", Kit(root)).budget
    assert before is not None
    assert (before.allowed, before.spent, before.head) == (9.0, 0.0, "")
    pay(root, 0, 1)
    page = describe_privacy("brain_tumor_fedavg", Kit(root))
    assert page.budget is not None
    assert page.budget.spent == pytest.approx(epsilon_spent([ROUND.repeat(2)], 1e-3))
    assert page.budget.jobs == 1
    assert page.budget.head.startswith("2 ")
    assert "It would decline this job" in page.model_dump_json()


def test_a_damaged_ledger_is_an_error_and_no_page_of_a_budget_that_nobody_spent(root: Path) -> None:
    pay(root, 0, 1)
    (root / "site_state" / LEDGER_FILE).unlink()
    with pytest.raises(SiteRefusal, match="its privacy ledger can't be used"):
        describe_privacy("brain_tumor_fedavg", Kit(root))


def masked(root: Path, job: str = "brain_tumor_fedavg_secagg") -> str:
    return " ".join(describe_privacy(job, Kit(root)).section("aggregation").sentences)


def pin(root: Path, *names: str, **demands: int) -> None:
    peers = {name: format_fingerprint(bytes([number] * 32)) for number, name in enumerate(names)}
    write(root / "local" / PEERS_FILE, {"peers": peers, **demands})


def test_the_hospital_s_own_threshold_is_that_of_its_kit(root: Path) -> None:
    pin(root, "south", "west", "east", "center", "coast", colluding_sites=2)
    assert "of 5 or more by north's own threshold" in masked(root)
    assert "5 hospitals that it pinned all take part, the sum is of at least 5." in masked(root)
    without = describe_privacy("brain_tumor_fedavg_secagg").section("aggregation").sentences
    assert "never fewer than each hospital's own threshold" in " ".join(without)


def test_a_hospital_that_pinned_too_few_takes_part_in_no_sum(root: Path) -> None:
    assert "It has pinned 0 other hospitals, which is too few" in masked(root)
    pin(root, "south", "north")
    assert "It has pinned 1 other hospital, which is too few" in masked(root)
    assert "no update of it leaves in this job" in masked(root)
    pin(root, "south", "west")
    assert "too few" not in masked(root)


def test_a_list_of_hospitals_that_can_t_be_used_is_an_error_in_jobs_that_need_it(root: Path) -> None:
    (root / "local" / PEERS_FILE).write_text('{"min_survivors": 2}')
    with pytest.raises(ConfigurationError, match="min_survivors"):
        masked(root)
    assert "None: the server sees each hospital's update." in masked(root, "brain_tumor_fedavg")
    set_scopes(root, hospital={"role": "evaluates"})
    assert "each hospital's own threshold" in masked(root)


SUM = {"algorithm.max_norm": 0.5, "algorithm.hospital_noise": 1.5, "rollback_margin": None, "rounds": 20}


def export_with_noise_in_the_sum(folder: Path) -> str:
    return str(export_job(build_recipe("brain_tumor_fedavg_secagg", SUM), folder))


@pytest.mark.parametrize("colluding", [0, 1, 4])
def test_noise_in_a_sum_has_the_epsilon_that_the_hospital_enters_into_its_ledger(
    root: Path, tmp_path: Path, colluding: int
) -> None:
    pin(root, "south", "west", "east", colluding_sites=colluding)
    page = describe_privacy(export_with_noise_in_the_sum(tmp_path), Kit(root))
    counted = build_recipe("brain_tumor_fedavg_secagg", SUM).settings.algorithm.sum_noise(root / "local")
    found = page.hospital
    assert found is not None
    assert found.noise_multiplier == pytest.approx(counted)
    assert found.in_sum
    rounds = SampledGaussian(noise_multiplier=found.noise_multiplier).repeat(20)
    assert (found.epsilon, found.delta) == (epsilon_spent([rounds], 1e-4), 1e-4)
    assert found.with_all_jobs == found.epsilon < found.epsilon_of_other_data
    text = " ".join(page.section("epsilon").sentences)
    assert text.startswith("No differential privacy by patient")
    assert f"20 rounds have an epsilon of {found.epsilon:.3g} at a delta of 0.0001" in text
    assert "by north's own min_survivors and colluding_sites" in text
    assert (page.protection.epsilon, page.protection.level) == (None, "none")


def test_without_a_kit_noise_in_a_sum_is_counted_for_the_smallest_sum_of_all(
    root: Path, tmp_path: Path
) -> None:
    job = export_with_noise_in_the_sum(tmp_path)
    page = describe_privacy(job)
    pin(root, "south", "west")
    assert page.hospital == describe_privacy(job, Kit(root)).hospital
    assert "by the lowest min_survivors and no colluding_sites" in " ".join(page.section("epsilon").sentences)


def test_a_hospital_s_own_noise_is_counted_with_what_it_spent_before(root: Path) -> None:
    noise = {"clip": 0.5, "noise_multiplier": 4.0, "epsilon": 5.0, "delta": 1e-3}
    set_scopes(root, hospital={"hospital_noise": noise})
    rounds = build_recipe("brain_tumor_fedavg").settings.rounds
    release = SampledGaussian(noise_multiplier=4.0)
    first = describe_privacy("brain_tumor_fedavg", Kit(root))
    assert first.hospital is not None
    assert not first.hospital.in_sum
    assert first.hospital.epsilon == epsilon_spent([release.repeat(rounds)], 1e-3)
    assert "within its budget of 5" in " ".join(first.section("epsilon").sentences)
    with open_register(SiteSettings(dataset=root, state_dir=root / "site_state")) as register:
        ledger = PrivacyLedger(root / "site_state", register.ledger_key)
    for number in range(25):
        ledger.pay(Payment("job-1", "job-1", number, (release,), 1e-3, ("a",), "hospital"))
    then = describe_privacy("brain_tumor_fedavg", Kit(root))
    assert then.hospital is not None
    assert then.hospital.epsilon == first.hospital.epsilon
    assert then.hospital.with_all_jobs == epsilon_spent([release.repeat(rounds + 25)], 1e-3) > 5
    assert "above its budget of 5, so it would decline this job" in " ".join(
        then.section("epsilon").sentences
    )


def test_a_hospital_that_sends_no_update_is_hidden_by_no_noise(root: Path, tmp_path: Path) -> None:
    job = export_with_noise_in_the_sum(tmp_path)
    set_scopes(root, hospital={"role": "evaluates"})
    page = describe_privacy(job, Kit(root))
    assert page.hospital is None
    assert "hospital as a whole" not in " ".join(page.section("epsilon").sentences)
    assert describe_privacy("brain_tumor_fedavg").hospital is None


def test_the_weakest_noise_of_a_hospital_has_a_number_too(root: Path) -> None:
    set_scopes(root, hospital={"hospital_noise": {"clip": 0.5, "noise_multiplier": 0.01}})
    page = describe_privacy("brain_tumor_fedavg", Kit(root))
    assert page.hospital is not None
    assert page.hospital.epsilon > 1000
    assert page.hospital.epsilon_of_other_data is None
    assert "epsilon is too large to compute" in " ".join(page.section("epsilon").sentences)


def test_the_rows_of_secure_aggregation_say_what_leaves_in_plain_words(root: Path) -> None:
    page = describe_privacy("brain_tumor_fedavg_secagg", Kit(root))
    rows = {one.key: one for one in page.flows}
    whats = [row.what for key, row in rows.items() if key.startswith("question_")]
    assert [what.split("; in each round")[0] for what in whats] == [
        "Public keys of this hospital, made for one try of a round, and the fewest hospitals that it accepts",
        "Parts of the keys of one try of a round, each encrypted for a hospital: the server can't read them",
        "This hospital's signature of the list of the hospitals whose updates are in the sum",
        "Keys of one try of a round that remove the masks from the sum, and from no single update",
    ]
    assert {row.about for key, row in rows.items() if key.startswith("question_")} == {
        "none: keys and signatures follow from no patient"
    }
    assert "training cases, clipped values" in rows["set_sums"].what


@pytest.mark.parametrize("bits", [16, 32])
def test_the_page_states_the_size_of_the_ring(tmp_path: Path, bits: int) -> None:
    recipe = build_recipe("brain_tumor_fedavg_secagg", {"algorithm.ring_bits": bits})
    page = describe_privacy(str(export_job(recipe, tmp_path)))
    sentences = " ".join(page.section("aggregation").sentences)
    assert f"sent in {bits} bits, added to a random number of {bits} bits" in sentences
