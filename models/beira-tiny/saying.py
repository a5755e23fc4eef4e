"""Conversations in text alone: greetings, capitals, sums, repeating, spelling, recalling, and saying "I don't know"."""

from __future__ import annotations

import random
import string
from collections.abc import Iterable

from chats import Chat
from lexicon import (
    CAPITALS,
    CITIES,
    CITIES_HELD_OUT,
    COMMON,
    EUROPEAN,
    GREETINGS,
    NAMES,
    NAMES_HELD_OUT,
    ODD_HELD_OUT,
    ODD_QUESTIONS,
    THANKS,
    UNKNOWN,
    WORDS,
    WORDS_HELD_OUT,
)  # fmt: skip
from meanings import any_word

Question = tuple[str, str, str]

CAPITAL = {
    "en": ("What is the capital of {c}?", "What's the capital of {c}?", "Capital of {c}?", "Name the capital of {c}.",
           "Which city is the capital of {c}?", "Tell me the capital of {c}."),
    "pt": ("Qual é a capital {c}?", "Qual a capital {c}?", "Diga a capital {c}.", "Que cidade é a capital {c}?"),
}  # fmt: skip
LIST_CAPITALS = {
    "en": ("Name the european capitals", "Name the European capitals.", "List the european capitals", "Name some european capitals",
           "What are the European capitals?", "List some European capitals."),
    "pt": ("Diga as capitais europeias", "Liste as capitais europeias.", "Quais são as capitais europeias?", "Cite algumas capitais europeias."),
}  # fmt: skip
SUM = {
    "en": ("What is {a} + {b}?", "{a} + {b} = ?", "How much is {a} plus {b}?", "{a} + {b}", "Calculate {a} + {b}.", "{a} plus {b}",
           "What is the sum of {a} and {b}?", "Please add {a} to {b}.", "Sum {a} and {b}.", "Add the numbers {a} and {b}.",
           "Can you add {a} and {b}?", "Add {a} and {b}."),
    "pt": ("Quanto é {a} + {b}?", "{a} + {b} = ?", "Quanto é {a} mais {b}?", "Some {a} e {b}.", "{a} mais {b}", "Qual é a soma de {a} e {b}?", "Calcule {a} + {b}."),
}
REPEAT = {
    "en": ("Repeat: {t}", "Repeat after me: {t}", "Say: {t}", "Repeat this: {t}", "Please say: {t}", "Echo: {t}", "Copy this: {t}",
           "Please repeat this: {t}", "Please repeat after me: {t}", "Can you repeat: {t}", "Please echo: {t}", "Repeat exactly: {t}", "Please repeat: {t}"),
    "pt": ("Repita: {t}", "Diga: {t}", "Repita isto: {t}", "Por favor, diga: {t}", "Copie: {t}", "Repita exatamente: {t}", "Por favor, repita isto: {t}",
           "Por favor, copie: {t}", "Por favor, repita: {t}"),
}
SPELL = {
    "en": ("Spell {t}", "Spell the word {t}.", "How do you spell {t}?", "Spell out {t}.", "How is {t} spelled?", "Spell: {t}",
           "Please spell {t}."),
    "pt": ("Soletre {t}", "Soletre a palavra {t}.", "Como se soletra {t}?", "Soletre: {t}", "Soletre {t}, por favor.",
           "Por favor, soletre a palavra {t}.", "Por favor, soletre isto: {t}", "Por favor, soletre: {t}",
           "Por favor, soletre o nome {t}.", "Pode soletrar {t}, por favor?", "Soletre {t} agora.",
           "Por favor, como se soletra {t}?", "Por favor, soletre {t}."),
}
FACTS = {
    "en": ("The {k} is {v}.", "What is the {k}?"),
    "pt": ("A resposta para {k} é {v}.", "Qual é a resposta para {k}?"),
}
_ECHO = {"en": "The {k} is {v}.", "pt": "A resposta para {k} é {v}."}
KEYS = ("code", "secret code", "number", "password", "key", "magic word", "answer")


ONSETS = "b c d f g h j k l m n p r s t v w z b c d f m n p r s t br ch cl cr dr fl gr pl pr qu sh st tr th sc sp".split()
VOWELS = "a e i o u a e i o u a e i o ai ea ou oo ei ão é á ia io".split()
CODAS = ("", "", "", "", *"n r l s t m nd rt ck x ng st p d m n r le er".split())


def syllables(rng: random.Random) -> str:
    """A word that might exist: what is copied must not be what is known."""
    made = "".join(rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(rng.choice((1, 2, 2, 2, 3))))
    return rng.choice("aeiou") + made if rng.random() < 0.12 else made


