"""`consilium jobs export` of a job by secure aggregation: what a round costs, before anybody runs it."""

import re
from pathlib import Path


def test_a_job_by_secure_aggregation_is_exported_with_its_costs_beside_other_ways(run, tmp_path):
    words = ("--set", "algorithm.ring_bits=16", "--set", "min_sites=5")
    code, out, err = run("jobs", "export", "brain_tumor_fedavg_secagg", "--to", tmp_path, *words)
    assert code == 0
    assert out.strip().endswith("brain_tumor_fedavg_secagg")
    assert re.search(r"a round of 5 hospitals and \d{3},\d{3} parameters", err)
    sent = [float(one) for one in re.findall(r"([\d.]+) MB from a site", err)]
    clear, masked, encrypted = sent
    assert masked < 0.6 * clear
    assert encrypted > 10 * clear
    assert "secure aggregation, 16 bits" in err
    assert "homomorphic encryption (not offered)" in err


def test_other_jobs_are_exported_without(run, tmp_path):
    code, _, err = run("jobs", "export", "brain_tumor_fedavg", "--to", tmp_path)
    assert code == 0
    assert "MB from a site" not in err


def test_the_documented_output_is_what_is_printed(run, tmp_path):
    page = (Path(__file__).parents[3] / "docs/secure-aggregation.md").read_text()
    _, _, err = run("jobs", "export", "brain_tumor_fedavg_secagg", "--to", tmp_path)
    printed = " ".join(err.split())
    assert "a round of 3 hospitals" in printed
    documented = page.partition("$ consilium jobs export brain_tumor_fedavg_secagg --to runs/jobs\n")[2]
    _, *costs = documented.partition("\n```")[0].splitlines()
    assert len(costs) == 4
    for line in costs:
        assert line.strip() in printed
