"""Whatever a site answers consists of plain values: FLARE's server unpacks no class of ours."""

import ast
from pathlib import Path

FEDERATION = Path(__file__).parents[3] / "custom/consilium/federation"
LOCAL = {"server/user_session.py"}
"""Files in which a dumped record never travels."""


def test_records_travel_as_json_has_them():
    found = [
        f"{path.relative_to(FEDERATION)}:{call.lineno}"
        for path in FEDERATION.rglob("*.py")
        if str(path.relative_to(FEDERATION)) not in LOCAL
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "model_dump"
        and not any(one.arg == "mode" for one in call.keywords)
    ]
    assert found == []
