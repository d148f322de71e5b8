"""What the statistics count: how bright photographs are, and the grades."""

from typing import ClassVar

import numpy as np

from consilium.tasks.features import Feature, FeatureGroup
from toy_fundus.cases import EYES, GRADES

BRIGHTNESS = FeatureGroup(
    name="brightness",
    title="Brightness",
    about="images",
    form="spread",
    role="appearance",
    unit="gray",
)
GRADE = FeatureGroup(
    name="grade", title="Grade", about="targets", form="number", role="target", unit="0 to 4", digits=1
)


class FundusFeatures:
    """A `StatisticsFeatures`."""

    version: ClassVar[int] = 1
    drift = None

    def features(self):
        spread = [Feature(BRIGHTNESS, eye, f"{eye} eye", 0.0, 256.0, 32) for eye in EYES]
        return (*spread, Feature(GRADE, "patient", "patient", -0.5, len(GRADES) - 0.5, len(GRADES)))

    def describe(self, native):
        values = {
            f"brightness_{eye}": tuple(np.histogram(photo, 32, (0, 256))[0] / photo.size)
            for eye, photo in native.images.items()
        }
        return values if native.grade is None else {**values, "grade_patient": float(native.grade)}
