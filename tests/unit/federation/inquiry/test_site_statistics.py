import logging

import pytest
from data.hospital import Hospital
from nvflare.apis.dxo import from_shareable
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import FLContextKey, ReservedKey, ReturnCode
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.statistics_spec import Histogram, StatisticConfig
from nvflare.app_common.app_constant import StatisticsConstants as Names
from nvflare.app_common.executors.statistics.statistics_executor import StatisticsExecutor
from nvflare.app_common.filters.statistics_privacy_filter import StatisticsPrivacyFilter
from nvflare.app_common.statistics.histogram_bins_cleanser import HistogramBinsCleanser
from nvflare.app_common.statistics.min_count_cleanser import MinCountCleanser
from nvflare.fuel.utils import fobs
from tasks.packages import installed, is_imported, toy

from consilium.errors import ConfigurationError, RefusalCode
from consilium.federation.inquiry.patient_statistics import DATASET
from consilium.federation.inquiry.site_statistics import SiteStatisticsGenerator, histogram_config
from consilium.records.statistics import SiteAnswer
from consilium.tasks import get_task
from federation.flare import Engine

TASK = "brain_tumor"
FEATURES = [feature.name for feature in get_task(TASK).statistics.features()]
PATIENTS = ("Doe-Jane-1931", "Roe-Richard-1940", "Poe-Edgar-1809")


class Site:
    """A site of a statistics job: FLARE's executor and filter around our generator, in FLARE's contexts."""

    def __init__(self, folder, *, cleansers=None, generator=None, **settings):
        self.dataset = folder / "pacs"
        self.dataset.mkdir(parents=True)
        self.hospital = Hospital(self.dataset)
        self.generator = generator or SiteStatisticsGenerator(TASK)
        self.executor = StatisticsExecutor(generator_id="generator")
        cleansers = cleansers or {}
        self.filter = StatisticsPrivacyFilter(result_cleanser_ids=list(cleansers))
        parts = {"generator": self.generator, "executor": self.executor, **cleansers}
        self.engine = Engine(folder / "workspace", parts)
        properties = {"consilium": {"dataset": str(self.dataset), "min_count": 1, **settings}}
        self.abort = Signal()
        for name, value in (
            (FLContextKey.SCOPE_PROPERTIES, properties),
            (ReservedKey.RUN_ABORT_SIGNAL, self.abort),
        ):
            self.engine.context.set_prop(name, value, private=True, sticky=True)

    def start(self):
        self.engine.fire_event(EventType.START_RUN, self.engine.context)

    def send(self, task, content):
        shareable = Shareable(content)
        return self.executor.execute(task, shareable, self.engine.context, Signal())

    def shake_hands(self):
        configs = [StatisticConfig(Names.STATS_HISTOGRAM, histogram_config(TASK))]
        return self.send(Names.FED_STATS_PRE_RUN, {Names.STATS_TARGET_STATISTICS: fobs.dumps(configs)})

    def answer(self):
        return SiteAnswer.model_validate(from_shareable(self.shake_hands()).data)

    def count(self, config=None):
        """All questions of FLARE's controller; returns the filtered reply to the last."""
        self.shake_hands()
        config = config or histogram_config(TASK)
        limits = {name: one["range"] for name, one in config.items()}
        content = {
            Names.STATISTICS_TASK_KEY: Names.STATS_2nd_STATISTICS,
            Names.STATS_TARGET_STATISTICS: fobs.dumps(
                [StatisticConfig(Names.STATS_COUNT, {}), StatisticConfig(Names.STATS_HISTOGRAM, config)]
            ),
            Names.STATS_MIN: {DATASET: {name: low for name, (low, _) in limits.items()}},
            Names.STATS_MAX: {DATASET: {name: high for name, (_, high) in limits.items()}},
        }
        reply = self.send(Names.FED_STATS_TASK, content)
        assert reply.get_return_code() == ReturnCode.OK
        return self.filter.process_dxo(from_shareable(reply), reply, self.engine.context)

    def statistics(self, config=None):
        return fobs.loads(self.count(config).data[Names.STATS_2nd_STATISTICS])


@pytest.fixture
def three(tmp_path):
    """A site with three patients."""

    def make(**options):
        site = Site(tmp_path / "site", **options)
        for patient in PATIENTS:
            site.hospital.brats(patient)
        site.start()
        return site

    return make


def test_the_handshake_says_how_many_patients_there_are_and_what_is_left_out(three):
    site = three()
    site.hospital.brats("D", without=["t2"])
    answer = site.answer()
    assert (answer.patients, answer.cases, answer.left_out) == (3, 3, {"missing_image": 1})
    assert (answer.label_convention, answer.reason) == ("brats-2018", None)


def test_histograms_count_patients(three):
    site = three()
    statistics = site.statistics()
    assert statistics["count"][DATASET] == dict.fromkeys(FEATURES, 3)
    histograms = statistics["histogram"][DATASET]
    assert list(histograms) == FEATURES
    for histogram in histograms.values():
        assert sum(one.sample_count for one in histogram.bins) == pytest.approx(3, abs=1e-3)


def test_no_patient_and_no_path_is_in_what_leaves(three):
    site = three()
    replies = [site.shake_hands(), site.count().to_shareable()]
    sent = [data for name, data in site.engine.events if name == "consilium_site_state"]
    assert sent
    for message in (*replies, *sent):
        content = fobs.dumps(message)
        assert not any(secret.encode() in content for secret in (*PATIENTS, str(site.dataset)))


