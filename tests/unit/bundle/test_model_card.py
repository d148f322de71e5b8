"""What a model card says, of a job whose record is there and of one whose isn't."""

import json
import re

import pytest
from monai.bundle import ConfigParser
from report.study import FINAL_DICE, federation, private_federation, scores, site_report

from bundle.conftest import write_model
from consilium.bundle import writer
from consilium.bundle.model_card import plain
from consilium.bundle.options import BundleOptions
from consilium.bundle.writer import write_bundle
from consilium.errors import ConfigurationError
from consilium.learning.initial_model import Origin, write_origin
from consilium.learning.standalone import Standalone
from consilium.prediction.trained_model import TrainedModel
from consilium.records.federation import SiteRound
from consilium.records.score_intervals import ScoreInterval
from consilium.tasks.brain_tumor.learning_settings import BrainTumorSettings

TRAINED = BrainTumorSettings(seed=7)


@pytest.fixture(autouse=True)
def without_torch_script(monkeypatch):
    """Compiling a network takes most of the time of a bundle, and no card depends on it."""
    monkeypatch.setattr(writer, "_for_torch", lambda *anything: {})


@pytest.fixture
def card(tmp_path):
    def card(*, rounds=5, model_round=5, options=None, dropped=(), **changes):
        model = write_model(tmp_path / "result/model.safetensors", learning=TRAINED, round=str(model_round))
        record = federation(rounds, **changes)
        for number in dropped:
            record.rounds[number - 1].rolled_back = "its model scored lower"
        record.save(model.parent)
        return (write_bundle(model, tmp_path / "glioma", options) / "docs/README.md").read_text()

    return card


def test_it_says_what_the_model_is_and_what_it_is_not_for(card, tmp_path):
    text = card(options=BundleOptions(license="CC-BY-4.0"))
    assert text.startswith("# glioma\n\n**Research only, not for clinical use.**")
    assert "| license of the weights | CC-BY-4.0 |" in text
    assert f"| {TrainedModel.load(tmp_path / 'result').digest} |" in text
    assert "Random weights, seed 7." in text
    assert "| nvflare | 2.9.0 |" in text


def test_it_says_how_labels_with_other_values_are_evaluated(card):
    assert '--label_values "[[1, 3], [1, 2, 3], [3]]"' in card()


def test_each_site_has_its_patients_and_its_scores(card):
    text = card()
    assert "| aster | trains and evaluates | 10 | 4 | 4 |" in text
    assert "| dahlia | evaluates only |  | 0 | 4 |" in text
    for site, dice in FINAL_DICE.items():
        assert f"| {site} | {dice:.3f} |" in text
    assert f"| mean over sites | {sum(FINAL_DICE.values()) / 4:.3f} |" in text


def test_it_says_that_the_results_are_of_models_of_the_sites_own(card):
    stated = "The model files hold none of them"
    assert stated in card(
        settings={"learning": TRAINED.model_dump(mode="json"), "algorithm": {"name": "fedbn"}}
    )
    assert stated not in card()


@pytest.mark.parametrize("tested", [True, False])
def test_it_states_what_a_job_with_noise_promised_and_withheld(card, tested):
    private = private_federation()
    unscored = {} if tested else {"final_scores": {}}
    text = card(
        settings=private.settings | {"learning": TRAINED.model_dump(mode="json")},
        rounds=5,
        **{"final_sites": private.final_sites, "initial_scores": {}, "best_round": None} | unscored,
    )
    assert "| aster | trains and evaluates | 10 | withheld | 4 |" in text
    assert "Withheld: the algorithm of this job, dp_sgd, sends no number of validation patients." in text
    assert "level formal: for the whole job, epsilon is at most 8, and delta 1 / (10 N)" in text
    assert "Scores of test patients are not covered by epsilon" in text
    assert "no noise" not in text.lower()


def test_it_states_that_updates_had_no_noise_or_that_nobody_knows(card):
    learning = TRAINED.model_dump(mode="json")
    plain_job = card(settings={"learning": learning, "algorithm": {"name": "fedavg"}})
    assert "Updates had no noise, and the server saw each hospital's." in plain_job
    assert "How updates were protected isn't known: no record of the job says it." in card()


def test_the_final_models_results_are_of_test_patients_with_intervals(card):
    tested = federation().final_sites
    interval = {"dice": ScoreInterval(low=0.801, high=0.88)}
    tested["aster"].report = site_report("aster", test_cases=12, intervals=interval, earlier_models=3)
    text = card(final_sites=tested)
    assert "| aster | trains and evaluates | 10 | 4 | 12 |" in text
    assert "| aster | 0.840 (0.801 to 0.880) |" in text
    assert f"| birch | {FINAL_DICE['birch']:.3f} |" in text
    assert "Means over the test patients of each site" in text
    assert "this is\nno external validation" in text
    assert "The same patients of aster were used to evaluate 3 models before." in text
    assert "not those of a test set" not in text


def test_the_best_models_results_are_of_test_patients_as_well(card):
    interval = {"dice": ScoreInterval(low=0.6, high=0.8)}
    best = {"aster": SiteRound(outcome="evaluated", report=site_report("aster", intervals=interval))}
    text = card(model_round=3, best_round=3, best_scores={"aster": scores(0.7)}, best_sites=best)
    assert "| aster | 0.700 (0.600 to 0.800) |" in text
    assert "| birch | 0." not in text  # it did not evaluate this model
    assert "Means over the test patients of each site" in text


def test_a_model_whose_last_round_was_dropped_is_the_final_one(card):
    text = card(model_round=4, dropped=[5])
    assert f"| aster | {FINAL_DICE['aster']:.3f} |" in text
    assert "Means over the test patients of each site" in text


