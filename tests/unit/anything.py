"""Everything that another site could send: what JSON and NumPy know, and what breaks those who believe it."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

NASTY_TEXTS = (
    "\x1b[2J\x1b[31mSUCCESS\x1b[0m",
    "ok\r\njob 64e0768a: success",
    "\u202egnp.exe\u2066\u2069",
    "a\u2028b\u2029c\x85d",
    "\x9b31m\x00\x07\x08\x7f",
    "[bold red]x[/] :smile: [link=file:///etc/passwd]y[/link]",
    "e" + "\u0301" * 500,
    "\ud800\udfff",
    "<script>alert(1)</script>{{ 7*7 }}{% raw %}",
    "../../../etc/cron.d/x",
    "x" * 5000,
    "x" + " " * 5000 + "forged",
)
NASTY_NUMBERS = (
    float("nan"), float("inf"), -float("inf"), 1e308, -1e308, 5e-324, 10**15, 10**400, -(10**400), 2**63,
    2**64, -1, -0.0, True, False, np.float32("nan"), np.int64(-5), np.float64(1e300), np.bool_(True), 1 + 1j,
)  # fmt: skip


def one_of(values):
    """Choose a value by its place: hypothesis writes out what it may choose from, which is long here."""
    return st.integers(0, len(values) - 1).map(values.__getitem__)


TEXTS = st.text(max_size=20) | one_of(NASTY_TEXTS)
NUMBERS = st.integers() | st.floats() | one_of(NASTY_NUMBERS)
ARRAYS = hnp.arrays(
    st.sampled_from(["f4", "f8", "f2", "i8", "u1", "?", "c16", "O", "U3"]),
    hnp.array_shapes(min_dims=0, min_side=0, max_dims=3, max_side=3),
    fill=st.nothing(),
    elements=None,
) | one_of([np.zeros(()), np.full(2, np.nan), np.array([1.0, np.inf]), np.array(["x"], dtype=object)])
SCALARS = st.none() | NUMBERS | TEXTS | st.binary(max_size=20)
ANYTHING = st.recursive(
    SCALARS | ARRAYS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(TEXTS | st.integers() | st.none(), inner, max_size=4)
    ),
    max_leaves=8,
) | one_of(
    [
        {f"x{index}": index for index in range(500)},
        list(range(500)),
        [[[[[[[[[[[[]]]]]]]]]]]],
        {1, 2},
        object(),
    ]
)


def shows_no_control(text: str) -> bool:
    """Whether a terminal would show a text and do nothing else; only ends of lines are allowed."""
    return all(one == "\n" or one.isprintable() for one in text)
