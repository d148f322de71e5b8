"""Whatever a site answers consists of plain values: FLARE's server unpacks no class of ours."""

import ast

from sources import PACKAGE, modules, nodes

FEDERATION = PACKAGE / "federation"
LOCAL = {"server/user_session.py"}
"""Files in which a dumped record never travels."""


def test_records_travel_as_json_has_them():
    found = [
        f"{path.relative_to(FEDERATION)}:{call.lineno}"
        for path in modules()
        if path.is_relative_to(FEDERATION)
        if str(path.relative_to(FEDERATION)) not in LOCAL
        for call in nodes(path)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "model_dump"
        and not any(one.arg == "mode" for one in call.keywords)
    ]
    assert found == []
