"""Secure aggregation through the controller, with the sites' own dialogues in this process."""

from pathlib import Path

import numpy as np
import pytest
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import make_reply
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.abstract.model import make_model_learnable
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from consilium.errors import ConfigurationError, RefusalCode, SiteRefusal
from consilium.federation.algorithms import secagg_fedavg as server_part
from consilium.federation.message_names import (
    ANSWER_META,
    CODE_HEADER,
    QUESTION_META,
    REASON_HEADER,
    REPORT_META,
    TEST,
    TRAIN,
    VALIDATE,
)
from consilium.federation.rounds.controller import FederatedTraining
from consilium.federation.site.replies import hide_summed
from consilium.federation.updates.rejection_history import RejectedUpdate
from consilium.learning.algorithms import parse_algorithm, site_dialogue
from consilium.learning.algorithms.dialogue import SitePlace, UpdateOrigin
from consilium.learning.algorithms.secagg_plan import (
    ADVERTISE,
    CONFIRM,
    REVEAL,
    SHARE,
    SecAggFedAvgSettings,
)
from consilium.learning.model_file import load_model
from consilium.learning.weights import MODEL, join_sets
from consilium.privacy.demand import PrivacyDemand
from consilium.records.federation import Resumption, SiteReport
from consilium.records.outcome import determine_outcome
from consilium.records.summed_reports import ALL_SITES
from consilium.secagg.identity import IDENTITY_FILE
from consilium.secagg.local_federation import exchange_identities
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings
from federation.flare import JOB_ID
from federation.rehearsal import Rehearsal, Site, TwoWeights, outcomes, panics, rehearse

QUESTIONS = [ADVERTISE, SHARE, TRAIN, CONFIRM, REVEAL]
VALIDATION = [ADVERTISE, SHARE, CONFIRM, REVEAL]
SETTINGS = {"name": "secagg_fedavg", "bound_ratio": 500.0, "max_norm": 1e4, "full_weight_cases": 10}


class Tensors(TwoWeights):
    def load_model(self, fl_ctx):
        weights = {"w": np.zeros(2, np.float32), "mark": np.zeros((), np.float32)}
        return make_model_learnable(weights=weights, meta_props={"round": 0})


class SecureSite(Site):
    """Answers the protocol's questions with the package's own dialogue.

    `silent_at` are questions that it misses, `sent` what it would have sent in the clear. Of its report,
    only what leaves a site in such a job does.
    """

    def __init__(
        self, name, folder, *, silent_at=(), lie=None, settings=None, learning=None, loss=0.5, scored=True,
        **options,
    ):  # fmt: skip
        super().__init__(**options)
        self.loss, self.scored = loss, scored
        self.name, self.folder, self.silent_at, self.lie = name, folder, silent_at, lie
        self.learning, self.rounds = learning or BrainTumorSettings(), None
        self.dialogue = site_dialogue(SecAggFedAvgSettings.model_validate(settings or SETTINGS))
        self.sent, self.asked = [], []

    def place(self):
        return SitePlace(
            self.name, JOB_ID, JOB_ID, self.step is not None, self.folder / "local", self.folder / "state"
        )

    def __call__(self, task, model):
        if task in QUESTIONS:
            self.asked.append((task, model.current_round))
            if (task, model.current_round) in self.silent_at:
                return make_reply(ReturnCode.EXECUTION_EXCEPTION, {REASON_HEADER: "it died"})
        try:
            self.dialogue.enter(self.place())
            return self.reply(task, model)
        except SiteRefusal as error:
            headers = {REASON_HEADER: error.public_reason, CODE_HEADER: error.code.value}
            return make_reply(ReturnCode.EXECUTION_EXCEPTION, headers)

    def change(self):
        return {"w": np.full(2, self.step, np.float32), "mark": np.float32(0).reshape(())}

    def reply(self, task, model):
        content = model.meta.get(QUESTION_META, {})
        if self.lie:
            content = self.lie(task, content)
        if task in QUESTIONS and task != TRAIN:
            answer = self.dialogue.answer(task, content, {})
            reply = FLModel(metrics={}, current_round=model.current_round, meta={ANSWER_META: answer.content})
            return FLModelUtils.to_shareable(reply)
        answer, params = FLModelUtils.from_shareable(super().__call__(task, model)), None
        if self.step is not None and task in (TRAIN, VALIDATE):
            received = {name: model.params[name] for name in ("w", "mark")}
            rounds = self.rounds or model.total_rounds
            scores = {name: value for name, value in answer.metrics.items() if not name.endswith("_cases")}
            origin = UpdateOrigin(
                received, self.cases, model.current_round, rounds, self.learning,
                self.loss if task == TRAIN else None, scores if self.scored else {},
            )  # fmt: skip
            sets = {"sums": {}}
            if task == TRAIN:
                sets[MODEL] = self.change()
                self.sent.append(sets[MODEL]["w"].tobytes())
            params = join_sets(self.dialogue.seal(sets, content, origin))
        report = hide_summed(SiteReport.model_validate(answer.meta[REPORT_META]), self.learning)
        reply = FLModel(
            params_type=ParamsType.DIFF if params else None,
            params=params,
            metrics=answer.metrics if task == TEST else {"test_cases": 1.0},
            current_round=model.current_round,
            meta={REPORT_META: report.model_dump(mode="json")},
        )
        return FLModelUtils.to_shareable(reply)


