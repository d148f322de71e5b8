"""One of a site's training processes; torchrun starts it, see `consilium.learning.processes.launcher`."""

from __future__ import annotations

import os
import queue
import socket
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path

from torch import distributed
from torch.distributed import FileStore  # type: ignore[attr-defined]
from torch.distributed.elastic.multiprocessing.errors import record

from consilium.data.cache import attach
from consilium.errors import Cancelled, SiteRefusal, TrainingError
from consilium.learning.algorithms import parse_algorithm
from consilium.learning.device import Device, open_device
from consilium.learning.evaluator import score_cases
from consilium.learning.model_file import load_sets, save_sets
from consilium.learning.processes.messages import (
    CASES,
    COMMAND,
    PERSONAL,
    SENT,
    Cancel,
    GroupFolder,
    Joined,
    Progress,
    Ready,
    Score,
    Scored,
    Setup,
    Stopped,
    Train,
    Trained,
)
from consilium.learning.ranks import Ranks
from consilium.learning.schedule import Schedule
from consilium.learning.socket_folder import remove_socket_folder
from consilium.learning.training_setup import TrainingSetup
from consilium.learning.weights import MODEL
from consilium.tasks import get_task


class _SiteConnection:
    """The connection to the site's process. When it ends, for whatever reason, so does this process."""

    def __init__(self, folder: GroupFolder, rank: int) -> None:
        self._folder = folder
        self._rank = rank
        with socket.socket(socket.AF_UNIX) as channel:
            try:
                channel.connect(str(folder.socket))
            except OSError:  # the site's process has been killed, and has removed nothing
                folder.remove_cases_and_weights()
                raise
            self._connection: Connection = Connection(channel.detach())
        self._commands: queue.SimpleQueue[Train | Score] = queue.SimpleQueue()
        self._cancelled = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def send(self, event: Joined | Ready | Progress | Trained | Scored | Stopped) -> None:
        self._connection.send_bytes(event.model_dump_json().encode())

    def next_command(self) -> Train | Score:
        return self._commands.get()

    def cancelled(self) -> bool:
        """Whether the command in hand is to be stopped."""
        return self._cancelled.is_set()

    def _listen(self) -> None:
        try:
            while True:
                command = COMMAND.validate_json(self._connection.recv_bytes())
                if isinstance(command, Cancel):
                    self._cancelled.set()
                else:
                    # A cancel that came too late for the last command must not stop this one.
                    self._cancelled.clear()
                    self._commands.put(command)
        finally:
            if self._rank == 0:  # a site's process that was killed has not removed them
                self._folder.remove_cases_and_weights()
            remove_socket_folder()
            # Not sys.exit: the main thread may wait in a collective for a process that has ended already.
            os._exit(0)


class _Worker:
    """Carries out commands together with the other ranks."""

    def __init__(
        self, folder: GroupFolder, setup: Setup, ranks: Ranks, device: Device, site: _SiteConnection
    ) -> None:
        self._folder = folder
        self._learning = setup.learning
        self._task = get_task(setup.learning.task)
        self._ranks = ranks
        self._device = device
        self._site = site
        self._trainer = TrainingSetup(
            setup.learning,
            setup.compute,
            attach(setup.train, self._task.cases),
            min_patients=setup.min_patients,
            min_loss_patients=setup.min_loss_patients,
            draw_seed=setup.draw_seed,
            memory=setup.memory,
            algorithm=parse_algorithm(setup.algorithm) if setup.algorithm else None,
            missing_targets=setup.missing_targets,
        ).build_trainer(device, ranks)

    def serve(self) -> None:
        """Carry out commands for as long as the site's process lives."""
        while True:
            command = self._site.next_command()
            try:
                answer = self._train(command) if isinstance(command, Train) else self._score(command)
            except Cancelled as error:
                self._site.send(Stopped(why="cancelled", reason=str(error)))
            except SiteRefusal as error:
                self._site.send(_refused(error))
            except TrainingError as error:
                self._site.send(Stopped(why="failed", reason=str(error)))
            else:
                self._site.send(answer)

    def _train(self, command: Train) -> Trained:
        sets = load_sets(self._folder.received)
        result = self._trainer.train(
            sets.pop(MODEL),
            Schedule(command.round_index, command.rounds, command.paid),
            sets=sets,
            cancelled=self._site.cancelled,
            on_step=self._report_step if self._ranks.rank == 0 else lambda step, steps, loss: None,
        )
        if self._ranks.rank == 0:
            sent = {f"{SENT}{name}": weights for name, weights in result.sent.items()}
            save_sets(self._folder.trained, {MODEL: result.weights, PERSONAL: result.personal, **sent})
        return Trained(
            loss=result.loss,
            steps=result.steps,
            seconds=result.seconds,
            unreadable=result.unreadable,
            numbers=dict(result.numbers),
        )

    def _report_step(self, step: int, steps: int, loss: float | None) -> None:
        self._site.send(Progress(done=step, total=steps, loss=loss))

    def _score(self, command: Score) -> Scored:
        weights = load_sets(self._folder.received)[MODEL]
        cases = attach(CASES.validate_json(self._folder.cases.read_bytes()), self._task.cases)
        scores = score_cases(
            self._task,
            self._learning,
            weights,
            cases[self._ranks.rank :: self._ranks.world_size],
            self._device,
            final=command.final,
            cancelled=self._site.cancelled,
            on_case=lambda done, total: self._site.send(Progress(done=done, total=total)),
        )
        return Scored(scores=scores)


def _refused(error: SiteRefusal) -> Stopped:
    return Stopped(why="refused", reason=error.public_reason, code=error.code, details=error.details)


@record
def main() -> None:
    """Join the group whose folder and socket are the arguments, and serve the site's process."""
    folder = GroupFolder(path=Path(sys.argv[1]), socket=Path(sys.argv[2]))
    ranks = Ranks(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    site = _SiteConnection(folder, ranks.rank)
    site.send(Joined(rank=ranks.rank, pid=os.getpid()))
    setup = Setup.model_validate_json(folder.setup.read_bytes())
    on_gpu = setup.compute.device == "cuda"
    try:
        device = open_device(
            setup.compute.model_copy(update={"device": f"cuda:{os.environ['LOCAL_RANK']}"})
            if on_gpu
            else setup.compute
        )
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
            store=FileStore(str(folder.store), ranks.world_size),
            rank=ranks.rank,
            world_size=ranks.world_size,
        )
        worker = _Worker(folder, setup, ranks, device, site)
    except SiteRefusal as error:
        site.send(_refused(error))
        raise
    site.send(Ready())
    worker.serve()


if __name__ == "__main__":
    main()
