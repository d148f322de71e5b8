"""Codes of problems: one value each, tables in the documentation, no organ among the generic ones."""

import pickle
import re
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from consilium.data.codes import DataCode, find_code
from consilium.data.problem_code import ProblemCode, Severity, known_codes
from consilium.tasks.brain_tumor.codes import BrainCode
from consilium.tasks.segmentation.codes import VolumeCode

REPOSITORY = Path(__file__).parents[3]
SECTIONS = {"Codes of any data": DataCode, "Codes of volumes": VolumeCode, "Codes of brain tumors": BrainCode}
ORGANS = re.compile(
    r"\b(brain|head|skull|scalp|tumor|glioma|csf|mri?|flair|t1|t1ce|t2|lung|chest|retina)s?\b", re.I
)


class Record(BaseModel):
    code: ProblemCode | None = None


def table(codes):
    for severity in Severity:
        for code in codes:
            if code.severity is severity:
                yield f"| `{code.value}` | {severity.value} | {code.summary} | {code.remedy} |"


@pytest.mark.parametrize("title", SECTIONS)
def test_the_documentation_lists_every_code(title):
    page = (REPOSITORY / "docs/findings.md").read_text(encoding="utf-8")
    section = page.partition(f"## {title}\n")[2].partition("\n#")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert rows == list(table(SECTIONS[title]))


def test_no_two_codes_share_a_value_and_each_is_its_name():
    values = [code.value for code in known_codes()]
    assert len(values) == len(set(values))
    assert {code.value for codes in SECTIONS.values() for code in codes} <= set(values)
    assert all(code.value == code.name.lower() for code in known_codes())


def test_every_problem_has_a_remedy_in_one_sentence():
    for code in known_codes():
        assert code.remedy.endswith(".")
        assert re.search(r"[^.]$", code.summary)


@pytest.mark.parametrize("code", [*DataCode, *VolumeCode], ids=str)
def test_a_code_of_any_data_or_volume_speaks_of_no_organ(code):
    assert not ORGANS.search(f"{code.value.replace('_', ' ')}. {code.summary}. {code.remedy}")


@pytest.mark.parametrize("code", [DataCode.TRUNCATED, VolumeCode.EMPTY_LABEL, BrainCode.NOT_SKULL_STRIPPED])
def test_a_code_is_itself_again_in_another_process_and_out_of_json(code):
    assert pickle.loads(pickle.dumps(code)) is code
    assert Record.model_validate_json(Record(code=code).model_dump_json()).code is code
    assert Record(code=code.value).code is code
    assert find_code(code.value) is code


def test_a_code_that_is_not_known_is_none():
    assert find_code("torn_film") is None
    for wrong in ("torn_film", 3, ["truncated"], {}):
        with pytest.raises(ValidationError):
            Record(code=wrong)


def test_a_task_adds_codes_of_its_own():
    from consilium.data.problem_code import warning

    class FilmCode(ProblemCode):
        SCRATCHED_FILM = warning("scratched_film", "scratched film", "Scan the film again.")

    assert find_code("scratched_film") is FilmCode.SCRATCHED_FILM
    assert FilmCode.SCRATCHED_FILM.acceptable
    assert Record(code="scratched_film").model_dump(mode="json") == {"code": "scratched_film"}


def test_the_generic_checks_speak_of_no_organ():
    data = REPOSITORY / "custom/consilium/data"
    for path in [*(data / "checks").glob("*.py"), data / "codes.py"]:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            assert not ORGANS.search(line), f"{path}:{number}: {line}"
