import numpy as np
import pytest
import torch
from learning.tiny import LEARNING, cached_case

from consilium.learning.network_state import initial_weights, set_weights
from consilium.report.privacy.attacks import AttackResults
from consilium.tasks import get_task
from leakage_parts.analytic import Dense, first_layer
from leakage_parts.effort import SHORT
from leakage_parts.inversion import Inversion, correlation, fidelity
from leakage_parts.matching import gradients_of, rank, seen
from leakage_parts.membership import lira_scores, loss_scores, success
from leakage_parts.models import draw_members
from leakage_parts.patients import flips, read_head
from leakage_parts.results import figures, table
from leakage_parts.search import Attacked, PatientSearch
from leakage_parts.study import Study
from leakage_parts.updates import Protection, mean_of, train_site

TASK = get_task("brain_tumor")
SETTINGS = LEARNING.model_copy(update={"foreground_share": 0.0, "network": "unet_small"})


@pytest.fixture
def patients(tmp_path):
    random = np.random.default_rng(0)
    cases = []
    for index in range(5):
        image = np.kron(random.normal(size=(4, 4, 4, 4)), np.ones((1, 4, 4, 4)))
        label = np.kron(random.integers(0, 4, (4, 4, 4)), np.ones((4, 4, 4)))
        cases.append(cached_case(tmp_path, label, image, name=f"P{index}"))
    return cases


@pytest.fixture
def method():
    return TASK.method


def network_and_start(method):
    start = initial_weights(TASK, SETTINGS, 0)
    network = method.build_network(SETTINGS)
    set_weights(network, start)
    return network, start


@pytest.mark.long
def test_the_patient_of_a_plain_update_is_found_and_noise_hides_it(patients, method):
    network, start = network_and_start(method)
    search = PatientSearch(network, method.build_loss(SETTINGS), SETTINGS)
    plain = train_site(patients[:1], SETTINGS, start, steps=1, patients_a_step=1, seed=1)
    private = train_site(
        patients[:1], SETTINGS, start, steps=1, patients_a_step=1, seed=1, protection=Protection("dp", 1.0)
    )
    attacked = [Attacked(plain.weights, (0,), 1), Attacked(mean_of([plain.weights] * 2), (0,), 1)]
    assert search.run(attacked, patients[:1], patients[1:]) == [[1], [1]]
    likes = [
        sum(
            float((one * other).sum() / one.norm() / other.norm())
            for one, other in zip(seen(network, plain.weights), seen(network, update), strict=True)
        )
        for update in (plain.weights, private.weights)
    ]
    assert abs(likes[1]) < 0.2 * likes[0]


def test_an_update_is_of_what_was_shown_in_its_first_step(patients, method):
    _, start = network_and_start(method)
    update = train_site(patients[:3], SETTINGS, start, steps=2, patients_a_step=3, seed=1)
    for row in range(3):
        likes = [
            max(correlation(update.shown[row], one[0]) for one in flips(read_head(other, SETTINGS)[0]))
            for other in patients[:3]
        ]
        assert likes.index(max(likes)) == row


@pytest.mark.long
def test_the_analytic_attack_reads_the_input_of_a_dense_layer_but_of_no_network_of_ours(patients, method):
    image, regions = read_head(patients[0], SETTINGS)
    loss = method.build_loss(SETTINGS)
    found = first_layer(Dense(image.shape[1:], 3), loss, image, regions)
    assert torch.allclose(found.reshape(image.shape), image, atol=1e-3)
    for name in SETTINGS.networks():
        network = method.build_network(SETTINGS.model_copy(update={"network": name}))
        assert first_layer(network, loss, image, regions) is None


@pytest.mark.long
def test_inversion_comes_nearer_to_the_patient_than_its_start(patients, method):
    image, regions = read_head(patients[0], SETTINGS)
    loss = method.build_loss(SETTINGS)
    torch.manual_seed(0)
    network = Dense(image.shape[1:], 3)
    update = [one.detach() for one in gradients_of(network, loss, image, regions)]
    start = 0.1 * torch.randn(image.shape)
    found = Inversion(iterations=40, rate=0.05, smoothness=0.01).run(network, loss, update, regions, start)
    assert correlation(found[0], image[0]) > 0.2 > correlation(start[0], image[0])
    assert fidelity(found[0], image[0])["ssim"] > fidelity(start[0], image[0])["ssim"]


def test_membership_is_found_where_losses_show_it_and_not_where_they_do_not():
    member = draw_members(16, 40)
    assert (member.sum(axis=1) == 20).all()
    assert (member.sum(axis=0) == 8).all()
    random = np.random.default_rng(0)
    hardness, noise = random.normal(size=40), 0.1 * random.normal(size=member.shape)
    shown = hardness + noise - 0.4 * member
    lira = success(lira_scores(shown, member), member)
    assert lira["auc"] > 0.98
    assert lira["tpr"] > 0.7
    assert lira["auc"] > success(loss_scores(shown), member)["auc"] + 0.2
    nothing = success(lira_scores(hardness + noise, member), member)
    assert nothing["auc"] == pytest.approx(0.5, abs=0.07)
    assert nothing["tpr"] < 0.05


def test_lira_needs_other_models_on_both_sides():
    with pytest.raises(ValueError, match="another model"):
        lira_scores(np.zeros((2, 3)), np.array([[True] * 3, [False] * 3]))


def test_a_rank_counts_those_that_are_as_high():
    assert [rank(one, [0.0, 1.0, 2.0]) for one in (3.0, 2.0, -1.0)] == [1, 2, 4]


def test_a_piece_that_is_there_is_not_run_again(tmp_path):
    study = Study(tmp_path, SETTINGS, SHORT)
    assert study._piece("one piece", lambda: [{"auc": 0.5}]) == [{"auc": 0.5}]
    assert study._piece("one piece", lambda: 1 / 0) == [{"auc": 0.5}]


def test_a_table_has_a_title_for_every_column():
    text = table([{"protection": "plain", "tpr": 0.0123, "ssim": None}])
    assert text.splitlines() == [
        "| update | TPR at 1 % FPR | SSIM |",
        "|---|---|---|",
        "| plain | 0.012 |  |",
    ]


def test_the_officer_s_page_can_read_the_figures():
    ranked = {"patients": 1, "steps": 8, "mean_rank": 2.0, "candidates": 25, "trials": 10}
    tables = {
        "search": [
            {"protection": "plain", **ranked},
            {"protection": "DP-SGD, epsilon 8", **ranked},
            {"protection": "sum of 5 sites", **ranked},
        ],
        "inversion": [
            {"protection": "plain, of another patient (control)", **ranked, "ssim": 0.3, "guess_ssim": 0.4},
            {"protection": "plain", **ranked, "ssim": 0.5, "guess_ssim": 0.4},
        ],
        "membership": [
            {"protection": "plain", "attack": "LiRA", "auc": 0.7, "tpr": 0.1, "patients": 12, "steps": 24}
        ],
    }
    read = AttackResults.model_validate({"command": "run", "results": figures(tables)})
    assert [(one.epsilon, one.sites) for one in read.results[:3]] == [(None, 1), (8, 1), (None, 5)]
    assert {one.measure for one in read.results} == {"mean rank among 25", "SSIM", "AUC", "TPR at 1 % FPR"}
    chances = {one.measure: one.chance for one in read.results}
    assert chances == {"mean rank among 25": 13, "SSIM": 0.4, "AUC": 0.5, "TPR at 1 % FPR": 0.01}
    assert all((one.worse_is == "lower") == one.measure.startswith("mean rank") for one in read.results)
