"""A task of another kind than segmentation: 2D arrays, and one grade a patient. It shares nothing with one.

It is a module of its own, on the path of every process of a test: an entry point names `grading.Grading`.
"""

import sys
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from consilium.data.cache import open_entry
from consilium.data.cache_entry import write_entry
from consilium.data.cached_case import CachedCase
from consilium.data.case import Case
from consilium.data.case_preparation import Prepared
from consilium.tasks.base import Target
from consilium.tasks.evaluation import Evaluation
from consilium.tasks.learning_settings import LearningSettings
from consilium.tasks.method import BatchShare
from consilium.tasks.metrics import Metric, MetricSet, Scores

GRADES, EDGE = 3, 6


class GradingSettings(LearningSettings):
    task: Literal["toy_grading"] = "toy_grading"
    network: Literal["linear"] = "linear"
    strip: int = 2


class Nothing(BaseModel):
    """What is kept beside the arrays of a case."""


class GradingCases:
    name, case_type = "toy_grading", CachedCase


@dataclass(frozen=True)
class Strips:
    """Samples are rows of the image, as many as the settings say."""

    height: int

    def place(self, case: CachedCase, random: np.random.Generator) -> int:
        return int(random.integers(0, EDGE - self.height + 1))

    def cut(self, case: CachedCase, placement: int) -> tuple[Tensor, Tensor]:
        strip = case.array("photo")[:, placement : placement + self.height]
        return torch.from_numpy(strip.copy()), torch.from_numpy(case.array("grade").copy())[0]


class GradingMethod:
    def build_network(self, settings: GradingSettings) -> nn.Module:
        # In every process of a test, also in those that train together.
        assert not [name for name in sys.modules if name.startswith("consilium.tasks.segmentation")]
        return nn.Sequential(nn.Conv2d(1, 8, 1), nn.ReLU(), nn.Dropout(0.1), Pool(), nn.Linear(8, GRADES))

    def build_loss(self, settings: GradingSettings) -> nn.Module:
        return nn.CrossEntropyLoss()

    def sampler(self, settings: GradingSettings) -> Strips:
        return Strips(settings.strip)

    def augment(self, inputs: Tensor, share: BatchShare, generator: torch.Generator, settings: Any) -> Tensor:
        noise = torch.randn(share.batch_size, 1, 1, 1, generator=generator)[share.rows]
        return inputs + 0.01 * noise.to(inputs.device)

    def encode_targets(self, targets: Tensor) -> Tensor:
        return targets.long()

    def read_inputs(self, case: CachedCase) -> Tensor:
        return torch.from_numpy(case.array("photo").astype(np.float32))[None]

    def infer(self, network: nn.Module, inputs: Tensor, settings: GradingSettings) -> Tensor:
        return network(inputs)

    def interpret(self, logits: Tensor, case: CachedCase) -> Tensor:
        return logits.softmax(dim=-1).cpu()

    def decide(self, probabilities: Tensor) -> Tensor:
        return probabilities.argmax(dim=-1)

    def example_batch(self, settings: GradingSettings) -> tuple[Tensor, Tensor]:
        n = settings.batch_size
        return torch.empty(n, 1, settings.strip, EDGE), torch.zeros(n, dtype=torch.long)

    def sample_bytes(self, settings: GradingSettings) -> int:
        return 2 * settings.strip * EDGE + 1

    def prepared_bytes(self, case: Case, settings: GradingSettings, checked: Any) -> int:
        return 2 * EDGE**2 + 1

    def propose(self, fingerprint: Any, settings: GradingSettings, step_bytes: Any) -> list[Any]:
        return []


class Pool(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return features.mean(dim=(-2, -1))


class GradingEvaluation(Evaluation):
    metrics = MetricSet(
        metrics=(Metric(name="accuracy", title="Accuracy"),), key="accuracy", gained=("accuracy",)
    )

    def reference(self, case: CachedCase) -> Tensor:
        return torch.tensor(int(case.array("grade")[0]))

    def score(self, prediction: Tensor, case: CachedCase, *, final: bool) -> Scores:
        return {"accuracy": float(prediction == self.reference(case))}


class Grading:
    """A `Task`, as far as it is learned."""

    name, title = "toy_grading", "Grades of photographs"
    inputs = ("photo",)
    targets = (Target("grade", "Grade"),)
    settings_type = GradingSettings
    cases = GradingCases()
    method = GradingMethod()
    evaluation = GradingEvaluation()


def graded_cases(folder, count: int = 9) -> tuple[CachedCase, ...]:
    """Entries of the cache: the brighter a photograph, the higher its grade."""
    random, cases = np.random.default_rng(0), []
    for index in range(count):
        name, grade = f"P{index}", index % GRADES
        photo = (grade + 0.2 * random.standard_normal((1, EDGE, EDGE))).astype(np.float16)
        (folder / name).mkdir(parents=True)
        arrays = {"photo": photo, "grade": np.array([grade], np.uint8)}
        write_entry(folder / name, Prepared(arrays, Nothing(), labeled=True))
        of = Case(id=name, patient=name, images={}, target=None)
        case = open_entry(folder / name, of, case_format=Grading.cases)
        assert case is not None
        cases.append(case)
    return tuple(cases)
