"""Ranks of a site's training processes: shares of a batch, and state that they agree on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parallel import DistributedDataParallel

from consilium.errors import ConfigurationError
from consilium.tasks.method import BatchShare


@dataclass(frozen=True, slots=True)
class Ranks:
    """The processes that train one network together; by default this one alone.

    Attributes:
        rank: Which process this is, from 0.
        world_size: How many there are. With more than one, every method must be called by all of them, in
            the same order, after `torch.distributed.init_process_group`.
    """

    rank: int = 0
    world_size: int = 1

    def share(self, batch_size: int) -> BatchShare:
        """Return this process's share of every batch."""
        return BatchShare(batch_size, self.rank, self.world_size)

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process."""
        if self.world_size == 1:
            return flag
        flags = torch.tensor([flag], dtype=torch.uint8)
        distributed.all_reduce(flags, distributed.ReduceOp.MAX)
        return bool(flags.item())

    def union(self, marks: Tensor) -> Tensor:
        """Return which places any process has marked.

        Args:
            marks: uint8 on the CPU, 1 for a mark, as long in every process.
        """
        if self.world_size == 1:
            return marks
        marked = marks.clone()
        distributed.all_reduce(marked, distributed.ReduceOp.MAX)
        return marked

    def agree(self, number: int) -> bool:
        """Return whether a number is the same in every process."""
        if self.world_size == 1:
            return True
        numbers = torch.tensor([number, -number], dtype=torch.int64)
        distributed.all_reduce(numbers, distributed.ReduceOp.MAX)
        largest, smallest = numbers[0].item(), -numbers[1].item()
        return largest == smallest

    def sum(self, value: Tensor) -> float:
        """Add up a scalar of each process."""
        if self.world_size > 1:
            distributed.all_reduce(value)
        return float(value)

    def add_up(self, values: Tensor) -> Tensor:
        """Add up the tensors of all processes, in place; of whole numbers, the sum is exact."""
        if self.world_size > 1:
            distributed.all_reduce(values)
        return values

    def connect(self, network: nn.Module) -> nn.Module:
        """Wrap a network so that every backward pass averages the gradients of all processes.

        Raises:
            ConfigurationError: If the network has layers whose result depends on how a batch is shared out.
        """
        if self.world_size == 1:
            return network
        mixing = {
            type(layer).__name__
            for layer in network.modules()
            if isinstance(layer, _BatchNorm) or (isinstance(layer, _DropoutNd) and layer.p > 0)
        }
        if mixing:
            raise ConfigurationError(
                f"the network has {', '.join(sorted(mixing))}, which computes something else when several "
                "processes share a batch; set `processes` in the site's privacy.json to 1"
            )
        device = next(network.parameters()).device
        return DistributedDataParallel(
            network, device_ids=[device] if device.type == "cuda" else None, broadcast_buffers=False
        )
