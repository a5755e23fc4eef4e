"""A conversation to tokens, and what the aids ask about each of its answers."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from chats import Call, Chat, parts
from encoded import LANGUAGES, MOST_SHAPES, Encoded, Pieces, task_of
from made import is_told
from matching import note_more, note_request, note_slots, note_tools, note_words, point_call, point_choice, point_extracted
from naming import note_names, note_numbers, point_verdict, stated
from network import DECADES
from pointing import note_letters, note_pictures, point_images, point_list, point_shapes, point_told, point_words
from runtime.engine.request import Image, Markup, Text
from scenes import padded_cells
from tokens import MARKUP, markup_ids


class Encoder:
    """Chats to ids, and what their aids ask."""

    def __init__(self, file: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(file))
        self.size = self._tokenizer.get_vocab_size(with_added_tokens=False) + len(MARKUP)
        self.markup = markup_ids(self.size)

    def text(self, text: str) -> Pieces:
        made = self._tokenizer.encode(text, add_special_tokens=False)
        return list(zip(made.ids, made.offsets, strict=True))

    def answer(self, text: str, spelled: set[str]) -> Pieces:
        """What was read is written letter by letter, however the tokenizer would join it."""
        pieces: Pieces = []
        at = 0
        for piece in re.split("(" + "|".join(map(re.escape, spelled)) + ")", text) if spelled else [text]:
            if piece in spelled:
                pieces += [(self._tokenizer.token_to_id(c), (at + i, at + i + 1)) for i, c in enumerate(piece)]
            else:
                pieces += [(token, (at + a, at + b)) for token, (a, b) in self.text(piece)]
            at += len(piece)
        return pieces

    def chat(self, chat: Chat, *, has_answers: bool = True) -> Encoded:
        """What opens the next turn is cut off. Without answers, each is left out behind what opens it, where it is chosen."""
        made = Encoded()
        answers = iter([(asked, turn) for asked, turn in itertools.pairwise(chat.turns) if turn.role == "assistant"])
        spelled = {s.text for s in chat.scenes if s.text}
        began, before, calls, n_calls = 0, -1, 0, 0
        for part in parts(chat)[:-2]:
            if began and not has_answers and part != Markup("<|im_end|>"):
                continue
            if isinstance(part, Image):
                self._show(made, *padded_cells(part.width, part.height))
            elif isinstance(part, Markup):
                made.ids.append(self.markup[part.name])
                made.weights.append(1.0 if began and has_answers else 0.0)
                if began and part.name == "</tool_call>":
                    note_more(made, calls < n_calls)
                if part.name == "<|im_end|>":
                    if began and has_answers:
                        _weigh(made, began)
                    began = 0
            else:
                assert isinstance(part, Text)
                if before == self.markup["<|im_start|>"] and part.text.startswith("assistant\n"):
                    made.add("assistant\n", self.text("assistant\n"), 0.0)
                    began = len(made.ids)
                    text, (asked, turn) = part.text.removeprefix("assistant\n"), next(answers)
                    if chat.tools:
                        if not made.noted:
                            note_tools(made, chat)
                        if asked.role == "user":
                            note_request(made, chat, asked, turn)
                        point_choice(made, turn)
                    if asked.role == "user":
                        made.note("language", [began - 1], LANGUAGES.index(chat.language))
                    calls, n_calls = 0, len(turn.calls)
                    if not has_answers:
                        continue
                    made.add(text, self.answer(text, spelled), 1.0)
                    self._ask(made, chat, turn.task)
                else:
                    made.add(part.text, self.answer(part.text, spelled) if began else self.text(part.text), float(began > 0))
                    if began and before == self.markup["<tool_call>"]:
                        point_call(made, calls)
                        calls += 1
            before = made.ids[-1]
        note_pictures(made)
        return made

    def alone(self, said: str | Mapping[str, Any], sorts: Sequence[int], calls: Sequence[Call] = ()) -> Encoded:
        """A question that waits for its answer, or a tool's name and description; nothing of it is learned to be said."""
        made = Encoded()
        if isinstance(said, str):
            made.ids.append(self.markup["<|im_start|>"])
            text = "user\n" + said
            made.add(text, self.text(text), 0.0)
            asked = [len(made.ids) - 1]
            made.ids += [self.markup["<|im_end|>"], *self._ids("\n"), self.markup["<|im_start|>"], *self._ids("assistant\n")]
            asked.append(len(made.ids) - 1)
        else:
            text = ">\n" + json.dumps(said, ensure_ascii=False).split('parameters"')[0]
            made.add(text, self.text(text), 0.0)
            asked = [len(made.ids) - 1]
        note_words(made, made.texts[0])
        note_slots(made, made.texts[0], calls)
        note_letters(made, made.texts[0])
        for sort in sorts:
            if is_told(sort, text):
                made.note("sort", asked, sort)
        made.weights = [0.0] * len(made.ids)
        return made

    def shown(self, columns: int, rows: int) -> Encoded:
        """A picture as a question begins with it."""
        made = Encoded()
        made.ids += [self.markup["<|im_start|>"], *self._ids("user\n")]
        self._show(made, columns, rows)
        made.weights = [0.0] * len(made.ids)
        return made

    def _ids(self, text: str) -> list[int]:
        return [token for token, _ in self.text(text)]

    def _show(self, made: Encoded, columns: int, rows: int) -> None:
        made.pictures.append((len(made.ids) + 1, columns, rows))
        shown = [self.markup["<|vision_start|>"], *[self.markup["<|image_pad|>"]] * (columns * rows), self.markup["<|vision_end|>"]]
        made.ids += shown
        made.weights += [0.0] * len(shown)

    def _ask(self, made: Encoded, chat: Chat, task: str) -> None:
        """Note what the aids ask about the answer that was added last; a place is of the token before."""
        text, pieces = made.texts[-1]
        if not chat.tools and (kind := task_of(task, text)) is not None:
            made.note("task", [pieces[0][0] - 1], kind)
        if task.endswith("ground"):
            for number in re.finditer(r"\d+(?=[,\]])", text):
                value = min(DECADES - 1, int(number[0]) // 10)
                made.note("measured", made.before(number.span()), value)
        if made.pictures and not chat.tools:
            point_shapes(made, chat, task)
            point_list(made, chat)
            point_verdict(made, chat.language)
            note_names(made, chat.language)
            note_numbers(made, chat.language)
        if task.startswith("told"):
            point_told(made)
            note_numbers(made, chat.language)
            point_verdict(made, chat.language)
        if task in ("repeat", "spell", "needle", "no call"):
            point_words(made)
        if task == "extract":
            point_extracted(made)
        if task in ("repeat", "spell") and not chat.tools:
            note_letters(made, made.question)
        if task == "needle":
            made.decide((text.rindex(" "), len(text)), 4.0)
        if task == "needle" and not chat.tools:
            note_words(made, made.question)
        if task.endswith(("colour", "kind")):
            told = stated(text)
            made.decide((told.rindex(" "), len(told)), 4.0)
        if total := re.fullmatch(r"\d+ \+ \d+ = (\d+)\.", text):
            made.decide(total.span(1), 3.0)
        if (digit := re.fullmatch(r'\{"count": (\d)\}', text)) and made.pictures:
            made.decide(digit.span(1), 4.0)
            made.note("nth of all", made.before(digit.span(1)), min(int(digit[1]), MOST_SHAPES) - 1)
        if task == "two images":
            point_images(made, chat.language)
            for word in re.finditer(r"\b(first|second|primeira|segunda)\b", text):
                made.decide(word.span(), 3.0)


def _weigh(made: Encoded, began: int) -> None:
    """A short answer's tokens decide as much as a long one's; those on which its truth hangs more than the others."""
    n = len(made.weights) - began
    made.weights[began:] = [min(1.5, max(1.0, 14 / n)) * made.factors.get(began + i, 1.0) for i in range(n)]