CROSSED = tuple(sorted({*WORDS, *COMMON, *(word.lower() for word in (*NAMES, *CITIES) if " " not in word)}))
"""What made-up words begin and end like."""
_KEPT_OUT = {*WORDS_HELD_OUT, *(word.lower() for word in (*NAMES_HELD_OUT, *CITIES_HELD_OUT))}


def crossed(rng: random.Random) -> str:
    """The beginning of one word, now and then a part of another, and the end of a third: any piece of a word may come behind any other."""
    while True:
        a, b, c = (rng.choice(CROSSED) for _ in range(3))
        i = rng.randrange(len(c))
        middle = c[i : i + rng.randint(1, 3)] if rng.random() < 0.3 else ""
        made = a[: rng.randint(1, len(a))] + middle + b[rng.randrange(len(b)) :]
        if 3 <= len(made) <= 9 and made not in _KEPT_OUT:
            return made


def word(rng: random.Random, held_out: bool) -> str:
    """A known word, or, more often in training, one that never was: letters, or syllables."""
    r = rng.random()
    if r < (0.3 if held_out else 0.2):
        return "".join(rng.choice(string.ascii_lowercase) for _ in range(rng.randint(3, 7)))
    if held_out:
        return rng.choice(WORDS_HELD_OUT)
    return syllables(rng) if r < 0.34 else crossed(rng) if r < 0.68 else rng.choice(COMMON) if r < 0.85 else rng.choice(WORDS)


def name(rng: random.Random, held_out: bool) -> str:
    if not held_out and (r := rng.random()) < 0.7:
        return (syllables if r < 0.25 else crossed)(rng).capitalize()
    return rng.choice(NAMES_HELD_OUT if held_out else NAMES)


def city(rng: random.Random, held_out: bool) -> str:
    """A city, or a made-up one: what is copied must not be what is known."""
    if not held_out and (r := rng.random()) < 0.7:
        made = (syllables(rng) + rng.choice(("", "", "n", "ville", "ton")) if r < 0.35 else crossed(rng)).capitalize()
        first = rng.choice(("New", "San", "Rio", *(make(rng).capitalize() for make in (syllables, syllables, crossed, crossed))))
        return f"{first} {made}" if rng.random() < 0.25 else made
    return rng.choice(CITIES_HELD_OUT if held_out else CITIES)


def code(rng: random.Random) -> str:
    """Letters and digits that nobody can guess."""
    r = rng.random()
    if r < 0.4:
        return "".join(rng.choice(string.digits) for _ in range(rng.randint(2, 6)))
    letters = string.ascii_uppercase if r < 0.7 else string.ascii_lowercase
    return "".join(rng.choice(letters + string.digits) for _ in range(rng.randint(3, 7)))


def digits(rng: random.Random) -> str:
    """What looks like a number and is a text."""
    return "".join(rng.choice(string.digits) for _ in range(rng.randint(1, 6)))


def phrase(rng: random.Random, held_out: bool) -> str:
    """Some words; in training the same one comes again more often than by chance, as copying goes astray there."""
    words: list[str] = []
    for _ in range(rng.randint(1, 5)):
        r = 1.0 if held_out or not words else rng.random()
        words.append(words[-1] if r < 0.1 else rng.choice(words) if r < 0.22 else word(rng, held_out))
    return " ".join(words)


def wording(rng: random.Random, rows: dict[str, tuple[str, ...]], language: str, held_out: bool) -> str:
    row = rows[language]
    return row[-1] if held_out and rng.random() < 0.5 else rng.choice(row[:-1])


def greet(rng: random.Random, language: str, held_out: bool) -> Question:
    said, answer = (GREETINGS if rng.random() < 0.7 else THANKS)[language]
    return rng.choice(said), answer, "greeting"


def capital(rng: random.Random, language: str, held_out: bool) -> Question:
    country = rng.choice(sorted(CAPITALS))
    english, country_pt, portuguese = CAPITALS[country]
    if language == "en":
        return wording(rng, CAPITAL, language, held_out).format(c=country), f"The capital of {country} is {english}.", "capital"
    return wording(rng, CAPITAL, language, held_out).format(c=country_pt), f"A capital {country_pt} é {portuguese}.", "capital"


def capitals(rng: random.Random, language: str, held_out: bool) -> Question:
    return wording(rng, LIST_CAPITALS, language, held_out), EUROPEAN[language], "capital"


def add(rng: random.Random, language: str, held_out: bool) -> Question:
    a, b = rng.randint(0, 10), rng.randint(0, 10)
    return wording(rng, SUM, language, held_out).format(a=a, b=b), f"{a} + {b} = {a + b}.", "sum"


