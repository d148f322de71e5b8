"""CPU seconds and bytes of a round that the arithmetic of secure aggregation costs, at site and server.

A network of as many parameters as the largest default, in 64 tensors, is encoded and masked by each site, and
the server adds up what the sites send and removes their own masks. Beside that is what federated averaging
does with updates in the clear: a site computes a difference; the server checks, stores and combines all of
them. Both are without training and transfer. The generators are compared on the bytes of one mask.

    OMP_NUM_THREADS=1 python benchmarks/secagg.py [--parameters 4700000] [--sites 10]
"""

from __future__ import annotations

import argparse
import secrets
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from consilium.aggregation.rules import AggregationSettings
from consilium.federation.updates.intake import Contribution, ScreenedAggregation
from consilium.federation.updates.screening import Screening, ScreeningSettings
from consilium.learning.weights import MODEL
from consilium.records.federation import SiteReport
from consilium.secagg.masks import MaskStream, apply_masks, in_order
from consilium.secagg.noise import discrete_gaussian
from consilium.secagg.ring import FixedPoint, norm_factor, rounding_generator
from consilium.tasks import parse_learning

TENSORS = 64
CHUNK = 2**18


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parameters", type=int, default=4_700_000)
    parser.add_argument("--sites", type=int, default=10)
    options = parser.parse_args()
    generators(4 * options.parameters)
    weights, updates = vectors(options.parameters)
    plain_site = seconds(lambda: [new - old for new, old in zip(updates, weights, strict=True)])
    plain_server = plain(updates, options.sites)
    print(f"plain: site {plain_site:.3f} s, server {plain_server:.3f} s of CPU, 4.00 bytes a parameter")
    for bits in (32, 16):
        site, server, sent = masked(updates, options.sites, bits)
        print(
            f"masked, {bits} bits: site {site:.3f} s, server {server:.3f} s of CPU, "
            f"{sent / options.parameters:.2f} bytes a parameter"
        )
    noise = seconds(lambda: discrete_gaussian(10_000, options.parameters // 10))
    print(f"discrete Gaussian noise: {10 * noise:.1f} s of CPU at a site")


def seconds(work: Callable[[], object]) -> float:
    """Return the CPU seconds of the fastest of three runs."""
    taken = []
    for _ in range(3):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)


def vectors(parameters: int) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
    """Return a model and an update, each in `TENSORS` tensors."""
    random = np.random.default_rng(0)
    weights = np.array_split(random.normal(0, 0.05, parameters).astype(np.float32), TENSORS)
    updates = np.array_split(random.normal(0, 0.001, parameters).astype(np.float32), TENSORS)
    return weights, updates


def plain(updates: list[NDArray[np.float32]], sites: int) -> float:
    """Return the server's CPU seconds for updates in the clear."""
    learning = parse_learning({"task": "brain_tumor", "local_steps": 8}, source="the benchmark")
    reference = {MODEL: {f"w{index:03d}": value for index, value in enumerate(updates)}}
    taken = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for repetition in range(3):
            screening = Screening(ScreeningSettings(), learning, 10)
            aggregation = ScreenedAggregation(
                reference, 0, AggregationSettings(), screening, Path(folder) / str(repetition)
            )
            arrived = [
                {name: value + np.float32(site * 1e-6) for name, value in reference[MODEL].items()}
                for site in range(sites)
            ]
            report = SiteReport(
                role="trains", train_cases=10, validation_cases=3, test_cases=3, steps=8, loss=1.0
            )
            began = time.process_time()
            for site, update in enumerate(arrived):
                aggregation.add(f"site-{site}", Contribution({MODEL: update}, report))
            aggregation.screen()
            aggregation.result()
            one = time.process_time() - began
            taken = one if not repetition else min(taken, one)
            aggregation.close()
    return taken


def masked(updates: list[NDArray[np.float32]], sites: int, bits: int) -> tuple[float, float, int]:
    """Return the CPU seconds of a site and of the server, and the bytes that a site sends."""
    code = FixedPoint(bits=bits, terms=64, bound=0.05)
    seeds = [secrets.token_bytes(32) for _ in range(sites)]
    sent: dict[str, NDArray[np.unsignedinteger]] = {}

    def seal() -> None:
        factor = norm_factor(updates, 10.0)
        generator = rounding_generator()
        for index, value in enumerate(updates):
            sent[f"w{index:03d}"], _ = code.encode(value * factor, generator=generator, weight=0.5)
        streams = [MaskStream(seed, b"benchmark") for seed in seeds]
        apply_masks(in_order(sent), streams[::2], streams[1::2])

    site = seconds(seal)

    def add_up() -> None:
        totals = {name: np.zeros_like(value) for name, value in sent.items()}
        for _ in range(sites):
            for name, total in totals.items():
                total += sent[name]
        apply_masks(in_order(totals), [], [MaskStream(seed, b"benchmark") for seed in seeds])
        for total in totals.values():
            code.decode(total)

    return site, seconds(add_up), sum(value.nbytes for value in sent.values())


def generators(size: int) -> None:
    """Print what expanding a seed costs, by generator."""
    for name, cipher in (
        ("AES-256-CTR", Cipher(algorithms.AES(bytes(32)), modes.CTR(bytes(16)))),
        ("ChaCha20", Cipher(algorithms.ChaCha20(bytes(32), bytes(16)), mode=None)),
    ):
        zeros, buffer = bytes(CHUNK), bytearray(CHUNK + 16)

        def expand(cipher: Cipher[object] = cipher, zeros: bytes = zeros, buffer: bytearray = buffer) -> None:
            encryptor = cipher.encryptor()
            for _ in range(0, size, CHUNK):
                encryptor.update_into(zeros, buffer)

        print(f"{name}: {size / seconds(expand) / 2**30:.1f} GiB/s")


if __name__ == "__main__":
    main()
