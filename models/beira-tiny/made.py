"""Skills that were made up: what is done to what, told by many words in both languages, and often by ones that never were.

Words of the held-out skills are among these (a package, to track, to rent), the skills themselves and how they are asked for
are not.
"""

from __future__ import annotations

import random
import re

import saying
from skills import SKILLS, Maker, Parameter, Skill, code, mail, number, time

VERBS = tuple(
    tuple(tuple(words.split(", ")) for words in line.split(": "))
    for line in """get, fetch, give me, bring: obtenha, pegue, traga, me dê
show, display: mostre, exiba
open: abra
close, shut: feche
start, begin, launch: inicie, comece
stop, halt, end: pare, termine
check, verify, inspect: verifique, confira
cancel, call off: cancele
create, make, build: crie, faça, monte
delete, remove, erase, get rid of: apague, remova, exclua
update, refresh: atualize
change, modify, edit: mude, altere, edite
print: imprima
share: compartilhe, partilhe
read: leia
write, write down: escreva, anote
count: conte
measure: meça
plan, prepare: planeje, prepare
pay, settle: pague
book, reserve: reserve
move, shift: mova, desloque
list, enumerate: liste, enumere
fix, repair, mend: conserte, repare
clean, wash, tidy: limpe, lave
copy, duplicate: copie, duplique
draw, paint: desenhe, pinte
save, store, keep: salve, guarde
sell: venda
buy, purchase, order: compre, adquira, peça
test, try: teste, experimente
watch, see: assista, veja
visit, go to: visite
invite: convide
find, locate, look for, search for: encontre, localize, procure, busque
send, mail, ship: envie, mande
call, ring: ligue para, chame
phone, dial: telefone para, disque
track, trace, follow: rastreie, acompanhe, siga
rent, hire, lease: alugue
define, explain: defina, explique
add, append, put: adicione, acrescente, ponha
set, adjust: ajuste, defina como
turn on, switch on, enable: ligue, ative
turn off, switch off, disable: desligue, desative
lock: tranque
play: toque, reproduza
record: grave, registre
schedule, arrange: agende, marque
convert, turn into: converta, transforme
translate: traduza
compare: compare
rate, review: avalie
report: relate, denuncie
remind me of, remember: lembre-me de, lembre
compute, calculate: calcule
sort: ordene
download: baixe
upload: carregue
feed: alimente
cook, bake: cozinhe, asse
deliver: entregue
order a repair of, service: mande consertar
block: bloqueie
join, enter: entre em, participe de
leave, quit: saia de, deixe
assign, give: atribua, designe
approve, accept: aprove, aceite
reject, refuse: rejeite, recuse
describe: descreva
weigh: pese
fill: encha, preencha
empty: esvazie
heat, warm: aqueça, esquente
cool: esfrie, resfrie
subscribe to: assine
rename: renomeie
merge, combine: junte, combine
split: divida, separe
scan: escaneie, digitalize""".splitlines()
)
"""Each in English, the usual word first, and in Portuguese."""
NOUNS = tuple(
    (english, article, portuguese)
    for line in """package o pacote, parcel a encomenda, car o carro, bike a bicicleta, word a palavra, definition a definição, person a pessoa, friend o amigo,
customer o cliente, teacher o professor, doctor o médico, number o número, letter a carta, page a página, book o livro, paper o papel, report o relatório,
meeting a reunião, room a sala, house a casa, flat o apartamento, office o escritório, garage a garagem, kitchen a cozinha, garden o jardim, gate o portão,
window a janela, lamp a lâmpada, fan o ventilador, heater o aquecedor, oven o forno, fridge a geladeira, camera a câmera, printer a impressora,
phone o telefone, computer o computador, screen a tela, battery a bateria, engine o motor, robot o robô, drone o drone, bus o ônibus, train o trem,
plane o avião, boat o barco, taxi o táxi, trip a viagem, route a rota, map o mapa, road a estrada, bridge a ponte, station a estação, airport o aeroporto,
hotel o hotel, restaurant o restaurante, table a mesa, chair a cadeira, bed a cama, dish o prato, coffee o café, cake o bolo, bread o pão, milk o leite,
meal a refeição, drink a bebida, shop a loja, market o mercado, bank o banco, account a conta, bill a fatura, invoice a nota fiscal, price o preço,
payment o pagamento, ticket o bilhete, order o pedido, product o produto, coupon o cupom, gift o presente, box a caixa, key a chave, card o cartão,
photo a foto, picture a imagem, video o vídeo, song a canção, album o álbum, movie o filme, game o jogo, team o time, player o jogador, match a partida,
file o arquivo, folder a pasta, document o documento, message a mensagem, note a nota, task a tarefa, list a lista, project o projeto, event o evento,
calendar o calendário, alarm o alarme, appointment a consulta, job o emprego, class a aula, school a escola, student o aluno, exam a prova, lesson a lição,
question a pergunta, answer a resposta, story a história, poem o poema, joke a piada, news a notícia, article o artigo, recipe a receita, form o formulário,
password a senha, user o usuário, profile o perfil, server o servidor, database o banco de dados, backup a cópia, log o registro, error o erro, test o teste,
website o site, link o endereço, network a rede, signal o sinal, sensor o sensor, temperature a temperatura, weather o clima, rain a chuva, wind o vento,
tree a árvore, plant a planta, flower a flor, dog o cachorro, cat o gato, horse o cavalo, bird o pássaro, fish o peixe, patient o paciente, medicine o remédio,
hospital o hospital, insurance o seguro, contract o contrato, passport o passaporte, visa o visto, address o endereço de casa, city a cidade, country o país,
shirt a camisa, shoe o sapato, dress o vestido, watch o relógio, ring o anel, bag a bolsa, suitcase a mala, umbrella o guarda-chuva,
door a porta, wall a parede""".replace("\n", " ").split(", ")
    for english, article, portuguese in [line.split(" ", 2)]
)
"""English; Portuguese with its article."""
WORD = r"[^\W\d_]{3,}"
EMPTY = frozenset(
    "the for and you with from that this what who how its all are was can get out off por para com uma que qual como onde está de me do da das dos".split()
)
"""Words that say nothing of what is asked for."""
NO_WORK = len(SKILLS) + len(VERBS) + len(NOUNS)
"""The sort of what no tool would be for."""
SORTS = NO_WORK + 1
KEYS = (
    "name", "id", "text", "city", "date", "value", "code", "number", "title", "amount", "type", "key", "user", "place", "target", "item",
    "label", "size", "kind", "path", "file", "level", "mode", "color", "day", "from", "to", "unit", "label", "note", "person", "country",
)  # fmt: skip
_MAKERS: tuple[tuple[Maker, str], ...] = (
    (saying.word, "string"), (saying.word, "string"), (saying.city, "string"), (saying.name, "string"), (code, "string"),
    (saying.phrase, "string"), (number(1, 999), "integer"), (number(1, 99), "number"), (mail, "string"), (time, "string"),
)  # fmt: skip
_JOINTS = {"en": ("for", "in", "with", "at", "to", "from", "by", "on", "as", "of"), "pt": ("para", "em", "com", "de", "por", "até", "às", "como")}
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