def repeat(rng: random.Random, language: str, held_out: bool) -> Question:
    text = phrase(rng, held_out) if rng.random() < 0.7 else code(rng) + " " + phrase(rng, held_out)
    if rng.random() < 0.3:
        text = text[0].upper() + text[1:] + rng.choice(".!?")
    return wording(rng, REPEAT, language, held_out).format(t=text), text, "repeat"


def spell(rng: random.Random, language: str, held_out: bool) -> Question:
    text = word(rng, held_out)
    if not held_out and rng.random() < 0.3:  # letters that are doubled are the hardest
        i = rng.randrange(len(text))
        text = text[:i] + text[i] + text[i:]
    return wording(rng, SPELL, language, held_out).format(t=text), "-".join(text), "spell"


def unknown(rng: random.Random, language: str, held_out: bool) -> Question:
    if held_out:
        return rng.choice(ODD_HELD_OUT[language]), UNKNOWN[language], "unknown"
    asked = rng.choice(ODD_QUESTIONS[language])
    while "{" in asked:
        start = asked.index("{")
        kind = asked[start + 1]
        fill = {"w": word, "n": name, "c": city}.get(kind)
        value = fill(rng, False) if fill else str(rng.randint(1800, 2030))
        asked = asked[:start] + value + asked[start + 3 :]
    return asked, UNKNOWN[language], "unknown"


def recall(rng: random.Random, language: str, held_out: bool, n_words: int | None = None, depth: float | None = None) -> Question:
    """A needle in filler, at a share `depth` of it."""
    key, value = rng.choice(KEYS), code(rng)
    before = n_words if n_words is not None else rng.choice((0, 5, 20, 40))
    fact, asked = (t.format(k=key, v=value) for t in FACTS[language])
    filler = [sentence_of(rng, held_out) for _ in range(1 + before // 6)]
    place = rng.randint(0, len(filler)) if depth is None else round(depth * len(filler))
    filler.insert(place, fact)
    return " ".join(filler) + " " + asked, _ECHO[language].format(k=key, v=value), "needle"


def sentence_of(rng: random.Random, held_out: bool) -> str:
    """A sentence of filler; in training most of it are words whose meaning the aids ask for."""
    words = [any_word(rng) if not held_out and rng.random() < 0.6 else word(rng, held_out) for _ in range(rng.randint(4, 8))]
    return " ".join(words).capitalize() + "."


TASKS = ((greet, 0.5, 0.5), (capital, 1, 1), (capitals, 0.25, 0.6), (add, 1.3, 1.8), (repeat, 2, 2), (spell, 2, 3), (unknown, 1.6, 1.6), (recall, 0.9, 0.9))
"""How often each is asked in evaluation, and in training."""


OPENERS = {
    "en": ("Hi! ", "Hello. ", "Hey, I have a request. ", "Now this: ", "OK. ", "OK, ", "Now ", "And now ", "Then ", "Hi, ", "Well, ", "Next, "),
    "pt": ("Oi! ", "Olá. ", "Tenho um pedido. ", "Agora isto: ", "Certo. ", "Certo, ", "Agora ", "E agora ", "Então ", "Oi, ", "Bem, ", "Depois "),
}
"""What may stand before a request, which goes on in lower case behind a comma or a word."""


def opened(rng: random.Random, asked: str, language: str, kept: Iterable[str] = ()) -> str:
    """`asked` with something before it; its first word keeps its case if it is `I` or one of `kept`."""
    opener, first = rng.choice(OPENERS[language]), asked.split(maxsplit=1)[0].rstrip(".:,!?")
    goes_on = opener[-2] not in "!.:" and first != "I" and not first[1:2].isupper() and not any(first in value for value in kept)
    return opener + (asked[0].lower() + asked[1:] if goes_on else asked)


def question(rng: random.Random, language: str, held_out: bool) -> Question:
    task = rng.choices([t for t, *_ in TASKS], [evaluated if held_out else trained for _, evaluated, trained in TASKS])[0]
    asked, said, name = task(rng, language, held_out)
    if not held_out and name in ("repeat", "spell", "sum", "capital") and rng.random() < 0.2:
        asked = opened(rng, asked, language)
    return asked, said, name


def no_work(rng: random.Random, language: str) -> str:
    """A question that no tool would be for."""
    while True:
        asked, _, task = unknown(rng, language, False) if rng.random() < 0.5 else question(rng, language, False)
        if task != "needle":
            return asked


def converse(rng: random.Random, chat: Chat, turns: int, held_out: bool) -> None:
    for _ in range(turns):
        asked, said, task = question(rng, chat.language, held_out)
        chat.ask(asked)
        chat.answer(said, task)
