"""What is written of a patient: the grade and its probabilities, in the table alone."""

from consilium.tasks.prediction import CaseOutput
from toy_fundus.cases import GRADES


class GradePrediction:
    """A `Prediction`."""

    version = 1
    conventions = ()
    columns = ("grade", *(f"probability_{grade}" for grade in GRADES))

    def meaning(self, convention):
        return {"grade": "0 (none) to 4 (proliferative)"}

    def infer(self, network, inputs, settings, *, mirror):
        logits = network(inputs)
        return (logits + network(inputs.flip(-1))) / 2 if mirror else logits

    def write(self, probabilities, case, options):
        shares = {f"probability_{grade}": round(float(probabilities[grade]), 4) for grade in GRADES}
        return CaseOutput({"grade": int(probabilities.argmax()), **shares}, {})
