"""Bytes and CPU seconds of averaging under homomorphic encryption, to compare with `benchmarks/secagg.py`.

    pip install tenseal==0.3.18
    OMP_NUM_THREADS=1 python benchmarks/homomorphic.py [--parameters 470000 4700000] [--sites 3]

An update is packed as one vector into as few CKKS ciphertexts as hold it; FLARE's filter makes some for each
tensor, and sends the public context with each. The first ring is that of FLARE's `HEBuilder`, the second the
smallest that we found to give sums alone with an error far below an update's values.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import tenseal as ts

RINGS = {
    "as FLARE's": (8192, [60, 40, 40], 2.0**40),
    "sums only": (4096, [54, 55], 2.0**36),
}
"""Degree, bits of the moduli, scale."""


def main() -> None:
    """Print a line of the table for each size and ring."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("--parameters", type=int, nargs="+", default=[470_000, 4_700_000])
    parser.add_argument("--sites", type=int, default=3)
    options = parser.parse_args()
    print(
        "| parameters | ring | bytes a parameter | kB of context | s encrypt | s add, each site "
        "| s decrypt | largest error |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for parameters in options.parameters:
        for name in RINGS:
            print(measure(parameters, options.sites, name), flush=True)


def measure(parameters: int, sites: int, ring: str) -> str:
    """Return a line: one site encrypts and decrypts, and the server adds up what the sites send."""
    degree, moduli, scale = RINGS[ring]
    full = ts.context(ts.SCHEME_TYPE.CKKS, poly_modulus_degree=degree, coeff_mod_bit_sizes=moduli)
    full.global_scale = scale
    shown = full.serialize(save_secret_key=False, save_galois_keys=False, save_relin_keys=False)
    public = ts.context_from(shown)
    update = np.random.default_rng(0).normal(0, 1e-3, parameters)
    encrypt = add = decrypt = worst = 0.0
    sent = 0
    for start in range(0, parameters, degree // 2):
        part = update[start : start + degree // 2]
        began = time.process_time()
        data = ts.ckks_vector(public, part.tolist()).serialize()
        encrypt += time.process_time() - began
        sent += len(data)
        began = time.process_time()
        total = ts.ckks_vector_from(public, data)
        for _ in range(sites - 1):
            total += ts.ckks_vector_from(public, data)
        answer = total.serialize()
        add += time.process_time() - began
        began = time.process_time()
        mean = np.array(ts.ckks_vector_from(full, answer).decrypt()) / sites
        decrypt += time.process_time() - began
        worst = max(worst, float(np.abs(mean - part).max()))
    return (
        f"| {parameters:,} | {ring} | {sent / parameters:.1f} | {len(shown) / 1000:.0f} | {encrypt:.2f} "
        f"| {add / sites:.2f} | {decrypt:.2f} | {worst:.0e} |"
    )


if __name__ == "__main__":
    main()
