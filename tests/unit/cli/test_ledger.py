"""`consilium ledger`: on the ledger of a hospital's kit."""

import json
import shutil

import pytest

from consilium.learning.algorithms.dp_sgd import DpSgdAlgorithmSettings
from consilium.participant.register_files import open_register, read_register
from consilium.participant.site_settings import SiteSettings
from consilium.privacy.accounting import epsilon_spent
from consilium.privacy.hospital_noise import HospitalNoise
from consilium.privacy.ledger import HEADS_FILE, LEDGER_FILE, PrivacyLedger
from consilium.privacy.ledger_entry import Payment
from consilium.privacy.mechanism import SampledGaussian
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings

ROUND = SampledGaussian(noise_multiplier=2.0, sampling_rate=0.1, steps=40)


@pytest.fixture
def kit(tmp_path):
    """A hospital's kit, as far as its settings are read."""
    folder = tmp_path / "north"
    for name in ("startup", "local", "site_state"):
        (folder / name).mkdir(parents=True)
    service = {"name": "consortium", "service": {"target": "server:8002", "scheme": "grpc"}}
    startup = {"servers": [service], "client": {"fqsn": "north"}}
    (folder / "startup" / "fed_client.json").write_text(json.dumps(startup))
    (folder / "local" / "withdrawn.txt").write_text("P7\n")
    settings = {
        "dataset": "data",
        "privacy": {"level": "formal", "epsilon": 8.0},
        "withdrawn_patients": "local/withdrawn.txt",
    }
    scope = {"name": "hospital", "properties": {"consilium": settings}}
    policy = {"scopes": [scope], "default_scope": "hospital"}
    (folder / "local" / "privacy.json").write_text(json.dumps(policy))
    return folder


@pytest.fixture
def ledger(kit):
    site = SiteSettings(dataset=kit / "data", state_dir=kit / "site_state")
    with open_register(site):
        pass
    ledger = PrivacyLedger(site.state_dir, read_register(site).ledger_key)
    for round_index in (0, 1, 1):
        ledger.pay(Payment("job-1", "job-1", round_index, (ROUND,), 1e-3, ("a", "b")))
    ledger.pay(Payment("job-2", "job-2", 0, (ROUND,), 1e-3, ("b", "c")))
    return ledger


def test_it_shows_jobs_patients_and_what_is_left(run, kit, ledger):
    code, out, err = run("ledger", "show", kit)
    assert (code, err) == (0, "")
    assert "3 patients: largest epsilon of jobs with noise" in out
    assert "budget 8, left at least" in out
    assert "1 withdrawn patient listed" in out
    code, out, _ = run("ledger", "show", kit, "--json")
    shown = json.loads(out)
    assert [(one["job"], one["rounds"], one["attempts"], one["patients"]) for one in shown["jobs"]] == [
        ("job-1", 2, 3, 2),
        ("job-2", 1, 1, 2),
    ]
    first, second = (one["epsilon"] for one in shown["jobs"])
    assert second < first < shown["epsilon"] < first + second
    assert shown["left"] == pytest.approx(8 - shown["epsilon"])
    assert sum(part["patients"] for part in shown["ranges"]) == shown["patients"] == 3
    assert "P7" not in out


def test_it_shows_jobs_without_noise_and_who_withdrew(run, kit, ledger):
    ledger.withdraw(["c", "z"])
    ledger.pay(Payment("job-3", "job-3", 0, (), None, ("c",)))
    ledger.pay(Payment("job-4", "job-3", 0, (), None, ("d",)))
    code, out, _ = run("ledger", "show", kit, "--json")
    shown = json.loads(out)
    assert code == 0
    assert [(one["job"], one["level"]) for one in shown["jobs"]] == [
        ("job-1", "formal"),
        ("job-2", "formal"),
        ("job-3", "none"),
    ]
    assert shown["jobs"][-1]["epsilon"] is None
    assert shown["jobs"][-1]["resumed_as"] == ["job-4"]
    assert (shown["patients"], shown["unbounded"]) == (4, 2)
    assert sum(part["patients"] for part in shown["ranges"]) == 2
    (note,) = shown["withdrawals"]
    assert (note["patients"], note["spent"], note["again"]) == (2, 1, 1)
    _, out, _ = run("ledger", "show", kit)
    assert "no bound" in out
    assert "2 patients found to have withdrawn, of whom jobs had trained on 1" in out
    assert "a job has trained on 1 of them since" in out


