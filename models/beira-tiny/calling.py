"""Conversations with tools: many definitions, arguments copied from the user's words, results used, and no call where none fits."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import saying
from chats import Call, Chat
from lexicon import UNKNOWN

Maker = Callable[[random.Random, bool], Any]


def _number(low: int, high: int) -> Maker:
    return lambda rng, held_out: rng.randint(low, high)


def _one(*values: str) -> Maker:
    return lambda rng, held_out: rng.choice(values)


def _code(rng: random.Random, held_out: bool) -> str:
    return saying.code(rng)


def _symbol(rng: random.Random, held_out: bool) -> str:
    return "".join(rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(rng.randint(2, 4)))


def _mail(rng: random.Random, held_out: bool) -> str:
    return f"{saying.name(rng, held_out).lower()}@{saying.word(rng, held_out)}.com"


def _time(rng: random.Random, held_out: bool) -> str:
    return f"{rng.randint(1, 12)}:{rng.choice(('00', '15', '30', '45'))}"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument: the names it may have, and how its values are made."""

    names: tuple[str, ...]
    make: Maker
    about: str
    type: str = "string"


@dataclass(frozen=True, slots=True)
class Skill:
    """Something that a tool can do: how it may be defined and how people ask for it. The last wording is held out."""

    names: tuple[str, ...]
    about: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    english: tuple[str, ...]
    portuguese: tuple[str, ...]