NAMES = ("east", "north", "south", "west")


@pytest.fixture
def sites(tmp_path):
    def sites(names=NAMES, options=None, **common):
        folders = {name: tmp_path / "sites" / name for name in names}
        for folder in folders.values():
            (folder / "local").mkdir(parents=True)
        exchange_identities({name: folder / "local" for name, folder in folders.items()})
        return {
            name: SecureSite(
                name, folder, **{"cases": 3, "step": 1.0, **common, **(options or {}).get(name, {})}
            )
            for name, folder in folders.items()
        }

    return sites


@pytest.fixture
def run(tmp_path):
    def run(sites, **settings):
        defaults = {
            "rounds": 2, "min_sites": 3, "persistor": Tensors, "algorithm": SETTINGS,
            "screening": {"max_norm_ratio": None},
        }  # fmt: skip
        return rehearse(tmp_path / "server", sites, **{**defaults, **settings})

    return run


def w(engine):
    return load_model(engine.run_folder / "model.safetensors")[0]["w"]


STEPS = {
    "east": {"step": 2.0, "cases": 6},
    "north": {"step": -1.0},
    "south": {"step": 0.5},
    "west": {"step": 0.25},
}


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("bits", [16, 32])
def test_a_job_gives_the_weighted_mean(run, sites, bits):
    chosen = {**SETTINGS, "ring_bits": bits, "bound_ratio": 300.0}
    hospitals = sites(options=STEPS, settings=chosen)
    record, engine = run(hospitals, algorithm=chosen)
    assert record.status == "finished", record.reason
    expected = 2 * (6 * 2.0 + 3 * (-1.0 + 0.5 + 0.25)) / 15
    np.testing.assert_allclose(w(engine), expected, atol=1e-5 if bits == 32 else 0.1)
    assert [task for task, _ in hospitals["east"].asked] == QUESTIONS * 2 + VALIDATION
    assert record.rounds[0].sites["east"].weight is None
    assert record.rounds[0].summed.cases == 15
    assert record.rounds[0].sites["east"].update_norm is None
    assert {name: one.outcome for name, one in record.rounds[0].questions[REVEAL].items()} == dict.fromkeys(
        NAMES, "answered"
    )


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("stage", QUESTIONS)
def test_a_site_that_is_lost_at_any_stage_costs_the_others_nothing(run, sites, stage):
    """Before it sends, its update is left out; after, it counts."""
    hospitals = sites(options={**STEPS, "west": {"step": 0.25, "silent_at": [(stage, 0)]}})
    record, engine = run(hospitals)
    assert record.status == "finished", record.reason
    with_west = (6 * 2.0 + 3 * (-1.0 + 0.5 + 0.25)) / 15
    without = (6 * 2.0 + 3 * (-1.0 + 0.5)) / 12
    first = with_west if stage in (CONFIRM, REVEAL) else without
    np.testing.assert_allclose(w(engine), first + with_west, atol=1e-5)
    assert [one.attempts for one in record.rounds] == [1, 1]


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("stage", QUESTIONS)
def test_a_round_that_can_not_be_opened_is_repeated(run, sites, stage):
    """Two of four are lost in the first attempt, and three have to be left."""

    class Once(list):
        def __contains__(self, item):
            return item in list(self) and not self.remove(item)

    lost = {name: {**STEPS[name], "silent_at": Once([(stage, 0)])} for name in ("south", "west")}
    hospitals = sites(options={**STEPS, **lost})
    record, engine = run(hospitals, quorum={"attempts": 2, "backoff_seconds": 0})
    assert record.status == "finished", record.reason
    assert [one.attempts for one in record.rounds] == [2, 1]
    np.testing.assert_allclose(w(engine), 2 * (6 * 2.0 + 3 * (-1.0 + 0.5 + 0.25)) / 15, atol=1e-5)


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("stage", [CONFIRM, REVEAL])
def test_a_site_that_stops_after_it_sent_its_update_is_waited_for_only_briefly(run, sites, stage):
    """Whatever the quorum waits for: here, for every site, for ever."""
    waits = {}

    class Watched(Rehearsal):
        def ask(self, task, *arguments, grace_seconds, enough, **options):
            before = enough()
            super().ask(task, *arguments, grace_seconds=grace_seconds, enough=enough, **options)
            waits[task] = before, enough(), grace_seconds

    hospitals = sites(options={**STEPS, "west": {"step": 0.25, "silent_at": [(stage, 0)]}})
    record, _ = run(hospitals, rounds=1, controller=Watched)
    assert record.status == "finished", record.reason
    before, after, grace = waits[stage]
    assert (before, after) == (False, True)
    assert grace < 60
    assert {task for task, (_, _, one) in waits.items() if one == np.inf} >= {ADVERTISE, SHARE, TRAIN}