def test_what_hid_the_hospital_as_a_whole_is_shown_apart_and_spends_no_patient_s_budget(run, kit, ledger):
    before = json.loads(run("ledger", "show", kit, "--json")[1])
    noise = SampledGaussian(noise_multiplier=4.0)
    for round_index in range(3):
        ledger.pay(Payment("job-3", "job-3", round_index, (noise,), 1e-4, ("a", "b"), "hospital"))
    out = run("ledger", "show", kit)[1]
    assert "the hospital as a whole, not by patient: 3 payments of 1 job" in " ".join(out.split())
    shown = json.loads(run("ledger", "show", kit, "--json")[1])
    hospital = shown.pop("hospital")
    assert before.pop("hospital") is None
    assert {**before, "head": shown["head"]} == shown
    assert hospital["epsilon"] == epsilon_spent([noise.repeat(3)], 1e-4)
    assert (hospital["jobs"], hospital["attempts"], hospital["budget"]) == (1, 3, None)


def test_a_site_that_has_not_paid_shows_nothing_and_is_left_as_it_is(run, kit):
    code, out, _ = run("ledger", "show", kit)
    assert code == 0
    assert (
        "0 patients: largest epsilon of jobs with noise 0 at delta 0.0001; budget 8, left at least 8" in out
    )
    code, out, err = run("ledger", "verify", kit)
    assert (code, out) == (0, "")
    assert err.strip() == "The ledger is empty: no job has trained on patients of this site yet."
    assert run("ledger", "verify", kit, "--head", "3 5b1f")[0] == 1
    assert list((kit / "site_state").iterdir()) == []


def test_a_head_that_was_noted_shows_that_nothing_before_it_changed(run, kit, ledger):
    code, out, err = run("ledger", "verify", kit)
    assert code == 0
    assert "4 payments, as this site wrote them" in err
    noted = out.strip()
    assert noted == ledger.read().head
    ledger.pay(Payment("job-2", "job-2", 1, (ROUND,), 1e-3, ("b",)))
    assert run("ledger", "verify", kit, "--head", noted)[0] == 0
    assert run("ledger", "verify", kit, "--head", f"9{noted}")[0] == 1


def test_older_copies_of_both_files_are_found_by_a_head_that_was_noted(run, kit, ledger, tmp_path):
    state = kit / "site_state"
    ledger.close()
    for name in (LEDGER_FILE, HEADS_FILE):
        shutil.copy(state / name, tmp_path)
    ledger.pay(Payment("job-2", "job-2", 1, (ROUND,), 1e-3, ("b",)))
    noted = ledger.read().head
    ledger.close()
    for name in (LEDGER_FILE, HEADS_FILE):
        shutil.copy(tmp_path / name, state)
    assert run("ledger", "verify", kit)[0] == 0  # nothing on this machine knows better
    code, _, err = run("ledger", "verify", kit, "--head", noted)
    assert code == 1
    assert "replaced by an older or another one" in err


def test_a_damaged_ledger_is_named_with_the_remedy(run, kit, ledger):
    ledger.close()
    (kit / "site_state" / LEDGER_FILE).write_bytes(b"nothing")
    code, _, err = run("ledger", "verify", kit)
    assert code == 1
    assert f"Restore {LEDGER_FILE} and {HEADS_FILE} together" in err
    assert run("ledger", "show", kit)[0] == 2