P = Parameter
_PLACE = P(("location", "city", "place", "where"), saying.city, "The city and state")
SKILLS = (
    Skill(("get_weather", "weather", "get_current_weather", "forecast"), ("Get the current weather for a location", "Weather in a city"), (_PLACE,),
          ("What is the weather in {0}?", "How is the weather in {0}?", "Weather in {0}?", "What's the weather like in {0}?", "Tell me the weather in {0}."),
          ("Como está o tempo em {0}?", "Qual é o clima em {0}?", "Como está o clima em {0}?", "Diga o tempo em {0}.")),
    Skill(("search", "web_search", "search_web", "find"), ("Search the web", "Find pages about something"),
          (P(("query", "q", "text"), saying.phrase, "What to search for"),),
          ("Search for {0}.", "Search the web for {0}.", "Look up {0}.", "Find pages about {0}."),
          ("Pesquise {0}.", "Busque {0} na web.", "Procure {0}.")),
    Skill(("set_timer", "start_timer", "timer"), ("Start a timer",), (P(("minutes", "duration"), _number(1, 90), "Minutes", "integer"),),
          ("Set a timer for {0} minutes.", "Start a timer of {0} minutes.", "Timer for {0} minutes.", "I need a timer for {0} minutes."),
          ("Crie um timer de {0} minutos.", "Timer de {0} minutos.", "Preciso de um timer de {0} minutos.")),
    Skill(("send_email", "email", "write_email"), ("Send an email",),
          (P(("to", "recipient", "address"), _mail, "Who gets it"), P(("subject", "title", "topic"), saying.phrase, "The subject")),
          ("Send an email to {0} about {1}.", "Write to {0} about {1}.", "Email {0} about {1}."),
          ("Envie um email para {0} sobre {1}.", "Escreva para {0} sobre {1}.", "Mande um email a {0} sobre {1}.")),
    Skill(("convert_currency", "exchange", "convert"), ("Convert an amount of money",),
          (P(("amount", "value"), _number(1, 999), "How much", "number"), P(("from", "source"), _one("USD", "EUR", "BRL", "GBP", "JPY"), "Currency"),
           P(("to", "target"), _one("CHF", "CAD", "AUD", "MXN", "CNY"), "Currency")),
          ("Convert {0} {1} to {2}.", "How much is {0} {1} in {2}?", "Exchange {0} {1} for {2}."),
          ("Converta {0} {1} para {2}.", "Quanto é {0} {1} em {2}?", "Troque {0} {1} por {2}.")),
    Skill(("get_stock_price", "stock_price", "quote"), ("Get the price of a stock",), (P(("symbol", "ticker"), _symbol, "The symbol"),),
          ("What is the stock price of {0}?", "Price of {0} stock?", "Get the quote of {0}.", "How is {0} stock doing?"),
          ("Qual é o preço da ação {0}?", "Cotação de {0}?", "Como está a ação {0}?")),
    Skill(("play_music", "play_song", "play"), ("Play a song",), (P(("song", "title", "track"), saying.phrase, "The song"),),
          ("Play {0}.", "Play the song {0}.", "I want to hear {0}."), ("Toque {0}.", "Toque a música {0}.", "Quero ouvir {0}.")),
    Skill(("book_flight", "find_flight", "search_flights"), ("Book a flight",),
          (P(("origin", "from", "departure"), saying.city, "Where from"), P(("destination", "to", "arrival"), saying.city, "Where to")),
          ("Book a flight from {0} to {1}.", "Find a flight from {0} to {1}.", "I want to fly from {0} to {1}."),
          ("Reserve um voo de {0} para {1}.", "Busque um voo de {0} para {1}.", "Quero voar de {0} para {1}.")),
    Skill(("add_todo", "add_task", "create_task", "remember"), ("Add a task to the list",), (P(("task", "item", "text"), saying.phrase, "The task"),),
          ("Add {0} to my list.", "Remember {0}.", "Add the task {0}.", "Put {0} on my list."),
          ("Adicione {0} à minha lista.", "Lembre {0}.", "Ponha {0} na minha lista.")),
    Skill(("lookup_user", "get_user", "find_user"), ("Find a user by id",), (P(("id", "user_id", "user"), _code, "The id"),),
          ("Find the user {0}.", "Look up user {0}.", "Who is user {0}?", "Show me user {0}."),
          ("Encontre o usuário {0}.", "Quem é o usuário {0}?", "Mostre o usuário {0}.")),
    Skill(("get_time", "current_time", "clock"), ("Get the time in a city",), (P(("city", "location", "zone"), saying.city, "The city"),),
          ("What time is it in {0}?", "Time in {0}?", "Tell me the time in {0}."),
          ("Que horas são em {0}?", "Hora em {0}?", "Diga a hora em {0}.")),
    Skill(("send_message", "message", "text"), ("Send a message to a person",),
          (P(("to", "name", "person"), saying.name, "Who"), P(("text", "message", "body"), saying.phrase, "What to say")),
          ("Send {0} the message {1}.", "Tell {0}: {1}", "Message {0}: {1}", "Write {0} a message: {1}"),
          ("Envie a {0} a mensagem {1}.", "Diga a {0}: {1}", "Mensagem para {0}: {1}")),
    Skill(("order_food", "order", "buy"), ("Order something",),
          (P(("quantity", "count"), _number(1, 20), "How many", "integer"), P(("item", "product"), saying.word, "What")),
          ("Order {0} {1}.", "Buy {0} {1}.", "I would like {0} {1}."), ("Peça {0} {1}.", "Compre {0} {1}.", "Quero {0} {1}.")),
    Skill(("set_light", "light", "change_light"), ("Change a light",),
          (P(("room", "where"), _one("kitchen", "bedroom", "office", "hall", "garage"), "The room"),
           P(("color", "colour"), _one("red", "green", "blue", "white", "yellow"), "The color")),
          ("Make the light in the {0} {1}.", "Set the {0} light to {1}.", "Turn the {0} light {1}."),
          ("Mude a luz de {0} para {1}.", "Luz de {0}: {1}.", "Ponha a luz de {0} em {1}.")),
    Skill(("set_alarm", "alarm", "wake_me"), ("Set an alarm",), (P(("time", "at"), _time, "The time"),),
          ("Wake me at {0}.", "Set an alarm for {0}.", "Alarm at {0}."), ("Acorde-me às {0}.", "Alarme às {0}.", "Crie um alarme para {0}.")),
)  # fmt: skip
SKILLS_HELD_OUT = (
    Skill(("track_package", "find_package"), ("Track a package by its number",), (P(("number", "tracking"), _code, "The number"),),
          ("Track the package {0}.", "Where is package {0}?"), ("Rastreie o pacote {0}.", "Onde está o pacote {0}?")),
    Skill(("rent_car", "car_rental"), ("Rent a car in a city",),
          (P(("city", "pickup"), saying.city, "Where"), P(("days", "period"), _number(1, 30), "Days", "integer")),
          ("Rent a car in {0} for {1} days.", "I need a car in {0} for {1} days."), ("Alugue um carro em {0} por {1} dias.", "Preciso de um carro em {0} por {1} dias.")),
    Skill(("define_word", "dictionary"), ("Define a word",), (P(("word", "term"), saying.word, "The word"),),
          ("Define the word {0}.", "Look up the definition of {0}."), ("Defina a palavra {0}.", "Procure a definição de {0}.")),
    Skill(("call_person", "phone"), ("Call a person",), (P(("name", "contact"), saying.name, "Who"),),
          ("Call {0}.", "Phone {0} now."), ("Ligue para {0}.", "Telefone para {0}.")),
)  # fmt: skip
AND = {"en": " and ", "pt": " e "}


@dataclass(frozen=True, slots=True)
class Made:
    """A skill with its definition as one request gives it."""

    skill: Skill
    name: str
    keys: tuple[str, ...]
    definition: Mapping[str, Any]


