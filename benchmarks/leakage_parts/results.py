"""Results of the attacks: rows for machines, tables for people."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

Row = Mapping[str, Any]

_NUMBERS: Final = {
    "mean_rank": "{:.1f}",
    "first": "{:.0%}",
    "ssim": "{:.2f}",
    "psnr_db": "{:.1f}",
    "auc": "{:.2f}",
    "tpr": "{:.3f}",
}
_TITLES: Final = {
    "protection": "update",
    "patients": "patients",
    "steps": "steps",
    "mean_rank": "mean rank",
    "first": "ranked first",
    "candidates": "of",
    "ssim": "SSIM",
    "guess_ssim": "SSIM of the mean head",
    "psnr_db": "PSNR, dB",
    "guess_psnr_db": "PSNR of the mean head",
    "trials": "patients ranked",
    "attack": "attack",
    "auc": "AUC",
    "tpr": "TPR at 1 % FPR",
    "members": "members",
    "others": "others",
    "network": "network",
    "outcome": "outcome",
}


def table(rows: Sequence[Row]) -> str:
    """Return rows with the same keys as a table in Markdown.

    Example:
        >>> print(table([{"protection": "plain", "auc": 0.914}]), end="")
        | update | AUC |
        |---|---|
        | plain | 0.91 |
    """
    if not rows:
        return ""
    names = list(rows[0])
    lines = [" | ".join(_TITLES.get(name, name) for name in names)]
    lines += [" | ".join(_text(name, row[name]) for name in names) for row in rows]
    head, *body = [f"| {line} |\n" for line in lines]
    return head + "|" + "---|" * len(names) + "\n" + "".join(body)


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    form = _NUMBERS.get(name.removeprefix("guess_"))
    return form.format(value) if form else str(value)


TITLES: Final = {
    "control": "The attacks where they have to work, and the analytic one on the task's networks",
    "search": "Which of the given patients the update is of",
    "inversion": "Images reconstructed from the update",
    "membership": "Whether a patient was trained on",
}


def figures(tables: Mapping[str, Sequence[Row]]) -> list[dict[str, Any]]:
    """Return the figures of attacks on updates as the data-protection officer's page reads them.

    Controls are left out. What guessing reaches is `chance`.
    """
    found: list[dict[str, Any]] = []
    for attack in ("search", "inversion", "membership"):
        for row in tables.get(attack, ()):
            if "control" in row["protection"]:
                continue
            epsilon = re.search(r"epsilon ([\d.]+)", row["protection"])
            sites = re.search(r"sum of (\d+) sites", row["protection"])
            shared = {
                "attack": _ATTACKS[attack].format(row.get("attack")),
                "patients": row["patients"],
                "steps": row["steps"],
                "sites": int(sites[1]) if sites else 1,
                "epsilon": float(epsilon[1]) if epsilon else None,
                "repetitions": row.get("trials", 1),
            }
            measures = _measures(attack, row)
            found += [
                {**shared, "measure": name, "value": value, "chance": chance, "worse_is": worse}
                for name, value, chance, worse in measures
            ]
    return found


_ATTACKS: Final = {
    "search": "search among given patients",
    "inversion": "gradient inversion",
    "membership": "membership inference, {}",
}


def _measures(attack: str, row: Row) -> list[tuple[str, float, float, str]]:
    if attack == "membership":
        return [("AUC", row["auc"], 0.5, "higher"), ("TPR at 1 % FPR", row["tpr"], 0.01, "higher")]
    candidates = row["candidates"]
    ranked = (f"mean rank among {candidates}", row["mean_rank"], (candidates + 1) / 2, "lower")
    if attack == "search":
        return [ranked]
    return [ranked, ("SSIM", row["ssim"], row["guess_ssim"], "higher")]


def page(tables: Mapping[str, Sequence[Row]]) -> str:
    """Return all tables, by the names of `TITLES`."""
    return "\n".join(f"## {TITLES[name]}\n\n{table(rows)}" for name, rows in tables.items())