def sorts_of(skill: Skill) -> tuple[int, ...]:
    """Which kinds of work a skill does, each below SORTS: one for each of the table's, a verb's and a noun's of those made up;
    none of those held out."""
    return skill.sorts or ((SKILLS.index(skill),) if skill in SKILLS else ())


def is_told(sort: int, text: str) -> bool:
    """Whether a request says that it asks for work of this sort: of a made-up skill's, it may leave out the verb or the noun."""
    low, at = text.lower(), sort - len(SKILLS)
    if at < 0 or sort == NO_WORK:
        return True
    words = [w for row in VERBS[at] for w in row] if at < len(VERBS) else [NOUNS[at - len(VERBS)][i] for i in (0, 2)]
    return any(w in low for w in words)


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
    rows = {language: _rows(rng, language, words[language], noun if language == "en" else noun_pt, article, len(parameters), is_short) for language in words}
    # where the requests do not say what it is done to, nothing else may be like it
    return Skill(names, about, tuple(parameters), rows["en"], rows["pt"], is_odd=r >= 0.6, sorts=tuple(sorts), verb="" if is_short else english[0])


def _rows(rng: random.Random, language: str, verbs: tuple[str, ...], noun: str, article: str, count: int, is_short: bool) -> tuple[str, ...]:
    """Some ways to ask for it; as for every skill, the last one stands for those that training never has."""
    made = []
    for _ in range(4):
        joints = [rng.choice(("", "", " " + rng.choice(_JOINTS[language]))), *(" " + rng.choice(_JOINTS[language]) for _ in range(count))]
        values = "".join(f"{joint} {{{i}}}" for i, joint in enumerate(joints[:count]))
        r = rng.random()
        forms = (_WITH_VERB if is_short else _WITH_BOTH if r < 0.6 else _WITH_NOUN)[language]
        row = rng.choice(forms).replace("{x}", values).replace("{v}", rng.choice(verbs)).replace("{n}", noun)
        row = row.replace("{a}", article).replace("{um}", {"o": "um", "a": "uma"}[article])
        made.append(row[0].upper() + row[1:])
    return (*made, made[0])


def meanings() -> dict[str, frozenset[str]]:
    """Of every word of VERBS and NOUNS, in either language, the English ones that say the same, itself among them."""
    found: dict[str, set[str]] = {}
    for english, portuguese in (*VERBS, *(((e,), (p,)) for e, _, p in NOUNS)):
        told = {w for words in english for w in content(words)}
        for word in (w for words in (*english, *portuguese) for w in content(words)):
            found.setdefault(word, set()).update(told)
    return {word: frozenset(same) for word, same in found.items()}


def content(text: str) -> list[str]:
    """Its words in lower case, but for short and empty ones."""
    return [w.lower() for w in re.findall(WORD, text) if w.lower() not in EMPTY]
