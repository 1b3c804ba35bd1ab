"""
The format `picture-size` for schemathesis: sizes that keep the whole rule of the page.

JSON Schema cannot say that width times height has a bound. schemathesis loads this
file as its hooks.
"""

import schemathesis
from hypothesis import strategies as st


@st.composite
def sizes(draw):
    width = 16 * draw(st.integers(512 // 16, 2048 // 16))
    most = min(2048, 2**21 // width)
    return f"{width}x{16 * draw(st.integers(512 // 16, most // 16))}"


schemathesis.openapi.format("picture-size", sizes())