@pytest.mark.parametrize("missing", ["everything", "files"])
def test_a_site_without_usable_data_says_so_and_counts_nobody(tmp_path, missing, caplog):
    site = Site(tmp_path / "site")
    if missing == "files":
        site.hospital.brats("Doe-Jane", without=["t2"])
    site.start()
    with caplog.at_level(logging.INFO):
        answer = site.answer()
    assert answer.reason
    assert answer.patients == 0
    assert "Doe-Jane" not in answer.model_dump_json()
    statistics = site.statistics()
    assert set(statistics["count"][DATASET].values()) == {0}
    assert ("Doe-Jane" if missing == "files" else str(site.dataset)) in caplog.text


def test_a_site_that_was_not_set_up_says_so_instead_of_failing(tmp_path):
    site = Site(tmp_path / "site", datset="typo")
    site.start()
    assert site.answer().reason == "ConfigurationError: the reason is in the site's log"


def test_the_sites_minimum_is_obeyed_whatever_the_job_asks(three):
    site = three(min_count=4)  # the site's setting; the job's generator and cleanser ask for 1
    answer = site.answer()
    assert (answer.patients, answer.cases, answer.min_count) == (None, None, 4)
    assert answer.reason == (
        "an answer would be about fewer than 4 patients, which min_count, its own or the job's, forbids"
    )
    statistics = site.statistics()
    assert set(statistics["count"][DATASET].values()) == {0}
    histograms = statistics["histogram"][DATASET].values()
    assert not any(one.sample_count for histogram in histograms for one in histogram.bins)


def test_the_jobs_minimum_is_obeyed_by_the_generator_and_by_flares_cleanser(tmp_path):
    cleansers = {"cleanser": MinCountCleanser(min_count=4)}
    site = Site(tmp_path, cleansers=cleansers, generator=SiteStatisticsGenerator(TASK, min_count=4))
    for patient in PATIENTS:
        site.hospital.brats(patient)
    site.start()
    statistics = site.statistics()
    # FLARE's cleanser takes the histograms and leaves the count, which is why the generator makes it 0.
    assert statistics["histogram"][DATASET] == {}
    assert set(statistics["count"][DATASET].values()) == {0}


def test_flares_cleanser_counts_patients_against_bins(three):
    site = three(cleansers={"cleanser": HistogramBinsCleanser(max_bins_percent=100)})
    assert list(site.statistics()["histogram"][DATASET]) == [
        name for name in FEATURES if name.startswith("absence_")
    ]  # 2 bins for 3 patients; all others have more


@pytest.mark.parametrize("change", [{"bins": 10_000}, {"range": [0.0, 1.0]}])
def test_other_bins_than_the_public_ones_are_not_answered(three, change):
    site = three()
    config = histogram_config(TASK)
    config["volume_wt"] = config["volume_wt"] | change
    histograms = site.statistics(config)["histogram"][DATASET]
    assert sorted(histograms) == sorted(set(FEATURES) - {"volume_wt"})
    with pytest.raises(ConfigurationError, match="volume_wt"):
        site.generator.histogram(DATASET, "volume_wt", 7, 0.0, 300.0)


def test_other_statistics_are_not_answered(three):
    site = three()
    site.shake_hands()
    for name in ("sum", "mean", "stddev", "max_value", "min_value"):
        with pytest.raises(NotImplementedError):
            getattr(site.generator, name)(DATASET, "volume_wt")


def test_an_aborted_site_stops_with_a_code_that_ends_nobody_elses_job(three):
    site = three()
    site.abort.trigger(True)
    assert site.shake_hands().get_return_code() == ReturnCode.EXECUTION_RESULT_ERROR


def test_the_site_tells_what_it_is_doing(three):
    site = three()
    site.shake_hands()
    states = [
        from_shareable(data).data["state"]
        for name, data in site.engine.events
        if name == "consilium_site_state"
    ]
    assert states[-1] == "ready"
    assert "describing cases" in states


def test_bins_cross_the_wire_as_flares_own_types(three):
    histogram = three().statistics()["histogram"][DATASET]["intensity_t1"]
    assert isinstance(histogram, Histogram)


def test_a_site_that_does_not_list_the_task_says_so_and_imports_nothing_of_it(three, tmp_path):
    with installed(tmp_path, toy()):
        site = three(generator=SiteStatisticsGenerator("toy_tumor"))
        answer = site.answer()
        assert "policy does not list it" in answer.reason
        assert answer.patients == 0
        assert site.generator.features() == {DATASET: []}
        assert not is_imported()


def test_a_site_that_lists_the_task_answers(three, tmp_path):
    with installed(tmp_path, toy()):
        generator = SiteStatisticsGenerator("toy_tumor")
        assert three(generator=generator, tasks={"toy_tumor": {}}).answer().patients == 3


def test_a_fault_of_a_task_is_a_reason_without_its_words(three, monkeypatch):
    def fail(*arguments, **options):
        raise TypeError(f"/pacs/{PATIENTS[0]}")

    site = three()
    monkeypatch.setattr(type(get_task(TASK).cases), "open_folder", fail)
    answer = site.answer()
    assert answer.reason == "unexpected TypeError: the traceback is in the site's log"
    assert answer.code is RefusalCode.FAILED
    assert answer.patients == 0