def test_with_fewer_sites_than_the_threshold_nothing_is_opened(run, sites):
    lost = {name: {**STEPS[name], "silent_at": [(TRAIN, 0)]} for name in ("south", "west")}
    record, engine = run(sites(options={**STEPS, **lost}), min_sites=2)
    assert record.status == "failed"
    assert "at least 3 must" in record.reason
    assert len(panics(engine)) == 1


@pytest.mark.long
def test_a_site_that_only_evaluates_scores_and_sends_nothing(run, sites):
    hospitals = sites(options={**STEPS, "west": {"step": None}})
    record, engine = run(hospitals)
    assert record.status == "finished", record.reason
    np.testing.assert_allclose(w(engine), 2 * (6 * 2.0 + 3 * (-1.0 + 0.5)) / 12, atol=1e-5)
    assert outcomes(record, "west") == ["evaluated"] * 2
    assert [task for task, _ in hospitals["west"].asked] == [ADVERTISE, TRAIN] * 2 + [ADVERTISE]


def test_the_server_learns_sums_of_cases_losses_and_scores_only(run, sites):
    options = {
        "east": {"cases": 20, "step": 1.0, "loss": 0.1, "dice": lambda value: 0.9},
        "north": {"cases": 7, "loss": 0.4, "dice": lambda value: 0.3},
        "south": {"cases": 5, "loss": 0.7, "scored": False},
        "west": {"cases": 4, "loss": 0.8, "dice": lambda value: 0.6},
    }
    record, _ = run(sites(options=options))
    assert record.status == "finished", record.reason
    for one in record.rounds:
        assert (one.summed.sites, one.summed.cases, one.summed.clipped) == (4, 10 + 7 + 5 + 4, 0)
        assert one.summed.loss == pytest.approx(0.5, abs=1e-5)
    for scores in (record.initial_scores, *(one.scores for one in record.rounds)):
        assert scores.keys() == {ALL_SITES}  # of the last model, too
        assert list(scores[ALL_SITES].values()) == pytest.approx([0.6] * len(scores[ALL_SITES]), abs=1e-6)
    said = [record.preparation, *(one.sites for one in record.rounds), record.validation_sites]
    reports = [one.report for sites in said for one in sites.values()]
    assert len(reports) == 16
    for report in reports:
        assert {report.train_cases, report.validation_cases, report.validation_patients, report.loss} == {
            None
        }


def test_a_sum_of_scores_chooses_the_best_round(run, sites, caplog):
    caplog.set_level("INFO")
    best_at_one = {"dice": lambda value: 1 - abs(value - 1) / 10, "step": 1.0}
    record, _ = run(sites(**best_at_one), rounds=3, rollback_margin=None)
    assert record.status == "finished", record.reason
    assert record.best_round == 1
    assert "model of round 1: mean Dice 1.0000 over all sites together" in caplog.text


def test_a_score_that_no_site_can_have_is_none_of_the_model_s(run, sites, caplog):
    hospitals = sites(options={**STEPS, "west": {"dice": lambda value: -3.0}})
    record, _ = run(hospitals, rounds=1)
    assert record.status == "finished", record.reason
    assert not record.initial_scores
    assert record.rounds[0].summed.sites == 4


