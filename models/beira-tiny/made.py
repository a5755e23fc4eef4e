"""Skills that were made up: what is done to what, told by many words in both languages, and often by ones that never were.

Words of the held-out skills are among these (a package, to track, to rent), the skills themselves and how they are asked for
are not.
"""

from __future__ import annotations

import random

import saying
from meanings import DEEDS, INSTRUMENTS, NOUNS, VERBS, said
from skills import SKILLS, WORDINGS_HELD_OUT, Maker, Parameter, Skill, code, mail, number, time

NO_WORK = len(SKILLS) + len(VERBS) + len(NOUNS)
"""The sort of what no tool would be for."""
SORTS = NO_WORK + 1
KEYS = (
    "name", "id", "text", "city", "date", "value", "code", "number", "title", "amount", "type", "key", "user", "place", "target", "item",
    "label", "size", "kind", "path", "file", "level", "mode", "color", "day", "from", "to", "unit", "label", "note", "person", "country",
)  # fmt: skip
_MAKERS: tuple[tuple[Maker, str], ...] = (
    (saying.word, "string"), (saying.word, "string"), (saying.city, "string"), (saying.name, "string"), (code, "string"), (code, "string"),
    (saying.phrase, "string"), (saying.phrase, "string"), (saying.phrase, "string"), (number(1, 999), "integer"), (number(1, 99), "number"), (mail, "string"), (time, "string"),
)  # fmt: skip
_JOINTS = {
    "en": ("for", "in", "with", "at", "to", "from", "by", "on", "as", "of", "called", "with the name"),
    "pt": ("para", "em", "com", "de", "por", "até", "às", "como", "chamado", "chamada", "de nome"),
}
_LED = {
    "en": ("{l} needs a {n}{x}.", "{l}: {v} the {n}{x}.", "{l} wants the {n}{x}.", "Does {l} have a {n}{x}?", "Is {l} in the {n}{x}?", "{l} is for the {n}{x}, {v} it."),
    "pt": ("{l} precisa de {um} {n}{x}.", "{l}: {v} {a} {n}{x}.", "{l} tem {um} {n}{x}?", "{l} quer {um} {n}{x}.", "{l} está n{a} {n}{x}?", "{l} fica com {a} {n}{x}?"),
}  # fmt: skip
"""With the first value before all else."""
_WITH_BOTH = {
    "en": ("{v} the {n}{x}.", "{v} a {n}{x}.", "{v} my {n}{x}.", "{v} {n}{x}.", "Please {v} the {n}{x}.", "Can you {v} the {n}{x}?", "I want to {v} a {n}{x}.",
           "I need to {v} the {n}{x} now.", "Could you {v} this {n}{x}, please?", "{v} all about the {n}{x}."),
    "pt": ("{v} {a} {n}{x}.", "{v} {um} {n}{x}.", "{v} {n}{x}.", "Por favor, {v} {a} {n}{x}.", "{v} {a} {n}{x} agora.", "{v} meu {n}{x}.", "{v} {a} {n}{x}, por favor."),
}  # fmt: skip
_WITH_NOUN = {
    "en": ("Where is the {n}{x}?", "Where is {n}{x}?", "What is the {n}{x}?", "How is the {n}{x}?", "Is the {n}{x} ready?", "I need a {n}{x}.", "I want a {n}{x}.", "{n}{x}, please.",
           "What about the {n}{x}?", "Is there a {n}{x}?", "Do we have a {n}{x}?", "I would like a {n}{x}.", "Which {n} is it{x}?", "The {n}{x}!"),
    "pt": ("Onde está {a} {n}{x}?", "Qual é {a} {n}{x}?", "Como está {a} {n}{x}?", "{a} {n}{x} está pronto?", "Preciso de {um} {n}{x}.", "Quero {um} {n}{x}.", "{n}{x}, por favor.",
           "E {a} {n}{x}?", "Há {um} {n}{x}?", "Temos {um} {n}{x}?", "Gostaria de {um} {n}{x}.", "Onde fica {a} {n}{x}?"),
}  # fmt: skip
_WITH_VERB = {
    "en": ("{v}{x}.", "{v}{x} now.", "Please {v}{x}.", "Can you {v}{x}?", "I want to {v}{x}.", "Could you {v}{x} for me?", "{v}{x}, please."),
    "pt": ("{v}{x}.", "{v}{x} agora.", "Por favor, {v}{x}.", "{v}{x}, por favor.", "{v} logo{x}."),
}  # fmt: skip
_WITH_DEED = {
    "en": ("I need the {d} of {n}{x}.", "{d} of {n}{x}, please.", "Give me the {d} of the {n}{x}.", "What is the {d} of {n}{x}?", "I want a {d} of the {n}{x}.",
           "Do the {d} of {n}{x}.", "Find the {d} of the {n}{x}.", "Show the {d} of {n}{x}.", "Check the {d} of the {n}{x}.", "Get me the {d} of {n}{x}."),
    "pt": ("Preciso d{a} {d} de {n}{x}.", "{d} de {n}{x}, por favor.", "Quero {um} {d} de {n}{x}.", "Qual é {a} {d} de {n}{x}?", "Faça {a} {d} de {n}{x}.", "Dê {a} {d} de {n}{x}.",
           "Mostre {a} {d} de {n}{x}.", "Busque {a} {d} de {n}{x}.", "Veja {a} {d} de {n}{x}.", "Traga {a} {d} de {n}{x}."),
}  # fmt: skip
"""With the noun for what is done."""


