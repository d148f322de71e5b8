"""The attacks in one folder: each piece runs once, whatever interrupts it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from consilium.data.files import private_folder, write_atomically
from consilium.learning.network_state import initial_weights, set_weights
from consilium.learning.weights import Weights
from consilium.tasks import get_task
from consilium.tasks.segmentation.segmentation_settings import SegmentationSettings
from leakage_parts.controls import run_controls
from leakage_parts.effort import Effort
from leakage_parts.inversion import correlation, fidelity
from leakage_parts.matching import rank, seen
from leakage_parts.membership import lira_scores, loss_scores, success
from leakage_parts.models import losses_of, train_models
from leakage_parts.patients import Roles, flips, make_patients, read_head, read_heads
from leakage_parts.results import TITLES, Row, page
from leakage_parts.search import Attacked, PatientSearch
from leakage_parts.updates import PLAIN, UNRELATED, Protection, Update, mean_of, train_site
from nnunet_parts.comparison import say
from nnunet_parts.results import require_same_settings


@dataclass(frozen=True)
class Study:
    """All attacks on one global model.

    Attributes:
        out: Folder of everything.
        learning: The job's settings.
        effort: How much of everything.
    """

    out: Path
    learning: SegmentationSettings
    effort: Effort

    def run(self, attacks: Collection[str] = tuple(TITLES)) -> str:
        """Run what is missing; returns the tables.

        Args:
            attacks: Some of `results.TITLES`. Another process may run the others in the same folder.

        Raises:
            ConfigurationError: If the folder holds attacks with other settings.
        """
        stated = [self.learning.model_dump_json(), asdict(self.effort)]
        require_same_settings(self.out, stated, "attacks")
        tables = {
            attack: [row for name, make in pieces for row in self._piece(f"{attack}-{name}", make)]
            for attack, pieces in self._pieces().items()
            if attack in attacks
        }
        write_atomically(self.out / "result.json", json.dumps(tables, indent=1).encode())
        write_atomically(self.out / "result.md", page(tables).encode())
        return page(tables)

    def _pieces(self) -> dict[str, list[tuple[str, Callable[[], list[Row]]]]]:
        """What there is to do: names and calls, by attack."""
        effort = self.effort
        protections = (PLAIN, *effort.summed, *effort.private)
        return {
            "control": [("all", self._control)],
            "search": [(f"{n} patients", partial(self._search, n)) for n in effort.patients],
            "inversion": [
                (f"{n} patients {k} steps {one.name}", partial(self._invert, n, k, one))
                for n, k, one in self._inversions()
            ],
            "membership": [(one.name, partial(self._membership, one)) for one in protections],
        }

    def _piece(self, name: str, make: Callable[[], list[Row]]) -> list[Row]:
        path = private_folder(self.out / "pieces") / f"{_file_name(name)}.json"
        if not path.exists():
            say(f"{name}: running")
            write_atomically(path, json.dumps(make()).encode())
            say(f"{name}: done")
        rows: list[Row] = json.loads(path.read_text())
        return rows

    @cached_property
    def _roles(self) -> Roles:
        effort = self.effort
        return make_patients(self.out, self.learning, effort.targets, effort.decoys, effort.own)

    @cached_property
    def _start(self) -> Weights:
        return initial_weights(get_task(self.learning.task), self.learning, self.learning.seed)

    @cached_property
    def _network(self) -> nn.Module:
        network = get_task(self.learning.task).method.build_network(self.learning)
        set_weights(network, self._start)
        return network

    @cached_property
    def _loss(self) -> nn.Module:
        return get_task(self.learning.task).method.build_loss(self.learning)

    @cached_property
    def _mean_head(self) -> Tensor:
        return read_heads(self._roles.own, self.learning).mean(dim=0, keepdim=True)

    def _control(self) -> list[Row]:
        image, regions = read_head(self._roles.targets[0], self.learning)
        decoys = read_heads(self._roles.decoys, self.learning)
        return run_controls(
            image, regions, list(decoys), self._mean_head, self.learning, self.effort.inversion
        )

    def _update(self, patients: int, steps: int, site: int, protection: Protection = PLAIN) -> Update:
        """The update of one site; sites of one size have different patients."""
        cases = self._roles.targets[site * patients : (site + 1) * patients]
        return train_site(
            cases,
            self.learning,
            self._start,
            steps=steps,
            patients_a_step=patients,
            seed=site,
            protection=protection,
        )

    def _search(self, patients: int) -> list[Row]:
        attacked: dict[tuple[str, int], list[Attacked]] = {}
        sites = self.effort.sites_of(patients)
        for steps in self.effort.steps:
            plain = [self._update(patients, steps, site).weights for site in range(sites)]
            for protection in (PLAIN, *self.effort.summed):
                size = protection.sites
                attacked[protection.name, steps] = [
                    Attacked(
                        mean_of(plain[first : first + size]),
                        tuple(range(first * patients, (first + size) * patients)),
                        steps,
                    )
                    for first in range(0, sites - size + 1, size)
                ]
            for protection in self.effort.private:
                if (patients, steps) in self.effort.private_cells:
                    attacked[protection.name, steps] = [
                        Attacked(
                            self._update(patients, steps, site, protection).weights,
                            tuple(range(site * patients, (site + 1) * patients)),
                            steps,
                        )
                        for site in range(sites)
                    ]
            say(f"updates of {patients} patients and {steps} steps are made")
        search = PatientSearch(self._network, self._loss, self.learning)
        flat = [one for of in attacked.values() for one in of]
        found = iter(search.run(flat, self._roles.targets, self._roles.decoys))
        rows: list[Row] = []
        for (name, steps), of in attacked.items():
            ranks = [place for _ in of for place in next(found)]
            if ranks:
                rows.append(_ranked(name, patients, steps, ranks, len(self._roles.decoys) + 1))
        return rows

    def _inversions(self) -> list[tuple[int, int, Protection]]:
        effort = self.effort
        protected = [
            (n, k, one) for n, k in effort.inverted_protected for one in (*effort.summed, *effort.private)
        ]
        plain = [(n, k, PLAIN) for n, k in effort.inverted]
        return sorted([(1, 1, UNRELATED), *plain, *protected], key=lambda one: one[0] * one[2].sites)

    def _invert(self, patients: int, steps: int, protection: Protection) -> list[Row]:
        repeats = self.effort.repeats if patients == 1 and protection.sites == 1 else 1
        measured: list[dict[str, float]] = []
        ranks: list[int] = []
        for first in range(repeats):
            updates = [
                self._update(patients, steps, first + site, protection) for site in range(protection.sites)
            ]
            shown = torch.cat([one.shown for one in updates])
            regions = torch.cat([one.regions for one in updates])
            update = mean_of([one.weights for one in updates])
            if protection is UNRELATED:
                update = self._update(patients, steps, first + repeats).weights
            generator = torch.Generator().manual_seed(first)
            noise = 0.1 * torch.randn(shown.shape, generator=generator)
            start = self._mean_head + noise * (self._mean_head != 0)
            found = self.effort.inversion.run(
                self._network, self._loss, seen(self._network, update), regions, start
            )
            places = range(first * patients, first * patients + len(shown))
            decoys = [self._turned(case) for case in self._roles.decoys]
            for row, place in enumerate(places):
                guess = fidelity(self._mean_head[0], shown[row])
                got = fidelity(found[row], shown[row])
                measured.append({**got, **{f"guess_{name}": value for name, value in guess.items()}})
                likes = [_best(found[row], turned) for turned in decoys]
                ranks.append(rank(_best(found[row], self._turned(self._roles.targets[place])), likes))
            if first == 0:
                self._keep(f"{protection.name}-{patients}-{steps}", shown[0], found[0])
        row = _ranked(protection.name, patients, steps, ranks, len(self._roles.decoys) + 1)
        means = {name: float(np.mean([one[name] for one in measured])) for name in sorted(measured[0])}
        return [{**row, **means}]

    def _turned(self, case: Any) -> list[Tensor]:
        return [one[0] for one in flips(read_heads([case], self.learning))]

    def _keep(self, name: str, shown: Tensor, found: Tensor) -> None:
        """Keep the middle slices for the picture."""
        middle = shown.shape[-1] // 2
        slices = np.stack([one[..., middle].numpy() for one in (shown, self._mean_head[0], found)])
        np.save(private_folder(self.out / "slices") / f"{_file_name(name)}.npy", slices)

    def _membership(self, protection: Protection) -> list[Row]:
        models, member = train_models(self._roles, self.learning, self._start, self.effort, protection)
        pool = self._roles.targets[: self.effort.pool]
        losses = losses_of(models, self._network, self._loss, pool, self.learning)
        rows: list[Row] = []
        scores = {"loss": loss_scores(losses), "LiRA": lira_scores(losses, member)}
        for attack, values in scores.items():
            counts = {
                "patients": self.effort.pool // 2,
                "steps": self.effort.member_steps,
                "members": int(member.sum()),
                "others": int((~member).sum()),
            }
            rows.append(
                {"protection": protection.name, "attack": attack, **success(values, member), **counts}
            )
        return rows


def _ranked(name: str, patients: int, steps: int, ranks: Sequence[int], candidates: int) -> dict[str, Any]:
    return {
        "protection": name,
        "patients": patients,
        "steps": steps,
        "mean_rank": float(np.mean(ranks)),
        "first": float(np.mean([one == 1 for one in ranks])),
        "candidates": candidates,
        "trials": len(ranks),
    }


def _best(found: Tensor, turned: Sequence[Tensor]) -> float:
    return max(correlation(found, one) for one in turned)


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.]+", "_", name).strip("_")