@pytest.mark.parametrize(
    "setting", [{"quorum": {"min_case_share": 0.5}}, {"selection": "patients"}, {"selection": "worst_site"}]
)
def test_what_needs_single_sites_cases_or_scores_is_refused_by_name(run, sites, setting):
    with pytest.raises(ConfigurationError, match="sends sums only"):
        run(sites(), **setting)


def test_a_site_without_an_identity_declines_with_the_reason(run, sites):
    hospitals = sites(options=STEPS)
    (hospitals["west"].folder / "local" / IDENTITY_FILE).unlink()
    record, _ = run(hospitals)
    assert record.status == "finished", record.reason
    declined = record.rounds[0].questions[ADVERTISE]["west"]
    assert declined.code.value == "secure_aggregation"
    assert "no identity" in declined.reason


def test_an_identity_that_the_others_did_not_pin_is_refused_and_they_continue_without_it(
    run, sites, tmp_path
):
    hospitals = sites(options=STEPS)
    path = hospitals["west"].folder / "local" / IDENTITY_FILE
    path.unlink()
    folders = {name: tmp_path / "forged" / name for name in NAMES}
    for folder in folders.values():
        folder.mkdir(parents=True)
    exchange_identities(folders)
    path.write_bytes((folders["west"] / IDENTITY_FILE).read_bytes())
    path.chmod(0o600)
    record, engine = run(hospitals, quorum={"attempts": 2, "backoff_seconds": 0})
    assert record.status == "finished", record.reason
    assert [one.attempts for one in record.rounds] == [2, 2]
    for one in record.rounds:
        assert "3 other sites of 3 did not pin" in one.questions[ADVERTISE]["west"].reason
    assert not record.excluded
    np.testing.assert_allclose(w(engine), 2 * (6 * 2.0 + 3 * (-1.0 + 0.5)) / 12, atol=1e-5)


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize(
    ("stage", "change"),
    [
        (ADVERTISE, lambda content: {**content, "plan": {**content["plan"], "bits": 16}}),
        (ADVERTISE, lambda content: {**content, "plan": {**content["plan"], "bound": float("nan")}}),
        (ADVERTISE, lambda content: {"attempt": 1}),
        (ADVERTISE, lambda content: {**content, "plan": {**content["plan"], "full_weight_cases": 3}}),
        (SHARE, lambda content: {}),
        (SHARE, lambda content: {"message": "{}"}),
        (TRAIN, lambda content: {"inboxes": {}}),
        (TRAIN, lambda content: {"inboxes": dict.fromkeys(NAMES, "{}")}),
        (CONFIRM, lambda content: {"message": 7}),
        (REVEAL, lambda content: {"message": "{}"}),
    ],
)
def test_a_site_declines_what_the_server_may_not_say(run, sites, stage, change):
    hospitals = sites(
        options={
            **STEPS,
            "west": {"step": 9.0, "lie": lambda task, content: change(content) if task == stage else content},
        }
    )
    record, _ = run(hospitals, rounds=1)
    assert record.status == "finished", record.reason
    first = record.rounds[0]
    there = first.sites if stage == TRAIN else first.questions[stage]
    assert there["west"].code.value == "secure_aggregation"


def test_a_site_that_gets_another_bound_spoils_the_sum_and_shows_nothing(run, sites):
    """Others would be clipped to nothing, if a server could announce one bound to each."""

    def lie(task, content):
        return {**content, "plan": {**content["plan"], "bound": 1e-9}} if task == ADVERTISE else content

    record, _ = run(sites(options={**STEPS, "west": {"lie": lie}}), rounds=1)
    assert record.status == "finished", record.reason
    assert record.rounds[0].questions[ADVERTISE]["west"].outcome == "refused"  # of other parameters


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("change", ["learning", "rounds"])
def test_updates_that_were_not_trained_alike_are_not_added_up(run, sites, change):
    """A server could have all but one learn at a rate of nothing, and see that one's update in the sum."""
    hospitals = sites(options=STEPS)
    if change == "learning":
        hospitals["west"].learning = BrainTumorSettings(learning_rate=1e-7)
    else:
        hospitals["west"].rounds = 10**9
    record, engine = run(hospitals, rounds=1)
    assert record.status == "finished", record.reason
    assert record.rounds[0].sites["west"].code.value == "secure_aggregation"
    assert "train by other settings" in record.rounds[0].sites["west"].reason
    np.testing.assert_allclose(w(engine), (6 * 2.0 + 3 * (-1.0 + 0.5)) / 12, atol=1e-5)


