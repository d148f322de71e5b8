"""How the grade is learned: a tiny network that sees each eye and averages over both."""

import torch
from torch import nn

from consilium.tasks.proposals import Choice
from toy_fundus.cases import EYES, GRADES

_CHANNELS = 3


class TinyGrader(nn.Module):
    """Photographs `(N, 2, 3, H, W)` from 0 to 255 to logits of the grades `(N, 5)`."""

    def __init__(self):
        super().__init__()
        self.eye = nn.Sequential(
            nn.Conv2d(_CHANNELS, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.ReLU()
        )
        self.grade = nn.Linear(16, len(GRADES))

    def forward(self, photos):
        seen = self.eye(photos.flatten(0, 1) / 64)
        return self.grade(seen.mean((2, 3)).unflatten(0, (-1, len(EYES))).mean(1))


class WholePhotos:
    """Samples are whole cases."""

    def place(self, case, random):
        return None

    def cut(self, case, placement):
        return torch.from_numpy(case.array("photos").copy()), torch.tensor(
            case.meta["grade"], dtype=torch.uint8
        )


class FundusMethod:
    """A `Method`."""

    def build_network(self, settings):
        return TinyGrader()

    def build_loss(self, settings):
        return nn.CrossEntropyLoss()

    def sampler(self, settings):
        return WholePhotos()

    def augment(self, inputs, share, generator, settings):
        flipped = torch.rand(share.batch_size, generator=generator)[share.rows] < 0.5
        return torch.where(flipped.to(inputs.device)[:, None, None, None, None], inputs.flip(-1), inputs)

    def encode_targets(self, targets):
        return targets.long()

    def read_inputs(self, case):
        return torch.from_numpy(case.array("photos").copy())[None].float()

    def infer(self, network, inputs, settings):
        return network(inputs)

    def interpret(self, logits, case):
        return logits.softmax(-1).cpu()

    def decide(self, probabilities):
        return probabilities.argmax(-1)

    def example_batch(self, settings):
        edge = settings.edge_pixels
        inputs = torch.empty(settings.batch_size, len(EYES), _CHANNELS, edge, edge)
        return inputs, torch.zeros(settings.batch_size, dtype=torch.long)

    def sample_bytes(self, settings):
        return len(EYES) * _CHANNELS * settings.edge_pixels**2 + 1

    def prepared_bytes(self, case, settings, checked):
        return self.sample_bytes(settings)

    def propose(self, fingerprint, settings, step_bytes):
        patients = fingerprint.data.fewest_patients
        return [Choice("learning.batch_size", min(8, patients), f"fewest patients: {patients}")]
