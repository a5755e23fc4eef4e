"""What tools can do, how they may be defined and how people ask for it: a table, some of them held out."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import saying

Maker = Callable[[random.Random, bool], Any]


def number(low: int, high: int) -> Maker:
    return lambda rng, held_out: rng.randint(low, high)


def _one(*values: str) -> Maker:
    return lambda rng, held_out: rng.choice(values)


def code(rng: random.Random, held_out: bool) -> str:
    return saying.code(rng)


def _symbol(rng: random.Random, held_out: bool) -> str:
    return "".join(rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(rng.randint(2, 4)))


def mail(rng: random.Random, held_out: bool) -> str:
    return f"{saying.name(rng, held_out).lower()}@{saying.word(rng, held_out)}.com"


def _file(rng: random.Random, held_out: bool) -> str:
    return f"{saying.word(rng, held_out)}.{rng.choice(('txt', 'csv', 'json', 'md', 'py'))}"


def time(rng: random.Random, held_out: bool) -> str:
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
    is_odd: bool = False
    """Only the description says what it does."""
    sorts: tuple[int, ...] = ()
    """Which kinds of work a made-up one does (`made.py`)."""
    verb: str = ""
    """Of a made-up one: the work, whatever it is done to."""


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
    Skill(("set_timer", "start_timer", "timer"), ("Start a timer",), (P(("minutes", "duration"), number(1, 90), "Minutes", "integer"),),
          ("Set a timer for {0} minutes.", "Start a timer of {0} minutes.", "Timer for {0} minutes.", "I need a timer for {0} minutes."),
          ("Crie um timer de {0} minutos.", "Timer de {0} minutos.", "Preciso de um timer de {0} minutos.")),
    Skill(("send_email", "email", "write_email"), ("Send an email",),
          (P(("to", "recipient", "address"), mail, "Who gets it"), P(("subject", "title", "topic"), saying.phrase, "The subject")),
          ("Send an email to {0} about {1}.", "Write to {0} about {1}.", "Email {0} about {1}."),
          ("Envie um email para {0} sobre {1}.", "Escreva para {0} sobre {1}.", "Mande um email a {0} sobre {1}.")),
    Skill(("convert_currency", "exchange", "convert"), ("Convert an amount of money",),
          (P(("amount", "value"), number(1, 999), "How much", "number"), P(("from", "source"), _one("USD", "EUR", "BRL", "GBP", "JPY"), "Currency"),
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
    Skill(("lookup_user", "get_user", "find_user"), ("Find a user by id",), (P(("id", "user_id", "user"), code, "The id"),),
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
          (P(("quantity", "count"), number(1, 20), "How many", "integer"), P(("item", "product"), saying.word, "What")),
          ("Order {0} {1}.", "Buy {0} {1}.", "I would like {0} {1}."), ("Peça {0} {1}.", "Compre {0} {1}.", "Quero {0} {1}.")),
    Skill(("set_light", "light", "change_light"), ("Change a light",),
          (P(("room", "where"), _one("kitchen", "bedroom", "office", "hall", "garage"), "The room"),
           P(("color", "colour"), _one("red", "green", "blue", "white", "yellow"), "The color")),
          ("Make the light in the {0} {1}.", "Set the {0} light to {1}.", "Turn the {0} light {1}."),
          ("Mude a luz de {0} para {1}.", "Luz de {0}: {1}.", "Ponha a luz de {0} em {1}.")),
    Skill(("set_alarm", "alarm", "wake_me"), ("Set an alarm",), (P(("time", "at"), time, "The time"),),
          ("Wake me at {0}.", "Set an alarm for {0}.", "Alarm at {0}."), ("Acorde-me às {0}.", "Alarme às {0}.", "Crie um alarme para {0}.")),
    Skill(("translate", "translate_text"), ("Translate a text into a language", "Say something in another language"),
          (P(("text", "phrase"), saying.phrase, "What to translate"), P(("language", "to"), _one("French", "German", "Italian", "Japanese", "Polish"), "The language")),
          ("Translate {0} to {1}.", "Translate {0} into {1}.", "How do you say {0} in {1}?", "Put {0} into {1}."),
          ("Traduza {0} para {1}.", "Como se diz {0} em {1}?", "Passe {0} para {1}.")),
    Skill(("create_event", "add_event", "schedule"), ("Add an event to the calendar", "Create an appointment"),
          (P(("title", "event", "name"), saying.phrase, "What it is"), P(("time", "start"), time, "When it begins")),
          ("Schedule {0} at {1}.", "Put {0} in my calendar at {1}.", "Create an event {0} at {1}.", "Add {0} to the calendar at {1}."),
          ("Agende {0} às {1}.", "Crie um evento {0} às {1}.", "Marque {0} para as {1}.")),
    Skill(("get_directions", "directions", "route"), ("Find the way to a place", "Directions between two places"),
          (P(("start", "from"), saying.city, "Where to begin"), P(("end", "to"), saying.city, "Where to go")),
          ("How do I get from {0} to {1}?", "Directions from {0} to {1}.", "Show me the way from {0} to {1}.", "Find a route from {0} to {1}."),
          ("Como vou de {0} a {1}?", "Mostre o caminho de {0} até {1}.", "Qual é a rota de {0} a {1}?")),
    Skill(("find_restaurant", "restaurants", "search_restaurants"), ("Find a restaurant in a city",),
          (P(("food", "cuisine", "kind"), _one("Italian", "Mexican", "Indian", "Chinese", "vegan"), "The kind of food"), P(("city", "location"), saying.city, "Where")),
          ("Find a {0} restaurant in {1}.", "Where can I eat {0} food in {1}?", "I want {0} food in {1}.", "Look for a {0} restaurant in {1}."),
          ("Encontre um restaurante {0} em {1}.", "Onde posso comer comida {0} em {1}?", "Procure um restaurante {0} em {1}.")),
    Skill(("take_note", "note", "write_note"), ("Write a note",), (P(("text", "content"), saying.phrase, "The note"),),
          ("Take a note: {0}", "Note that {0}.", "Write down {0}.", "Make a note of {0}."), ("Anote: {0}", "Anote que {0}.", "Tome nota de {0}.")),
    Skill(("set_temperature", "thermostat"), ("Set the temperature of a room",),
          (P(("degrees", "temperature"), number(10, 35), "Degrees", "integer"), P(("room", "zone"), _one("kitchen", "bedroom", "office", "bathroom"), "The room")),
          ("Set the temperature to {0} degrees in the {1}.", "Make it {0} degrees in the {1}.", "Heat the {1} to {0} degrees."),
          ("Ponha a temperatura em {0} graus: {1}.", "Aqueça {1} até {0} graus.", "Deixe {1} a {0} graus.")),
    Skill(("book_hotel", "find_hotel", "reserve_hotel"), ("Book a hotel room in a city",),
          (P(("city", "place"), saying.city, "Where"), P(("nights", "count"), number(1, 21), "How many nights", "integer")),
          ("Book a hotel in {0} for {1} nights.", "Find a hotel in {0} for {1} nights.", "I need a room in {0} for {1} nights."),
          ("Reserve um hotel em {0} por {1} noites.", "Encontre um hotel em {0} por {1} noites.", "Preciso de um quarto em {0} por {1} noites.")),
    Skill(("get_balance", "check_balance", "account_balance"), ("Get the balance of an account",), (P(("account", "id"), code, "The account"),),
          ("What is the balance of account {0}?", "How much money is in account {0}?", "Check the balance of {0}.", "Show the balance of account {0}."),
          ("Qual é o saldo da conta {0}?", "Quanto dinheiro há na conta {0}?", "Mostre o saldo da conta {0}.")),
    Skill(("pay_bill", "send_money", "transfer"), ("Send money to a person",),
          (P(("amount", "sum"), number(1, 999), "How much", "number"), P(("to", "name"), saying.name, "Who gets it")),
          ("Send {0} dollars to {1}.", "Transfer {0} dollars to {1}.", "Pay {0} dollars to {1}.", "Give {0} dollars to {1}."),
          ("Envie {0} reais para {1}.", "Transfira {0} reais para {1}.", "Pague {0} reais a {1}.")),
    Skill(("get_recipe", "recipe", "find_recipe"), ("Find a recipe for a dish",), (P(("dish", "food"), saying.word, "The dish"),),
          ("How do I cook {0}?", "Find a recipe for {0}.", "Give me a recipe with {0}.", "How is {0} made?"),
          ("Como se faz {0}?", "Encontre uma receita de {0}.", "Dê-me uma receita com {0}.")),
    Skill(("read_file", "open_file", "show_file"), ("Read a file",), (P(("path", "file"), _file, "The file"),),
          ("Read the file {0}.", "Open {0}.", "What is in the file {0}?", "Show me the file {0}."),
          ("Leia o arquivo {0}.", "Abra {0}.", "O que há no arquivo {0}?")),
    Skill(("delete_file", "remove_file"), ("Delete a file",), (P(("path", "file"), _file, "The file"),),
          ("Delete the file {0}.", "Remove {0}.", "Erase the file {0}."), ("Apague o arquivo {0}.", "Remova {0}.", "Exclua o arquivo {0}.")),
    Skill(("create_ticket", "open_ticket", "report_issue"), ("Open a support ticket",),
          (P(("title", "subject"), saying.phrase, "What is wrong"), P(("priority", "level"), _one("low", "medium", "high", "urgent"), "How urgent it is")),
          ("Open a {1} ticket about {0}.", "Create a ticket for {0} with {1} priority.", "Report {0} as {1}."),
          ("Abra um chamado sobre {0} com prioridade {1}.", "Crie um chamado {1} sobre {0}.", "Relate {0} como {1}.")),
    Skill(("order_status", "get_order", "find_order"), ("Get the status of an order",), (P(("order_id", "order"), code, "The order"),),
          ("What is the status of order {0}?", "Is order {0} ready?", "Where is my order {0}?", "Check the order {0}."),
          ("Qual é a situação do pedido {0}?", "O pedido {0} está pronto?", "Verifique o pedido {0}.")),
    Skill(("add_contact", "save_contact", "new_contact"), ("Save the address of a person",),
          (P(("name", "person"), saying.name, "Who"), P(("email", "address"), mail, "The address")),
          ("Save {1} as the address of {0}.", "Add {0} to my contacts with {1}.", "Add the contact {0}: {1}"),
          ("Salve {1} como o endereço de {0}.", "Adicione {0} aos meus contatos com {1}.", "Adicione o contato {0}: {1}")),
    Skill(("get_news", "news", "headlines"), ("Get the news about something",), (P(("topic", "about", "subject"), saying.phrase, "What about"),),
          ("What is the news about {0}?", "Show me the news about {0}.", "Any news on {0}?", "Give me the headlines about {0}."),
          ("Quais são as notícias sobre {0}?", "Mostre as notícias sobre {0}.", "Há novidades sobre {0}?")),
    Skill(("lock_door", "door", "set_lock"), ("Lock or unlock a door",),
          (P(("door", "which"), _one("front", "back", "garage", "cellar"), "The door"), P(("state", "mode"), _one("locked", "unlocked", "open", "closed"), "How it should be")),
          ("The {0} door should be {1}.", "Make the {0} door {1}.", "I want the {0} door {1}."),
          ("A porta {0} deve ficar {1}.", "Deixe a porta {0}: {1}.", "Quero a porta {0} {1}.")),
    Skill(("set_volume", "volume", "change_volume"), ("Change how loud it is",), (P(("level", "percent"), number(0, 100), "In percent", "integer"),),
          ("Set the volume to {0}.", "Volume {0}, please.", "Change the volume to {0} percent.", "Turn the volume to {0}."),
          ("Ponha o volume em {0}.", "Volume {0}, por favor.", "Mude o volume para {0}.")),
    Skill(("get_distance", "distance"), ("Measure how far two places are apart",),
          (P(("a", "first", "from"), saying.city, "One place"), P(("b", "second", "to"), saying.city, "The other")),
          ("How far is it from {0} to {1}?", "What is the distance between {0} and {1}?", "How many kilometers from {0} to {1}?"),
          ("Qual é a distância entre {0} e {1}?", "Quantos quilômetros de {0} a {1}?", "{0} fica longe de {1}?")),
    Skill(("find_movie", "search_movies", "movie"), ("Look for a movie",), (P(("title", "query"), saying.phrase, "Its title"),),
          ("Find the movie {0}.", "I want to watch {0}.", "Is there a movie called {0}?", "Where can I watch {0}?"),
          ("Encontre o filme {0}.", "Quero assistir {0}.", "Existe um filme chamado {0}?")),
    Skill(("water_plants", "watering"), ("Water the plants",), (P(("liters", "amount"), number(1, 30), "How much", "integer"),),
          ("Water the plants with {0} liters.", "Give the plants {0} liters.", "The plants need {0} liters."),
          ("Regue as plantas com {0} litros.", "Dê {0} litros às plantas.", "As plantas precisam de {0} litros.")),
    Skill(("buy_ticket", "get_tickets", "tickets"), ("Buy tickets for a show",),
          (P(("count", "number"), number(1, 9), "How many", "integer"), P(("show", "event"), saying.phrase, "Which show")),
          ("Buy {0} tickets for {1}.", "Get me {0} tickets to {1}.", "I need {0} tickets for {1}."),
          ("Compre {0} ingressos para {1}.", "Quero {0} ingressos de {1}.", "Preciso de {0} ingressos para {1}.")),
    Skill(("run_query", "query_database", "sql"), ("Look something up in a table of the database",), (P(("table", "from"), saying.word, "The table"),),
          ("List all rows of the table {0}.", "Query the table {0}.", "Select everything from {0}.", "What is in the table {0}?"),
          ("Liste as linhas da tabela {0}.", "Consulte a tabela {0}.", "O que há na tabela {0}?")),
    Skill(("charge_car", "start_charging"), ("Charge the car",), (P(("percent", "level"), number(10, 100), "How full", "integer"),),
          ("Charge the car to {0} percent.", "Fill the battery of the car to {0} percent.", "The car should have {0} percent."),
          ("Carregue o carro até {0} por cento.", "Encha a bateria do carro até {0} por cento.", "O carro deve ter {0} por cento.")),
)  # fmt: skip
SKILLS_HELD_OUT = (
    Skill(("track_package", "find_package"), ("Track a package by its number",), (P(("number", "tracking"), code, "The number"),),
          ("Track the package {0}.", "Where is package {0}?"), ("Rastreie o pacote {0}.", "Onde está o pacote {0}?")),
    Skill(("rent_car", "car_rental"), ("Rent a car in a city",),
          (P(("city", "pickup"), saying.city, "Where"), P(("days", "period"), number(1, 30), "Days", "integer")),
          ("Rent a car in {0} for {1} days.", "I need a car in {0} for {1} days."), ("Alugue um carro em {0} por {1} dias.", "Preciso de um carro em {0} por {1} dias.")),
    Skill(("define_word", "dictionary"), ("Define a word",), (P(("word", "term"), saying.word, "The word"),),
          ("Define the word {0}.", "Look up the definition of {0}."), ("Defina a palavra {0}.", "Procure a definição de {0}.")),
    Skill(("call_person", "phone"), ("Call a person",), (P(("name", "contact"), saying.name, "Who"),),
          ("Call {0}.", "Phone {0} now."), ("Ligue para {0}.", "Telefone para {0}.")),
)  # fmt: skip
WORDINGS_HELD_OUT = frozenset(
    {row.lower() for s in SKILLS for row in (s.english[-1], s.portuguese[-1])} | {row.lower() for s in SKILLS_HELD_OUT for row in (*s.english, *s.portuguese)}
)
"""What training never asks, not even of a made-up tool."""