@pytest.mark.quick_cases(3)
@pytest.mark.parametrize(
    "change",
    [{"bound": 1e-9}, {"bound": 1e5}, {"norm": 1e-9}, {"norm": 1e5}, {"training": "0" * 64}, {"bits": 16},
     {"full_weight_cases": 1}, {"sites": 3}],
)  # fmt: skip
def test_no_update_is_masked_by_limits_of_the_server_s_choice(run, sites, monkeypatch, change):
    """Two sums of the same updates with different limits would show those of the sites between them."""
    chosen = server_part.plan_sum
    monkeypatch.setattr(
        server_part, "plan_sum", lambda *arguments: chosen(*arguments).model_copy(update=change)
    )
    hospitals = sites(options=STEPS)
    sealed = []
    for site in hospitals.values():
        seal = site.dialogue.seal
        site.dialogue.seal = lambda *arguments, seal=seal: sealed.append(arguments) or seal(*arguments)
    record, _ = run(hospitals, rounds=1, quorum={"attempts": 1})
    assert record.status == "failed"
    first = record.rounds[0]
    refused = {site: one.code.value for site, one in (first.sites or first.questions[ADVERTISE]).items()}
    assert refused == dict.fromkeys(NAMES, "secure_aggregation")
    assert len(sealed) in (0, len(NAMES))


@pytest.mark.long
def test_a_round_that_makes_the_model_worse_is_dropped(run, sites):
    hospitals = sites(options=STEPS, dice=lambda value: 0.9 if value == 0 else 0.1)
    record, engine = run(hospitals, rollback_margin=0.05, rounds=2)
    assert record.status == "finished", record.reason
    assert record.rounds[0].rolled_back
    assert [task for task, _ in hospitals["east"].asked] == QUESTIONS * 3 + VALIDATION
    # Both rounds' models are worse than the initial one.
    assert record.rounds[1].rolled_back
    np.testing.assert_allclose(w(engine), 0, atol=1e-6)


@pytest.mark.long
def test_a_site_that_drops_out_of_a_round_that_is_repeated_ends_no_job(run, sites):
    """The sum of the model that was dropped was opened with it, and is not opened again without it."""
    hospitals = sites(options=STEPS, dice=lambda value: 0.9 if value == 0 else 0.1)
    answer, trainings = hospitals["west"].reply, []

    def reply(task, model):
        if task == TRAIN:
            trainings.append(model.current_round)
            if trainings == [0, 1, 1]:
                return make_reply(ReturnCode.EXECUTION_EXCEPTION, {REASON_HEADER: "it died"})
        return answer(task, model)

    hospitals["west"].reply = reply
    record, _ = run(hospitals, rollback_margin=0.05, rounds=3)
    assert record.status == "finished", record.reason
    assert "worse than the initial one" in record.rounds[0].rolled_back
    assert "helped to open another sum or mean of this round before" in record.rounds[1].rolled_back
    assert trainings == [0, 1, 1, 2]
    assert record.rounds[2].summed.sites == 4


@pytest.mark.parametrize(("dice", "kept"), [(0.1, 0), (0.9, 1)], ids=["worse", "better"])
def test_a_model_whose_scores_a_skipped_round_hid_is_dropped_or_the_best_a_round_later(
    run, sites, monkeypatch, dice, kept
):
    """The scores of round 1's model come with the sum of round 3, as that of round 2 is not opened."""
    hospitals = sites(options=STEPS, dice=lambda value: {0: 0.5}.get(round(value, 3), dice))
    combine = server_part.ServerSecAggFedAvg.combine

    def combine_not_in_round_2(self):
        if len(hospitals["east"].sent) == 2:
            raise RejectedUpdate("a site was lost", code=RefusalCode.ROUND_OPENED)
        return combine(self)

    monkeypatch.setattr(server_part.ServerSecAggFedAvg, "combine", combine_not_in_round_2)
    monkeypatch.setattr(server_part.ServerSecAggFedAvg, "summed", property(_summed_not_in_round_2(hospitals)))
    record, _ = run(hospitals, rollback_margin=0.05, rounds=3)
    assert record.status == "finished", record.reason
    assert "a site was lost" in record.rounds[1].rolled_back
    assert bool(record.rounds[0].rolled_back) is (not kept)
    assert record.best_round == (1 if kept else None)


def _summed_not_in_round_2(hospitals):
    summed = server_part.ServerSecAggFedAvg.summed.fget
    return lambda self: None if len(hospitals["east"].sent) == 2 else summed(self)


