"""What the model card tells beside evaluation's table is asked of what it says it is asked of."""

from __future__ import annotations

import pytest

from tests.models.conftest import RECIPE

if not (RECIPE / "probe.py").is_file():
    pytest.skip("the recipe is not in this copy of the project", allow_module_level=True)

import probe
import scenes


def test_a_weathers_tool_requires_what_no_request_tells_and_its_call_gives_it() -> None:
    given = {"unit": "celsius", "units": "metric", "days": ["today"], "verbose": False}
    for name, one in probe.tools(8):
        (tool,), (call,) = one.chat.tools, one.wanted.calls
        parameters = tool["function"]["parameters"]
        assert parameters["required"] == list(parameters["properties"]) == list(call.arguments)
        assert call.arguments["location"] in one.chat.turns[0].text
        for key in name.removeprefix("weather, required: ").split(", "):
            assert call.arguments[key] == given[key]


def test_every_font_is_read_in_both_languages() -> None:
    asked = list(probe.fonts(2))
    assert {name for name, _ in asked} == {"PIL's own", *scenes.FONTS, *scenes.FONTS_HELD_OUT}
    assert {one.chat.language for _, one in asked} == {"en", "pt"}
    assert all(one.chat.scenes[0].text in one.wanted.text for _, one in asked)


def test_plain_drawings_are_of_each_kind_and_colour() -> None:
    asked = [one for _, one in probe.plain(0)]
    assert len(asked) == 6 * 8 * 2 * 2 * len(probe.ASKERS)
    for one in asked:
        (shape,) = one.chat.scenes[0].shapes
        x, y = (round(v) for v in shape.centre)
        assert one.chat.scenes[0].picture.getpixel((x, y)) == probe.SHADES[shape.colour], shape
