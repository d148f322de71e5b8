"""Group of worker processes of one site that train and evaluate together."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from consilium.counts import counted
from consilium.data.cache import CachedCase
from consilium.data.files import write_atomically
from consilium.errors import Cancelled, ConsiliumError, RefusalCode, SiteRefusal, TrainingError
from consilium.learning.compute_settings import ComputeSettings
from consilium.learning.device import device_name
from consilium.learning.model_file import load_sets, save_sets
from consilium.learning.processes.launcher import Processes
from consilium.learning.processes.messages import (
    CASES,
    PERSONAL,
    SENT,
    Cancel,
    Event,
    GroupFolder,
    Progress,
    Score,
    Scored,
    Setup,
    Stopped,
    Train,
    Trained,
)
from consilium.learning.rounds import OnStep, TrainingResult
from consilium.learning.schedule import Schedule
from consilium.learning.socket_folder import socket_folder
from consilium.learning.training_setup import TrainingSetup
from consilium.learning.weights import MODEL, Weights, WeightSets
from consilium.process_limits import available_cores
from consilium.tasks.metrics import Scores

SILENCE_S = 600.0
"""How long no process may report a step or a case before all of them are taken to hang, in seconds: what NCCL
waits for a collective by default."""


class WorkerGroup:
    """Trains and evaluates with several processes, each with a GPU of its own where the site has GPUs.

    The processes start at once and live until `close`, with their optimizers' moments. Each takes a share of
    every batch, and the result is that of one process within rounding. When one dies or hangs, all are ended
    and the round fails; the next round starts new ones, with new moments where there is no
    memory.

    Args:
        setup: What the site trains with; at least one case.
        size: How many processes; at most the job's batch size.
        silence_s: See `SILENCE_S`.

    Raises:
        TrainingError: If the processes don't start.
        SiteRefusal: If a GPU's memory is full.
        ConfigurationError: If there is no place for their sockets; see `socket_folder`.
    """

    def __init__(self, setup: TrainingSetup, *, size: int, silence_s: float = SILENCE_S) -> None:
        compute = setup.compute
        self._threads = max(1, (compute.cpu_threads or available_cores()) // size)
        own = {"device": device_name(compute), "cpu_threads": self._threads, "processes": "auto"}
        compute_fields = {name: getattr(compute, name) for name in ComputeSettings.model_fields}
        self._setup = Setup(
            learning=setup.learning,
            compute=ComputeSettings(**(compute_fields | own)),
            train=_absolute(setup.cases),
            min_patients=setup.min_patients,
            min_loss_patients=setup.min_loss_patients,
            draw_seed=setup.draw_seed,
            memory=setup.memory.absolute() if setup.memory else None,
            algorithm=setup.algorithm.model_dump(mode="json") if setup.algorithm else None,
            missing_targets=tuple(setup.missing_targets),
        )
        self._size = size
        self._silence_s = silence_s
        self._processes: Processes | None
        self._folder, self._processes = self._start()

    @property
    def folder(self) -> Path:
        """Where the processes keep what they share; readable by the site's account only."""
        return self._folder.path

    @property
    def pids(self) -> list[int]:
        """Process ids, by rank; empty when none are running."""
        return self._processes.pids if self._processes else []

    def train(
        self,
        weights: Weights,
        schedule: Schedule,
        *,
        sets: WeightSets | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        on_step: OnStep = lambda step, steps, loss: None,
    ) -> TrainingResult:
        """Train one round; see `Trainer.train`.

        Raises:
            Cancelled: Within one step after `cancelled` turned true.
            SiteRefusal: If the round showed too few patients, or a GPU's memory is full: all processes are
                ended then, and with them what they held of it.
            TrainingError: If the loss becomes non-finite, the weights do not fit, or a process dies or hangs.
        """

        def report(rank: int, progress: Progress) -> None:
            on_step(progress.done, progress.total, progress.loss)

        with self._running() as processes:
            save_sets(self._folder.received, {**(sets or {}), MODEL: weights})
            command = Train(round_index=schedule.round_index, rounds=schedule.rounds, paid=schedule.paid)
            answers = self._ask(processes, command, cancelled, report)
            results = [answer for answer in answers if isinstance(answer, Trained)]
            trained = load_sets(self._folder.trained)
            unreadable = sorted({case for result in results for case in result.unreadable})
            first = results[0]
            return TrainingResult(
                trained[MODEL],
                first.loss,
                first.steps,
                first.seconds,
                tuple(unreadable),
                sent={
                    name.removeprefix(SENT): weights
                    for name, weights in trained.items()
                    if name.startswith(SENT)
                },
                numbers=first.numbers,
                personal=trained.get(PERSONAL, {}),
            )

    def score(
        self,
        weights: Weights,
        cases: Sequence[CachedCase],
        *,
        final: bool = True,
        cancelled: Callable[[], bool] = lambda: False,
        on_case: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[Scores | None]:
        """Score weights on labeled cases, shared out over the processes; see `evaluator.score_cases`.

        Raises:
            Cancelled: Within one case after `cancelled` turned true.
            SiteRefusal: If a GPU's memory is full; see `train`.
            TrainingError: If the weights do not fit, or a process dies or hangs.
        """
        done = [0] * self._size

        def report(rank: int, progress: Progress) -> None:
            done[rank] = progress.done
            on_case(sum(done), len(cases))

        with self._running() as processes:
            save_sets(self._folder.received, {MODEL: weights})
            write_atomically(self._folder.cases, CASES.dump_json(_absolute(cases)), durable=False)
            try:
                answers = self._ask(processes, Score(final=final), cancelled, report)
            finally:
                self._folder.cases.unlink(missing_ok=True)
        shares = [iter(answer.scores) for answer in answers if isinstance(answer, Scored)]
        return [next(shares[index % self._size]) for index in range(len(cases))]

    def close(self) -> None:
        """End the processes."""
        if self._processes is not None:
            self._processes.close()
            self._processes = None

    def _start(self) -> tuple[GroupFolder, Processes]:
        sockets = socket_folder()
        path = Path(tempfile.mkdtemp(prefix="consilium-"))
        folder = GroupFolder(path=path, socket=sockets / f"{path.name}.socket")
        try:
            write_atomically(folder.setup, self._setup.model_dump_json().encode(), durable=False)
            processes = Processes(folder, self._size, self._threads)
        except BaseException:  # an interrupt, too, leaves no folder or process
            shutil.rmtree(path, ignore_errors=True)
            raise
        try:
            self._answers(processes, lambda: False, lambda rank, progress: None)  # they are ready
        except BaseException:
            processes.kill()
            raise
        folder.setup.unlink()  # it names patients, and every process has read it
        return folder, processes

    @contextmanager
    def _running(self) -> Iterator[Processes]:
        """Start the processes where they have ended; end them when they don't wait for the next command."""
        if self._processes is None:
            self._folder, self._processes = self._start()
        processes = self._processes
        try:
            yield processes
        except _Stopped as stopped:
            raise _error_of(stopped.answer) from None
        except BaseException:  # the processes may be anywhere in the command: an interrupt ends them, too
            processes.kill()
            self._processes = None
            raise

    def _ask(
        self,
        processes: Processes,
        command: Train | Score,
        cancelled: Callable[[], bool],
        on_progress: Callable[[int, Progress], None],
    ) -> list[Event]:
        """Return every process's answer, by rank."""
        if cancelled():
            raise _Stopped(Stopped(why="cancelled", reason="stopped before the first step"))
        processes.send(command)
        answers = self._answers(processes, cancelled, on_progress)
        for answer in answers:
            if isinstance(answer, Stopped):
                raise _Stopped(answer)
        return answers

    def _answers(
        self,
        processes: Processes,
        cancelled: Callable[[], bool],
        on_progress: Callable[[int, Progress], None],
    ) -> list[Event]:
        answers: dict[int, Event] = {}
        stopping = False
        heard = time.monotonic()
        while len(answers) < self._size:
            if not stopping and cancelled():
                processes.send(Cancel())
                stopping = True
            for rank, event in processes.receive():
                if isinstance(event, Stopped) and event.code is RefusalCode.GPU_MEMORY:
                    raise _error_of(event)  # it stopped alone, and the others wait for its gradient
                if not isinstance(event, Progress):
                    answers[rank] = event
                elif not stopping:
                    on_progress(rank, event)
                heard = time.monotonic()
            if time.monotonic() - heard > self._silence_s:
                raise processes.failure(
                    f"none of the {counted(self._size, 'training process', 'training processes')} did "
                    f"anything for {self._silence_s:.0f} s; "
                    "all of them are ended"
                )
        return [answers[rank] for rank in range(self._size)]


class _Stopped(Exception):
    """Every process stopped in good order and waits for the next command."""

    def __init__(self, answer: Stopped) -> None:
        super().__init__(answer.reason)
        self.answer = answer


def _error_of(answer: Stopped) -> ConsiliumError:
    if answer.why == "refused":
        return SiteRefusal(answer.reason, code=answer.code, details=answer.details)
    return Cancelled(answer.reason) if answer.why == "cancelled" else TrainingError(answer.reason)


def _absolute(cases: Sequence[CachedCase]) -> tuple[CachedCase, ...]:
    return tuple(replace(case, folder=case.folder.absolute()) for case in cases)