def test_a_plan_says_the_noise_and_what_each_round_spends(run):
    words = ("ledger", "plan", "--epsilon", "3", "--training-patients", "100", "--rounds", "20")
    code, out, _ = run(*words, "--json")
    plan = json.loads(out)
    assert code == 0
    assert plan["level"] == "formal"
    assert plan["sampling_rate"] == 0.08
    assert plan["delta"] == 0.001
    assert [number for number, _ in plan["epsilon_by_round"]] == [1, 2, 5, 10, 20]
    spent = [epsilon for _, epsilon in plan["epsilon_by_round"]]
    assert spent == sorted(spent)
    assert 2.98 < spent[-1] <= 3
    code, out, _ = run(*words)
    assert "noise 2.484 times the clipping norm" in out


@pytest.mark.long
def test_a_plan_by_level_has_the_epsilon_of_a_job_with_that_level(run):
    code, out, _ = run(
        "ledger", "plan", "--level", "formal", "--training-patients", "100", "--rounds", "1", "--json"
    )
    assert code == 0
    plan = json.loads(out)
    job = DpSgdAlgorithmSettings(level="formal")
    learning = BrainTumorSettings(batch_size=8, local_steps=40)
    (mechanism,) = job.privacy_plan(learning, 1, 100).each_round
    assert plan["noise_multiplier"] == mechanism.noise_multiplier
    assert plan["sampling_rate"] == mechanism.sampling_rate


@pytest.mark.long
def test_a_plan_for_the_hospital_finds_the_noise_of_an_epsilon_and_the_epsilon_of_a_noise(run):
    words = ("ledger", "plan", "--unit", "hospital", "--rounds", "20")
    code, out, _ = run(*words, "--epsilon", "8", "--json")
    plan = json.loads(out)
    assert code == 0
    assert (plan["unit"], plan["level"], plan["sampling_rate"], plan["delta"]) == ("hospital", None, 1, 1e-4)
    noise = HospitalNoise(clip=1, noise_multiplier=plan["noise_multiplier"])
    assert plan["epsilon_by_round"][-1][1] == epsilon_spent([noise.mechanism.repeat(20)], 1e-4)
    assert 7.9 < plan["epsilon_by_round"][-1][1] <= 8
    again = json.loads(run(*words, "--noise", str(plan["noise_multiplier"]), "--json")[1])
    assert again == plan
    assert "it hides the hospital and is no protection by patient" in run(*words, "--epsilon", "8")[1]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--unit", "hospital"), "the hospital's epsilon or its noise"),
        (("--unit", "hospital", "--epsilon", "3", "--noise", "2"), "and not both"),
        (("--unit", "hospital", "--noise", "0"), "noise_multiplier: allowed: 0.01 or more"),
        (("--unit", "hospital", "--epsilon", "3", "--batch", "8"), "--batch can't be used with --unit hosp"),
        (("--unit", "hospital", "--epsilon", "3", "--level", "formal"), "--level can't be used"),
        (("--unit", "hospital", "--epsilon", "3", "--training-patients", "9"), "--training-patients can't"),
        (
            ("--epsilon", "3", "--training-patients", "9", "--noise", "2"),
            "--noise can't be used with --unit p",
        ),
        (("--unit", "city", "--epsilon", "3"), "allowed: patient, hospital"),
        (("--epsilon", "3"), "patients: it is missing"),
        (("--training-patients", "100"), "give an epsilon, or a level"),
        (("--level", "none", "--training-patients", "100"), "no noise to plan"),
        (("--level", "perfect", "--training-patients", "100"), "level: allowed"),
        (("--level", "formal", "--epsilon", "50", "--training-patients", "100"), "50 is not formal"),
        (("--epsilon", "0", "--training-patients", "100"), "epsilon: allowed: more than 0"),
        (("--epsilon", "3", "--training-patients", "0"), "patients: allowed: 1 or more"),
        (("--epsilon", "3", "--training-patients", "9", "--delta", "2"), "delta: allowed"),
    ],
)
def test_a_plan_that_can_not_be_is_an_error(run, words, reason):
    code, _, err = run("ledger", "plan", *words)
    assert code == 2
    assert reason in err


def test_a_kit_without_patients_has_no_ledger(run, tmp_path):
    assert run("ledger", "show", tmp_path)[0] == 2
