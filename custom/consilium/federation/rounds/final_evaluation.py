"""End of a training job: the last round's validation, the test of its models, and local-only comparisons."""

from __future__ import annotations

from nvflare.app_common.abstract.model import ModelLearnableKey

from consilium.counts import counted
from consilium.errors import RefusalCode
from consilium.federation.algorithms.base import RoundStart
from consilium.federation.message_names import LOCAL_ONLY, TEST, VALIDATE
from consilium.federation.rounds.failures import FailedJob
from consilium.federation.rounds.run import TrainingRun
from consilium.federation.updates.rejection_history import RejectedUpdate
from consilium.learning.model_file import BEST_MODEL
from consilium.learning.weights import MODEL, Weights
from consilium.records.model_comparison import kept_round


class FinalEvaluation:
    """Evaluation of a job's models at every site, and comparison with local-only models.

    Validation patients decide which models are the final and the best one. Then both are evaluated on the
    test patients, whom no model of the job was shown before; what comes of that changes nothing any more.

    Args:
        run: The job that runs.
    """

    def __init__(self, run: TrainingRun) -> None:
        self._run = run

    def choose(self, weights: Weights) -> Weights:
        """Validate the last round's model; if it is dropped, the model before is the final one.

        Returns:
            The final model.

        Raises:
            AbortedJob: If the job was aborted.
        """
        run, rounds = self._run, self._run.plan.rounds
        run.controller.info("validating the last model at every site")
        if run.plan.algorithm.settings.sums_reports:
            self._validate_in_sum(weights)
        else:
            run.ask(VALIDATE, {MODEL: weights}, rounds)
            run.record.validation_sites = run.answers.sites
            run.note_scores(rounds)
        restored = run.restore_before(rounds)
        weights = weights if restored is None else restored
        run.select_best(rounds, weights)
        return weights

    def _validate_in_sum(self, weights: Weights) -> None:
        """Ask for a sum of the scores; without one, the last model has none."""
        run, rounds, algorithm = self._run, self._run.plan.rounds, self._run.plan.algorithm
        start = RoundStart(rounds, weights, run.folder, run.job)
        try:
            for question in algorithm.validation(start):
                validates = question.task == VALIDATE
                sets = {MODEL: weights, **question.sets} if validates else question.sets
                run.ask(question.task, sets, rounds, question=question, among=question.among)
                asked = run.answers.sites if validates else {}
                run.record.validation_sites = {**run.answers.absent, **run.record.validation_sites, **asked}
            run.note_sum(rounds)
        except RejectedUpdate as error:
            run.controller.warning(f"the last model has no validation scores: {error}")
        finally:
            algorithm.close()

    def test(self, weights: Weights) -> None:
        """Evaluate the final and the best model on every site's test patients.

        Raises:
            AbortedJob: If the job was aborted. What some sites have answered is not the result.
            FailedJob: If no site has evaluated the final model.
        """
        run, record, rounds = self._run, self._run.record, self._run.plan.rounds
        run.controller.info("evaluating the final model on every site's test patients")
        run.ask(TEST, {MODEL: weights}, rounds)
        record.final_scores = run.answers.scores
        record.final_sites = run.answers.sites
        if not any(one.outcome == "evaluated" for one in record.final_sites.values()):
            run.stop_if_late("before a site had evaluated the final model")
            raise FailedJob(
                f"no site evaluated the final model; {run.answers.explain_others([])}", RefusalCode.NO_SCORES
            )
        best = record.best_round
        if best is None:
            return
        if best == kept_round(record, rounds):
            record.best_scores = dict(record.final_scores)
            return
        run.save()
        run.controller.info(f"evaluating the best model, of round {best}, on every site's test patients")
        kept = run.controller.persistor.get_model(BEST_MODEL, run.controller.fl_ctx)
        run.ask(TEST, {MODEL: kept[ModelLearnableKey.WEIGHTS]}, best)
        record.best_scores = run.answers.scores
        record.best_sites = run.answers.sites

    def compare_with_local_only(self, weights: Weights) -> None:
        """Have every site that can train do so alone, and compare its model with the final one.

        Raises:
            AbortedJob: If the job was aborted; what had come until then is in the record.
        """
        run = self._run
        known = run.record.final_sites.items()
        sites = [site for site, one in known if one.report is not None and one.report.role == "trains"]
        run.controller.info(
            f"waiting until {counted(len(sites), 'site')} trained a model alone, to compare with"
        )
        try:
            run.ask(LOCAL_ONLY, {MODEL: weights}, run.plan.rounds, among=sites)
        finally:
            run.record.local_only = run.answers.sites