def test_a_record_from_before_test_sets_is_of_validation_patients(card):
    old = {site: one.model_copy(deep=True) for site, one in federation().final_sites.items()}
    for one in old.values():
        one.report.test_cases = 0
    assert "not those of a test set" in card(final_sites=old)


def test_scores_are_those_of_the_model_that_is_bundled(card):
    text = card(model_round=2)
    assert "not those of a test set" in text
    assert "| aster | 0.840 |" not in text
    assert f"| aster | {0.84 * 0.4**0.3:.3f} |" in text
    assert "HD95" not in text  # only the final model is measured by it


def test_a_model_without_its_record_says_that_nothing_is_known(tmp_path):
    model = write_model(tmp_path / "model.safetensors")
    text = (write_bundle(model, tmp_path / "alone") / "docs/README.md").read_text()
    assert "sites, patients and results are unknown" in text
    assert "## Results" not in text


def test_a_record_of_another_job_is_not_believed(card):
    settings = {"learning": BrainTumorSettings(seed=8).model_dump(mode="json")}
    with pytest.raises(ConfigurationError, match="was trained with other settings than"):
        card(settings=settings)


@pytest.mark.quick_cases(4)
@pytest.mark.parametrize(
    "word",
    [
        "<script>x()</script>",
        "<img src=x onerror=y>",
        "![a](http://x/y.png)",
        "a|b",
        "`a",
        "**a**",
        "\u202ea",
    ],
)
def test_texts_of_others_are_no_markdown(word, card, tmp_path):
    markdown = pytest.importorskip("markdown")
    origin = (Origin(name="an " + word, digest=f"sha256:{'1' * 64}", license=word),)
    write_model(tmp_path / "other/model.safetensors", job=f"job {word}", **write_origin(origin))
    options = BundleOptions(authors=word, license=word, intended_use=word)
    cards = [(write_bundle(tmp_path / "other", tmp_path / word[:2], options) / "docs/README.md").read_text()]
    cards.append(card(options=options, job=word, versions={word: word}, final_scores={word: {"dice": 0.5}}))
    for text in cards:
        plain_lines = len(text.splitlines())
        assert plain_lines == len(text.split("\n")) - 1
        page = markdown.markdown(text, extensions=["tables", "fenced_code"])
        tags = set(re.findall(r"<(/?[a-zA-Z0-9]+)[^>]*>", page))
        known = {"h1", "h2", "p", "strong", "code", "pre", "ol", "ul", "li", "table", "thead", "tbody"}
        assert {one.lstrip("/") for one in tags} <= known | {"tr", "th", "td", "em"}
        assert "\u202e" not in text


def test_a_text_of_markdown_stays_as_it_is_written():
    assert plain("a|b\n<img src=x> [c](d)") == r"a\|b &lt;img src=x&gt; \[c\](d)"


def test_a_bundle_of_a_bundle_keeps_the_model(card, tmp_path):
    card()
    again = write_bundle(tmp_path / "glioma", tmp_path / "again")
    assert TrainedModel.load(again).digest == TrainedModel.load(tmp_path / "glioma").digest


def test_the_models_that_it_was_trained_from_are_named(tmp_path):
    origin = (
        Origin(name="MONAI brats_mri_segmentation", digest=f"sha256:{'1' * 64}", license="Apache-2.0"),
        Origin(name="first job", digest=f"sha256:{'2' * 64}", round=4),
    )
    model = write_model(tmp_path / "model.safetensors", job="second job", **write_origin(origin))
    text = (write_bundle(model, tmp_path / "bundle") / "docs/README.md").read_text()
    assert f"1. MONAI brats_mri_segmentation; `sha256:{'1' * 64}`; license: Apache-2.0." in text
    assert f"2. first job, 4 rounds; `sha256:{'2' * 64}`." in text
    assert "3. Job second job, 2 rounds: this model." in text
    assert "Random weights" not in text


@pytest.mark.parametrize("form", ["${}", "see @##a {}", "%::b {}", "@{}"])
def test_others_words_are_no_program_to_monai(tmp_path, form):
    ran = tmp_path / "it-ran"
    word = form.format(f"open({str(ran)!r}, 'w')")
    origin = (Origin(name=word, digest=f"sha256:{'1' * 64}"),)
    model = write_model(tmp_path / "model.safetensors", job=word, **write_origin(origin))
    bundle = write_bundle(model, tmp_path / "bundle", BundleOptions(version=word, authors=word, license=word))
    parser = ConfigParser()
    parser.read_config(bundle / "configs/inference.json")
    parser.read_meta(bundle / "configs/metadata.json")
    metadata = parser.get_parsed_content("_meta_")
    written, found = (one.replace(" ", "").replace("#", "::") for one in (word, metadata["authors"]))
    assert found == written
    assert not ran.exists()


def test_a_model_trained_without_a_federation_is_not_said_to_come_from_one(tmp_path):
    for trained in (Standalone(kind="pooled", sites=("aster", "birch")), None):
        more = {} if trained is None else {"standalone": trained.model_dump_json()}
        model = write_model(tmp_path / "model.safetensors", **more)
        bundle = write_bundle(model, tmp_path / "alone")
        found = json.loads((bundle / "configs/metadata.json").read_text())
        federated = trained is None
        assert ("federated learning" in found["description"]) is federated
        assert ("none of them left its site" in found["data_source"]) is federated
        for key in ("description", "data_source", "authors"):
            assert ("aster, birch" in found[key]) is not federated
        card = (bundle / "docs/README.md").read_text()
        assert ("No image left a hospital" in card) is federated
