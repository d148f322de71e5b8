"""CPU seconds of a whole round of secure aggregation, against plain averaging, at a site and at the server.

Every hospital takes all steps of an attempt with the code of a job: keys, signed and encrypted shares,
messages as JSON, its durable memory, masks of its whole update bound to the received model, confirmation and
reveal. The server checks all of it, adds up and opens the sum. Beside that is the same round in the clear. A
training step of the network is timed as well, for the round as a whole; transfer is in none of it.

    OMP_NUM_THREADS=1 python benchmarks/secagg_round.py [--sites 10] [--dropped 0]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from consilium.learning.algorithms.secagg_plan import plan_sum
from consilium.recipes.catalog import build_recipe
from consilium.recipes.secagg_fedavg import SecAggSettings
from consilium.secagg.identity import SiteIdentity
from consilium.secagg.memory import SecAggMemory
from consilium.secagg.messages import SecAggMessage, SumContext
from consilium.secagg.server_session import ServerSession
from consilium.secagg.site_session import SiteSession
from consilium.secagg.survivor_policy import SurvivorPolicy
from consilium.secagg.weighted_sum import MaskedSum, mask_vector
from consilium.tasks import get_task
from secagg import plain, seconds

JOB = "brain_tumor_fedavg_secagg"
CASES = 10


class Party:
    """Processor time of one kind of party."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def does(self, work: Callable[[], Any]) -> Any:
        """Do some work, and count its time."""
        began = time.process_time()
        result = work()
        self.seconds += time.process_time() - began
        return result

    def reads(self, message: SecAggMessage) -> Any:
        """Return a message as it is read from its JSON."""
        text = message.to_json()
        return self.does(lambda: type(message).from_json(text))


@dataclass
class Round:
    """One round by secure aggregation.

    Attributes:
        settings: Of the job.
        weights: The model that all receive.
        update: Of every site.
        sites: How many take part.
        dropped: How many of them drop out behind their shares.
    """

    settings: SecAggSettings
    weights: dict[str, NDArray[np.float32]]
    update: dict[str, NDArray[np.float32]]
    sites: int
    dropped: int

    def run(self, folder: Path) -> tuple[float, float]:
        """Take all steps; returns the seconds of one site that stays, and those of the server."""
        site, server = Party(), Party()
        settings = self.settings
        plan = plan_sum(settings.algorithm, settings.learning, settings.rounds, 0, self.weights)
        context = SumContext(job="job", round=0, attempt=1, parameters=plan.digest)
        hospitals = self._hospitals(context, folder)
        session = ServerSession(context)

        def collect(names: Iterable[str], answer: Callable[[SiteSession], Any], add: Any) -> None:
            for name in names:
                message = site.does(lambda one=hospitals[name]: answer(one))
                site.does(message.to_json)
                read = server.reads(message)
                server.does(lambda one=read: add(one))

        collect(hospitals, lambda one: one.advertise(), session.add_advertisement)
        roster = server.does(session.close_advertising)
        collect(hospitals, lambda one: one.share(site.reads(roster)), session.add_shares)
        inboxes = server.does(session.close_sharing)
        total = server.does(lambda: MaskedSum(plan, self.weights))
        left = sorted(hospitals)[self.dropped :]
        for name in left:
            inbox = site.reads(inboxes[name])
            masked = site.does(
                lambda one=hospitals[name], given=inbox: mask_vector(
                    self.update,
                    cases=CASES,
                    received=self.weights,
                    plan=plan,
                    seeds=one.mask_seeds(given),
                    round_index=0,
                    numbers={"loss": 1.0},
                )
            )
            server.does(lambda one=masked: total.add(one.tensors, one.counts))
            session.add_masked(name)
        survivors = server.does(session.close_masking)
        collect(left, lambda one: one.confirm(site.reads(survivors)), session.add_confirmation)
        signed = server.does(session.close_confirming)
        collect(left, lambda one: one.reveal(site.reads(signed)), session.add_reveal)
        mean = server.does(lambda: total.open(session.open_sum()))
        worst = max(float(np.abs(mean[name] - value).max()) for name, value in self.update.items())
        assert worst < plan.code.step * plan.full_weight_cases, "the opened mean is that of the updates"
        return site.seconds / self.sites, server.seconds

    def _hospitals(self, context: SumContext, folder: Path) -> dict[str, SiteSession]:
        names = [f"hospital-{number:03d}" for number in range(self.sites)]
        identities = {name: SiteIdentity(Ed25519PrivateKey.generate()) for name in names}
        pins = {name: one.fingerprint for name, one in identities.items()}
        return {
            name: SiteSession(
                context=context,
                site=name,
                identity=identities[name],
                peers=pins,
                policy=SurvivorPolicy(),
                memory=SecAggMemory(folder / f"{name}.sqlite"),
                subject=bytes(32),
            )
            for name in names
        }


def step_seconds(settings: SecAggSettings) -> float:
    """Return the CPU seconds of a training step of the job's network, the fastest of three."""
    learning = settings.learning
    method = get_task(learning.task).method
    torch.set_num_threads(1)
    network, loss = method.build_network(learning), method.build_loss(learning)
    images, regions = (torch.rand_like(one) for one in method.example_batch(learning))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        loss(network(images), regions.round()).backward()
        optimizer.step()

    return seconds(step)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sites", type=int, default=10)
    parser.add_argument("--dropped", type=int, default=0, help="sites that drop out behind their shares")
    options = parser.parse_args()
    settings = build_recipe(JOB, {"learning.network": "segresnet"}).settings
    assert isinstance(settings, SecAggSettings)
    network = get_task(settings.learning.task).method.build_network(settings.learning)
    random = np.random.default_rng(0)
    weights = {name: value.numpy().copy() for name, value in network.state_dict().items()}
    update = {name: random.normal(0, 1e-4, value.shape).astype(np.float32) for name, value in weights.items()}
    values = sum(value.size for value in weights.values())
    print(f"{options.sites} sites, {values:,} parameters; CPU seconds of a round, of the fastest of three:")
    clear = seconds(lambda: {name: update[name] - value for name, value in weights.items()})
    clear_server = plain(list(update.values()), options.sites)
    runs = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(Round(settings, weights, update, options.sites, options.dropped).run(Path(folder)))
    masked, masked_server = (min(one[place] for one in runs) for place in (0, 1))
    learning = settings.learning
    steps = learning.steps_per_round(CASES)
    training = steps * step_seconds(settings)
    print("| | in the clear | secure aggregation | ratio |")
    print("|---|---|---|---|")
    for what, first, second in (
        ("a site, without training", clear, masked),
        (f"a site, with {steps} training steps", training + clear, training + masked),
        ("the server", clear_server, masked_server),
    ):
        print(f"| {what} | {first:.3f} | {second:.3f} | {second / first:.3f} |")


if __name__ == "__main__":
    main()
