import numpy as np
import pytest
from learning.tiny import LEARNING, site

from consilium.errors import SiteRefusal
from consilium.learning.network_state import initial_weights
from consilium.learning.schedule import Schedule
from consilium.participant.participant import Participant
from consilium.participant.site_data import prepare_site
from consilium.tasks import get_task


def ids(cases):
    return [case.id for case in cases]


def test_a_participant_trains_and_evaluates(tmp_path):
    settings = site(tmp_path, validation_fraction=0.0, test_fraction=0.4)
    participant = Participant(prepare_site(settings, LEARNING), LEARNING, settings)
    start = initial_weights(get_task("brain_tumor"), LEARNING, 0)
    result = participant.train(start, Schedule())
    assert result.steps == LEARNING.local_steps
    assert any(not np.array_equal(result.weights[name], start[name]) for name in start)
    scores = participant.score(result.weights, final=True)
    assert len(scores) == len(participant.data.test) == 1
    assert {"dice_tc", "dice_wt", "dice_et", "hd95_tc", "hd95_wt", "hd95_et"} == set(scores[0])


def test_zeroed_entries_of_the_cache_change_nothing_of_a_round(tmp_path):
    settings = site(tmp_path)
    start = initial_weights(get_task("brain_tumor"), LEARNING, 0)

    def round_of(damaged):
        data = prepare_site(settings, LEARNING)
        for case in (*data.train, *data.validation) if damaged else ():
            for name in ("image.npy", "label.npy", "reference.npy"):
                path = case.folder / name
                path.write_bytes(path.read_bytes()[:128] + bytes(path.stat().st_size - 128))
        participant = Participant(data, LEARNING, settings)
        result = participant.train(start, Schedule())
        return result.loss, participant.score(result.weights, final=False), participant.data.left_out

    assert round_of(damaged=True) == round_of(damaged=False)


def lose(case):
    """Remove what was made of a case, and what it could be made of again."""
    (case.folder / "image.npy").unlink()
    case.origin.case.images["t1"].path.unlink()


def test_cases_that_become_unreadable_are_left_out_and_counted(tmp_path, caplog):
    settings = site(tmp_path, ["P1", "P2", "P3", "P4", "P5", "P6"])
    participant = Participant(prepare_site(settings, LEARNING), LEARNING, settings)
    before = participant.data
    lost = [before.train[0], before.validation[0]]
    for case in lost:
        lose(case)
    start = initial_weights(get_task("brain_tumor"), LEARNING, 0)
    scores = participant.score(start, final=False)
    participant.train(start, Schedule())
    assert len(scores) == len(before.validation) - 1
    assert participant.data.train == before.train[1:]
    assert participant.data.validation == before.validation[1:]
    assert participant.data.left_out == {"unreadable": None}  # how many is said by the next job
    assert all(case.id in caplog.text for case in lost)


def test_too_many_unreadable_cases_end_the_site_s_part(tmp_path):
    settings = site(tmp_path, ["P1", "P2", "P3", "P4"], max_left_out=0.2)
    participant = Participant(prepare_site(settings, LEARNING), LEARNING, settings)
    lose(participant.data.train[0])
    start = initial_weights(get_task("brain_tumor"), LEARNING, 0)
    with pytest.raises(SiteRefusal, match="more than 20% of the cases") as caught:
        participant.train(start, Schedule())
    assert participant.data.train[0].id not in caught.value.public_reason


def evaluating(tmp_path, patients, **settings):
    """A site that evaluates on so many patients, and the weights that it is asked about."""
    names = [f"P{number}" for number in range(patients)]
    settings = site(tmp_path, names, role="evaluates", **settings)
    participant = Participant(prepare_site(settings, LEARNING), LEARNING, settings)
    return participant, initial_weights(get_task("brain_tumor"), LEARNING, 0)


def test_an_unreadable_case_takes_its_group_out_of_the_scores(tmp_path):
    participant, weights = evaluating(tmp_path, 7, min_training_patients=3)
    before = participant.data
    assert len(participant.score(weights, final=True)) == 7
    lost = before.test[0]
    lose(lost)
    (group,) = (group for group in before.groups if lost.id in group)
    assert len(participant.score(weights, final=True)) == 7 - len(group)
    assert {case.id for case in participant.data.test} == {case.id for case in before.test} - group
    assert participant.data.test_held_back == len(group) - 1
    assert len(participant.score(weights, final=True)) == 7 - len(group)


@pytest.mark.long
def test_unreadable_cases_can_leave_no_scores_to_send(tmp_path):
    participant, weights = evaluating(tmp_path, 5, min_training_patients=3)
    lose(participant.data.test[0])
    with pytest.raises(SiteRefusal, match="fewer than 3 patients"):
        participant.score(weights, final=True)


def test_a_site_that_trains_continues_without_scores(tmp_path):
    demands = {"min_training_patients": 3, "validation_fraction": 0.45, "split_salt": "0"}
    settings = site(tmp_path, [f"P{n}" for n in range(7)], **demands)
    learning = LEARNING.model_copy(update={"local_steps": 4})
    participant = Participant(prepare_site(settings, learning), learning, settings)
    weights = initial_weights(get_task("brain_tumor"), LEARNING, 0)
    assert (len(participant.data.train), participant.data.validated) == (4, 3)
    lose(participant.data.validation[0])
    assert participant.score(weights, final=False) == []
    assert participant.data.validated is None
    assert participant.train(weights, Schedule()).steps == 4
    for case in participant.data.train[:2]:
        lose(case)
    with pytest.raises(SiteRefusal, match="fewer than 3 patients"):
        participant.train(weights, Schedule())


def test_a_participant_that_only_evaluates_declines_to_train(tmp_path):
    settings = site(tmp_path, role="evaluates")
    participant = Participant(prepare_site(settings, LEARNING), LEARNING, settings)
    with pytest.raises(SiteRefusal, match="only evaluates"):
        participant.train({}, Schedule())


@pytest.mark.long
def test_a_batch_smaller_than_the_site_s_processes_is_reported_in_its_log(tmp_path, caplog):
    settings = site(tmp_path, device="cpu", processes=4)
    participant = Participant(prepare_site(settings, LEARNING), LEARNING, settings)
    assert "grants 4 training processes, but a batch of this job has 1 sample, which limits" in caplog.text
    start = initial_weights(get_task("brain_tumor"), LEARNING, 0)
    assert participant.train(start, Schedule()).steps == LEARNING.local_steps
