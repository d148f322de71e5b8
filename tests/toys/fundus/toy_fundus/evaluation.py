"""How grades are scored: a confusion matrix that adds up over patients and sites, and kappa of it."""

import numpy as np
import torch

from consilium.tasks.evaluation import Evaluation
from consilium.tasks.metrics import Metric, MetricSet
from toy_fundus.cases import GRADES

CELLS = [[f"true_{true}_found_{found}" for found in GRADES] for true in GRADES]
_DISTANCE = np.subtract.outer(GRADES, GRADES) ** 2


class GradeEvaluation(Evaluation):
    """Cohen's kappa with quadratic weights (Cohen 1968, doi 10.1037/h0026256) selects models."""

    metrics = MetricSet(
        metrics=(
            Metric(name="kappa", title="Kappa", low=-1, combines="derived"),
            Metric(name="accuracy", title="Accuracy", combines="derived"),
            *(
                Metric(name=cell, title="Patients", high=1e6, combines="sum", table="confusion")
                for row in CELLS
                for cell in row
            ),
        ),
        key="kappa",
        gained=("kappa", "accuracy"),
        targets={"grade": "Grade"},
        nothing_learned=0.0,
        definitions={"Kappa": "Agreement beyond chance with the grade that was given, by quadratic weights."},
    )

    def reference(self, case):
        if not case.labeled:
            raise ValueError("nobody graded the case")
        return torch.tensor(case.meta["grade"])

    def score(self, prediction, case, *, final):
        return {CELLS[int(self.reference(case))][int(prediction)]: 1.0}

    def derive(self, scores):
        counts = np.array([[scores.get(cell, 0.0) for cell in row] for row in CELLS])
        total = counts.sum()
        if not total:
            return {}
        by_chance = np.outer(counts.sum(1), counts.sum(0)) / total
        worst = float((_DISTANCE * by_chance).sum())
        kappa = 1 - float((_DISTANCE * counts).sum()) / worst if worst else 1.0
        return {"kappa": kappa, "accuracy": float(np.trace(counts) / total)}
