"""A mask over calls: text is free, a call is held to its form, and what nobody insisted on fails nobody's request."""

from __future__ import annotations

from typing import Any, cast

import pytest
from llguidance import LLMatcher

from runtime.ai.structured import CallMask

OPENING, INSIDE, CLOSING = 1, 2, 3


class Form:
    """In place of llguidance's matcher: allows INSIDE and CLOSING; fails where it is told to."""

    def __init__(self, *, fails_at: str = "", taken: list[int] | None = None) -> None:
        self.fails_at, self.taken = fails_at, [] if taken is None else taken

    def deep_copy(self) -> Form:
        return Form(fails_at=self.fails_at, taken=self.taken)

    def compute_bitmask(self) -> bytes:
        return bytes([1 << INSIDE | 1 << CLOSING, 0, 0, 0])

    def consume_token(self, token: int) -> bool:
        self.taken.append(token)
        return not (self.fails_at == "consume" and token == INSIDE)

    def is_error(self) -> bool:
        return self.fails_at == "fill"

    def get_error(self) -> str:
        return "too many items"


def mask_of(form: Form) -> CallMask:
    return CallMask(cast(LLMatcher, cast(Any, form)), OPENING, CLOSING)


def filled(mask: CallMask) -> int:
    bits = bytearray(1)
    mask.fill(memoryview(bits))
    return bits[0]


def test_only_a_call_is_held_to_its_form_and_each_anew() -> None:
    form = Form()
    mask = mask_of(form)
    for _ in range(2):
        mask.accept(INSIDE)  # text
        assert mask.is_open
        mask.accept(OPENING)
        assert not mask.is_open
        assert filled(mask) == 1 << INSIDE | 1 << CLOSING
        mask.accept(CLOSING)
    assert mask.is_open
    assert form.taken == [OPENING, CLOSING] * 2


@pytest.mark.parametrize("fails_at", ["fill", "consume"])
def test_a_form_that_fails_on_the_way_frees_the_rest_of_the_call(
    fails_at: str, caplog: pytest.LogCaptureFixture
) -> None:
    mask = mask_of(Form(fails_at=fails_at))
    mask.accept(OPENING)
    if fails_at == "fill":
        assert filled(mask) == 0xFF
    mask.accept(INSIDE)
    assert mask.is_open
    assert "too many items" in caplog.text