def define(rng: random.Random, skill: Skill, held_out: bool) -> Made:
    """A definition: names vary, sometimes to what was never seen; descriptions come and go."""
    name = rng.choice(skill.names)
    if rng.random() < 0.15:
        name += "_" + saying.word(rng, False)
    while True:
        keys = tuple(rng.choice(p.names) if rng.random() < 0.9 else saying.word(rng, False) for p in skill.parameters)
        if len(set(keys)) == len(keys):
            break
    properties = {}
    for key, p in zip(keys, skill.parameters, strict=True):
        properties[key] = {"type": p.type} | ({"description": p.about} if rng.random() < 0.5 else {})
    parameters: dict[str, Any] = {"type": "object", "properties": properties}
    if rng.random() < 0.75:
        parameters["required"] = list(keys)
    function: dict[str, Any] = {"name": name}
    if rng.random() < 0.8:
        function["description"] = rng.choice(skill.about)
    function["parameters"] = parameters
    return Made(skill, name, keys, {"type": "function", "function": function})


def ask(rng: random.Random, made: Made, language: str, held_out: bool) -> tuple[str, Call]:
    values = [p.make(rng, held_out) for p in made.skill.parameters]
    rows = made.skill.english if language == "en" else made.skill.portuguese
    wording = rows[-1] if held_out and rng.random() < 0.5 else rng.choice(rows[:-1])
    return wording.format(*values), Call(made.name, dict(zip(made.keys, values, strict=True)))


def result(rng: random.Random, held_out: bool) -> tuple[str, str]:
    """What a tool may answer, and what the assistant makes of it."""
    if rng.random() < 0.3:
        text = saying.phrase(rng, held_out).capitalize() + "."
        return text, text
    keys = rng.sample(("temperature", "weather", "price", "status", "result", "degrees", "time", "name", "total", "condition", "id"), rng.randint(1, 3))
    if rng.random() < 0.25:
        keys[0] = saying.word(rng, held_out)
    values: list[Any] = [rng.randint(0, 999) if rng.random() < 0.5 else saying.word(rng, held_out) for _ in keys]
    said = ", ".join(f"{k}: {v}" for k, v in zip(keys, values, strict=True)) + "."
    return json.dumps(dict(zip(keys, values, strict=True)), ensure_ascii=False), said


def converse(rng: random.Random, chat: Chat, turns: int, held_out: bool) -> None:
    """Give `chat` tools and have them called, or not, `turns` times."""
    known = SKILLS + SKILLS_HELD_OUT if held_out else SKILLS
    chosen = rng.sample(known, rng.choice((1, 1, 2, 2, 3)))
    if held_out and rng.random() < 0.4:
        chosen[0] = rng.choice(SKILLS_HELD_OUT)
    made = [define(rng, s, held_out) for s in dict.fromkeys(chosen)]
    rng.shuffle(made)
    if len({m.name for m in made}) < len(made):
        made = made[:1]
    chat.tools = [m.definition for m in made]
    for _ in range(turns):
        r = rng.random()
        if r < 0.25:
            _ask_no_tool(rng, chat, made, held_out)
            continue
        tool = rng.choice(made)
        asked, call = ask(rng, tool, chat.language, held_out)
        calls = [call]
        if r > 0.72:
            asked, calls = _two(rng, made, tool, asked, call, chat.language, held_out)
        chat.ask(asked)
        chat.call(calls, "parallel calls" if len(calls) > 1 else "call")
        if rng.random() < (0.5 if len(calls) == 1 else 0.25):
            answers = [result(rng, held_out) for _ in calls]
            for text, _ in answers:
                chat.result(text)
            chat.answer(" ".join(said for _, said in answers), "result")


def _two(rng: random.Random, made: list[Made], tool: Made, asked: str, call: Call, language: str, held_out: bool) -> tuple[str, list[Call]]:
    """Two calls in one message: of one tool for two values, or of two tools."""
    if len(tool.keys) == 1 and (rng.random() < 0.6 or len(made) == 1):
        (key,), (p,) = tool.keys, tool.skill.parameters
        other = p.make(rng, held_out)
        value = call.arguments[key]
        if other != value:
            both = asked.replace(str(value), f"{value}{AND[language]}{other}", 1)
            return both, [call, Call(tool.name, {key: other})]
    second, call2 = ask(rng, rng.choice(made), language, held_out)
    if call2 == call:
        return asked, [call]
    joiner = AND[language] if rng.random() < 0.5 else " "
    if joiner != " ":
        asked, second = asked.rstrip(".?"), second[0].lower() + second[1:] if not second[:2].isupper() else second
    return asked + joiner + second, [call, call2]


def _ask_no_tool(rng: random.Random, chat: Chat, made: list[Made], held_out: bool) -> None:
    """What none of the tools is for: something else, or another tool's work."""
    if rng.random() < 0.3:
        mine = {m.skill.names[0] for m in made}
        other = rng.choice([s for s in SKILLS if s.names[0] not in mine])
        asked, _ = ask(rng, define(rng, other, held_out), chat.language, held_out)
        said = UNKNOWN[chat.language]
    else:
        while True:
            asked, said, task = saying.question(rng, chat.language, held_out)
            if task != "needle":
                break
    chat.ask(asked)
    chat.answer(said, "no call")
