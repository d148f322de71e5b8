"""The task: what the rest of Consilium knows of grading."""

from functools import cached_property
from typing import Any, ClassVar, Literal

from pydantic import Field

from consilium.tasks import LearningSettings, Target
from toy_fundus.cases import EYES, FundusCases, FundusCode
from toy_fundus.evaluation import GradeEvaluation
from toy_fundus.features import FundusFeatures
from toy_fundus.prediction import GradePrediction
from toy_fundus.synthetic import FundusHospitals


class FundusSettings(LearningSettings):
    """What a job decides about learning to grade."""

    task: Literal["fundus"] = "fundus"
    network: Literal["tiny"] = "tiny"
    batch_size: int = Field(default=4, ge=1, le=64)
    edge_pixels: int = Field(default=32, ge=8, le=1024)


class FundusGrading:
    """Grade a patient's diabetic retinopathy, 0 (none) to 4 (proliferative), from both eyes; a `Task`."""

    name: ClassVar[str] = "fundus"
    title: ClassVar[str] = "Retinopathy grading"
    inputs: ClassVar[tuple[str, ...]] = EYES
    targets: ClassVar[tuple[Target, ...]] = (Target("grade", "Grade"),)
    settings_type: ClassVar[type[LearningSettings]] = FundusSettings
    codes: ClassVar[tuple[type[FundusCode], ...]] = (FundusCode,)
    cases = FundusCases()
    evaluation = GradeEvaluation()
    statistics = FundusFeatures()
    synthetic = FundusHospitals()
    presentation = None
    prediction = GradePrediction()
    bundling = None
    pretrained = ()
    jobs: ClassVar[dict[str, dict[str, Any]]] = {
        "fedavg": {"rounds": 4, "min_sites": 2, "learning": {"local_steps": 40, "learning_rate": 0.02}},
        "check": {"min_sites": 2},
        "stats": {"min_sites": 2},
    }

    @cached_property
    def method(self) -> Any:
        """How the grade is learned; torch loads with it."""
        from toy_fundus.method import FundusMethod

        return FundusMethod()