def sorts_of(skill: Skill) -> tuple[int, ...]:
    """Which kinds of work a skill does, each below SORTS: one for each of the table's, a verb's and a noun's of those made up;
    none of those held out."""
    return skill.sorts or ((SKILLS.index(skill),) if skill in SKILLS else ())


def is_told(sort: int, text: str) -> bool:
    """Whether a request says that it asks for work of this sort: of a made-up skill's, it may leave out the verb or the noun."""
    low, at = text.lower(), sort - len(SKILLS)
    if at < 0 or sort == NO_WORK:
        return True
    return any(w in low for w in said(at))


def made_up(rng: random.Random, like: Skill | None = None) -> Skill:
    """A skill that no other example has: what it is called and asked by has to be read. It does what `like` does, if that is
    given and names what it does it to, to something else."""
    which = VERBS.index(next(v for v in VERBS if v[0][0] == like.verb)) if like and like.verb else rng.randrange(len(VERBS))
    english, portuguese = VERBS[which]
    sorts = [len(SKILLS) + which]
    if rng.random() < 0.55:
        thing = rng.randrange(len(NOUNS))
        noun, article, noun_pt = NOUNS[thing]
        sorts.append(len(SKILLS) + len(VERBS) + thing)
    else:
        noun, article = saying.word(rng, False), rng.choice("oa")
        noun_pt = noun
    verb = english[0] if rng.random() < 0.7 else rng.choice(english)
    joined, r = verb.replace(" ", "_"), rng.random()
    if r < 0.4:
        names = (f"{joined}_{noun}", f"{noun}_{joined}")
        if (instrument := INSTRUMENTS.get(english[0])) and r < 0.12:
            names = (instrument, f"{noun}_{instrument}")
    elif r < 0.6:
        names = (joined + noun.capitalize(), noun)
    else:
        names = (saying.word(rng, False), f"{saying.word(rng, False)}_{saying.word(rng, False)}")
    parameters = []
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3))):
        make, type_ = rng.choice(_MAKERS)
        parameters.append(Parameter((rng.choice(KEYS), saying.word(rng, False)), make, f"The {saying.word(rng, False)}", type_))
    is_short = like is None and rng.random() < 0.2
    told = f"{verb.capitalize()} {rng.choice(('a', 'the', 'some'))} {noun}"
    about = (told, told + rng.choice((" for a user", " by its name", " in the system", " now", " of the house")))
    words = {"en": english, "pt": portuguese}
    deed = DEEDS.get(english[0])
    rows = {language: _rows(rng, language, words[language], noun if language == "en" else noun_pt, article, len(parameters), is_short, deed) for language in words}
    # where the requests do not say what it is done to, nothing else may be like it
    return Skill(names, about, tuple(parameters), rows["en"], rows["pt"], is_odd=r >= 0.6, sorts=tuple(sorts), verb="" if is_short else english[0])


def _rows(
    rng: random.Random, language: str, verbs: tuple[str, ...], noun: str, article: str, count: int, is_short: bool, deed: tuple[str, str, str] | None
) -> tuple[str, ...]:
    """Some ways to ask for it; as for every skill, the last one stands for those that training never has."""
    made: list[str] = []
    while len(made) < 4:
        joints = [rng.choice(("", "", " " + rng.choice(_JOINTS[language]))), *(" " + rng.choice(_JOINTS[language]) for _ in range(count))]
        values = "".join(f"{joint} {{{i}}}" for i, joint in enumerate(joints[:count]))
        r = rng.random()
        forms = (_WITH_VERB if is_short else _WITH_BOTH if r < 0.6 else _WITH_NOUN)[language]
        row, its_article = rng.choice(forms), article
        if deed and rng.random() < 0.25:
            row, its_article = rng.choice(_WITH_DEED[language]).replace("{d}", deed[0] if language == "en" else deed[2]), deed[1]
            if is_short:
                row, values = row.replace("{n}{x}", "{x}"), "".join(f"{joint} {{{i}}}" for i, joint in enumerate(["", *joints[1:count]])).strip()
        elif not is_short and rng.random() < 0.12:
            row, values = rng.choice(_LED[language]).replace("{l}", "{0}"), "".join(f"{joint} {{{i}}}" for i, joint in enumerate(joints[1:count], 1))
        row = row.replace("{x}", values).replace("{v}", rng.choice(verbs)).replace("{n}", noun)
        row = row.replace("{a}", its_article).replace("{um}", {"o": "um", "a": "uma"}[its_article])
        if row.lower() not in WORDINGS_HELD_OUT:
            made.append(row[0].upper() + row[1:])
    return (*made, made[0])