def test_the_server_keeps_no_update(run, sites, tmp_path):
    hospitals = sites(options=STEPS)
    _, engine = run(hospitals)
    clear = [one for site in hospitals.values() for one in site.sent]
    assert clear
    files = [path for path in Path(engine.run_folder).rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files for one in clear if one in path.read_bytes()]


@pytest.mark.parametrize("rule", ["median", "trimmed_mean", "clipped_mean"])
def test_rules_that_need_single_updates_are_refused_by_name(run, sites, rule):
    with pytest.raises(ConfigurationError, match=f"aggregation.rule is '{rule}'"):
        run(sites(), aggregation={"rule": rule})


def test_a_limit_of_shares_is_refused_by_name(run, sites):
    with pytest.raises(ConfigurationError, match=r"aggregation\.max_site_share is 0\.5"):
        run(sites(), aggregation={"max_site_share": 0.5})


def test_screening_by_norm_is_refused_by_name(run, sites):
    with pytest.raises(ConfigurationError, match=r"screening\.max_norm_ratio is 6"):
        run(sites(), screening={"max_norm_ratio": 6.0})


def test_a_resumed_round_is_opened_for_the_same_sites_only(sites, run, tmp_path, monkeypatch):
    hospitals = sites(options=STEPS)
    run(hospitals, rounds=1)
    again = {name: SecureSite(name, site.folder, cases=3, step=1.0) for name, site in hospitals.items()}
    for site in again.values():
        site.place = lambda site=site: SitePlace(
            site.name, "another-job", JOB_ID, True, site.folder / "local", site.folder / "state"
        )
    again["west"].silent_at = [(TRAIN, 0)]
    new = FederatedTraining._new_record
    resumed = {"resumed": [Resumption(job=JOB_ID, after_round=0)]}
    monkeypatch.setattr(FederatedTraining, "_new_record", lambda one: new(one).model_copy(update=resumed))
    record, engine = rehearse(
        tmp_path / "again", again, rounds=2, min_sites=3, persistor=Tensors, algorithm=SETTINGS,
        screening={"max_norm_ratio": None}, job_id="another-job",
    )  # fmt: skip
    assert record.status == "finished", record.reason
    assert "other survivors" in record.rounds[0].questions[REVEAL]["east"].reason
    assert record.rounds[0].questions[REVEAL]["east"].code.value == "round_opened"
    assert record.rounds[0].rolled_back.startswith("east, north, south helped to open another sum")
    np.testing.assert_allclose(w(engine), 1.0, atol=1e-5)  # of the second round alone


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("again", [True, False], ids=["the same sites", "one less"])
def test_a_round_whose_shares_were_lost_is_repeated_with_the_same_sites_or_skipped(sites, run, again):
    """The sites opened it, and the server, which did not get their shares, may not open it with others."""
    hospitals = sites(options=STEPS)
    lost = {"east", "north"}

    def losing(site):
        answer = site.reply

        def reply(task, model):
            answered = answer(task, model)
            if task == REVEAL and site.name in lost:
                lost.remove(site.name)
                return make_reply(ReturnCode.EXECUTION_EXCEPTION, {REASON_HEADER: "its connection broke"})
            return answered

        return reply

    for site in hospitals.values():
        site.reply = losing(site)
    asked = hospitals["west"].reply
    trainings = []

    def reply(task, model):
        if task == TRAIN:
            trainings.append(model.current_round)
            if trainings == [0, 0] and not again:
                return make_reply(ReturnCode.EXECUTION_EXCEPTION, {REASON_HEADER: "it died"})
        return asked(task, model)

    hospitals["west"].reply = reply
    record, engine = run(hospitals, quorum={"attempts": 2, "backoff_seconds": 0})
    assert record.status == "finished", record.reason
    mean = (6 * 2.0 + 3 * (-1.0 + 0.5 + 0.25)) / 15
    np.testing.assert_allclose(w(engine), (2 if again else 1) * mean, atol=1e-5)
    assert bool(record.rounds[0].rolled_back) is not again
    assert determine_outcome(record).kind == ("success" if again else "partial")


def test_a_hospital_that_demands_secure_aggregation_gets_it_of_this_algorithm_only():
    demand = PrivacyDemand(secure_aggregation=True)
    promises = {name: parse_algorithm({"name": name}).promise() for name in ("secagg_fedavg", "fedavg")}
    assert demand.shortfall(promises["secagg_fedavg"], sites=3) is None
    assert demand.shortfall(promises["fedavg"], sites=3)
