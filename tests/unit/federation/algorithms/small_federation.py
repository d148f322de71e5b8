"""Rounds of an algorithm by its two halves alone, at hospitals of a few voxels."""

from collections import OrderedDict
from dataclasses import dataclass, field

from learning.tiny import CPU, LEARNING, TinyMethod, TinyTask
from torch import nn

from consilium.federation.algorithms import server_algorithm
from consilium.federation.algorithms.base import AlgorithmJob, RoundStart
from consilium.federation.site.replies import check_outgoing
from consilium.federation.updates.intake import Contribution
from consilium.federation.updates.screening import Screening, ScreeningSettings
from consilium.learning.algorithms import local_algorithm, parse_algorithm
from consilium.learning.network_state import initial_weights
from consilium.learning.round_state import RoundStateStore
from consilium.learning.schedule import Schedule
from consilium.learning.trainer import Trainer
from consilium.learning.weights import MODEL, difference
from consilium.records.federation import SiteReport


class NormalizedMethod(TinyMethod):
    """A layer behind a normalization with affine parameters."""

    def build_network(self, settings):
        return nn.Sequential(OrderedDict(norm=nn.GroupNorm(4, 4), conv=nn.Conv3d(4, 3, kernel_size=1)))


TASK = TinyTask(NormalizedMethod)
SETTINGS = LEARNING.model_copy(update={"local_steps": 4, "learning_rate": 0.05})
ROUNDS = 3


@dataclass
class Rounds:
    """What rounds left behind.

    Args:
        models: The global models, the initial one first.
        server: The server's half.
        sent: What each site sent, by site, round by round.
        results: What each site's training gave.
    """

    models: list
    server: object = None
    sent: dict = field(default_factory=dict)
    results: dict = field(default_factory=dict)


def server_half(algorithm, learning=SETTINGS, rounds=ROUNDS, aggregation=None):
    """The server's half of an algorithm of these values."""
    known = Screening(ScreeningSettings(max_norm_ratio=None), learning, rounds)
    return server_algorithm(
        parse_algorithm(algorithm), AlgorithmJob(learning, rounds, aggregation or {}, known)
    )


def train_rounds(sites, folder, algorithm, *, learning=SETTINGS, rounds=ROUNDS, task=TASK, restart=False):
    """Train rounds at hospitals, each a list of cases; with `restart`, each in new objects."""
    settings = parse_algorithm(algorithm)
    weights = initial_weights(task, learning, seed=0)

    def start_server():
        server = server_half(algorithm, learning, rounds)
        server.begin(weights)
        return server

    def start_sites():
        return {
            site: Trainer(
                task,
                learning,
                cases,
                CPU,
                memory=RoundStateStore(folder / site),
                algorithm=local_algorithm(settings, learning),
            )
            for site, cases in sites.items()
        }

    done = Rounds([weights], start_server())
    trainers, own = start_sites(), {site: {} for site in sites}
    for index in range(rounds):
        if restart and index:
            state = done.server.state()
            done.server, trainers = start_server(), start_sites()
            done.server.restore(state)
        start = RoundStart(index, weights, folder / f"round {index}", trainers=tuple(sites))
        (question,) = done.server.questions(start)
        for site, trainer in trainers.items():
            if question.turn not in (None, site):
                continue
            start = {**weights, **{name: own[site][name] for name in own[site] if settings.stays(name)}}
            result = trainer.train(start, Schedule(index, rounds), sets=question.sets)
            check_outgoing(result, settings)
            own[site] = result.personal
            cases = len(sites[site])
            report = SiteReport(
                role="trains",
                train_cases=cases,
                validation_cases=0,
                steps=result.steps,
                loss=result.loss,
                numbers=dict(result.numbers),
            )
            sent = {MODEL: difference(result.weights, settings.shared(start)), **result.sent}
            question.aggregator.add(site, Contribution(sent, report))
            done.sent.setdefault(site, []).append(sent)
            done.results.setdefault(site, []).append(result)
        assert question.aggregator.screen() == {}
        weights = done.server.step(weights, done.server.combine())
        done.server.close()
        done.models.append(weights)
    return done
