"""Texts that the officer's page refers to. What the software says of them stops short of legal advice."""

from __future__ import annotations

from typing import Final

from consilium.report.privacy.statement import Reference

REFERENCES: Final = (
    Reference(
        title="NIST SP 800-226, Guidelines for Evaluating Differential Privacy Guarantees (March 2025)",
        source="doi 10.6028/NIST.SP.800-226",
        use="The headings unit of privacy, epsilon and delta, trust model, side channels, access control and "
        "data collection exposure follow components of its differential privacy pyramid: a guarantee holds "
        "only as far as those below it do. Utility and bias are in the job's report.",
    ),
    Reference(
        title="EDPB Opinion 28/2024 on certain data protection aspects related to the processing of personal "
        "data in the context of AI models (17 December 2024)",
        source="edpb.europa.eu",
        use="Whether a model holds personal data is assessed case by case: how likely data about the people "
        "it was trained on can be extracted from it or obtained by queries. This page makes no such claim of "
        "a model.",
    ),
    Reference(
        title="EDPS TechDispatch 1/2025, Federated Learning",
        source="edps.europa.eu",
        use="Updates can leak what they were computed from, and membership inference is possible: see the "
        "trust model.",
    ),
    Reference(
        title="Regulation (EU) 2016/679 (GDPR), Articles 25, 32 and 35",
        source="eur-lex.europa.eu, ELI reg/2016/679",
        use="Data protection by design and by default (25): what leaves, and the minimums. Security of "
        "processing (32): access control, and tests. Impact assessment (35): docs/dpia-template.md has the "
        "parts that Article 35(7) lists.",
    ),
    Reference(
        title="45 CFR 164.514(b)(1) (HIPAA), expert determination",
        source="ecfr.gov",
        use="An expert determines and documents that the risk of identification by the anticipated recipient "
        "is very small. This page states facts for that expert and determines nothing.",
    ),
    Reference(
        title="Regulation (EU) 2025/327 on the European Health Data Space (11 February 2025)",
        source="eur-lex.europa.eu, ELI reg/2025/327",
        use="Secondary use of health data, whose rules mostly apply from March 2029: in a secure "
        "processing environment, from which only non-personal data may be downloaded (recital 77). Consilium "
        "is no such environment by itself.",
    ),
)
"""In the order in which they are listed."""
