"""Words for what is done and what it is done to, in both languages: those that mean the same share a row."""

from __future__ import annotations

import random
import re
from itertools import chain

VERBS = tuple(
    tuple(tuple(words.split(", ")) for words in line.split(": "))
    for line in """get, fetch, give me, bring: obtenha, pegue, traga, me dê
show, display: mostre, exiba
open: abra
close, shut: feche
start, begin, launch: inicie, comece
stop, halt, end: pare, termine
check, verify, inspect: verifique, confira
cancel, revoke: cancele
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
call, ring, phone: ligue para, chame, telefone para
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
convert, turn into, exchange, swap: converta, transforme, troque
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
DEEDS = {
    verb: (english, article, portuguese)
    for line in """define: definition a definição, check: verification a verificação, cancel: cancellation o cancelamento, create: creation a criação,
delete: removal a remoção, update: update a atualização, change: change a mudança, print: printing a impressão, count: count a contagem,
measure: measurement a medição, plan: plan o plano, book: reservation a reserva, fix: repair o conserto, clean: cleaning a limpeza, copy: copy a cópia,
draw: drawing o desenho, sell: sale a venda, buy: purchase a compra, visit: visit a visita, invite: invitation o convite, find: search a busca,
send: delivery o envio, call: call a ligação, track: tracking o rastreio, rent: rent o aluguel, add: addition a adição, convert: conversion a conversão,
translate: translation a tradução, compare: comparison a comparação, rate: rating a avaliação, compute: calculation o cálculo,
record: recording a gravação, deliver: delivery a entrega, approve: approval a aprovação, reject: rejection a recusa, describe: description a descrição,
weigh: weight o peso, read: reading a leitura, watch: view a vista, start: start o início, stop: end o fim, show: display a exibição""".replace("\n", " ").split(", ")
    for verb, words in [line.split(": ")]
    for english, article, portuguese in [words.split(" ", 2)]
}
"""By a row's first verb, the noun for what it does: English; Portuguese with its article."""
INSTRUMENTS = {
    verb: thing
    for line in """define: dictionary, compute: calculator, translate: translator, count: counter, measure: ruler, plan: planner, find: finder, read: reader,
write: editor, record: recorder, play: jukebox, weigh: scale, call: telephone, convert: converter, track: tracker, check: checker, clean: cleaner,
copy: copier, draw: canvas, schedule: scheduler, sort: sorter, download: downloader, upload: uploader, scan: scanner, cook: stove, heat: radiator,
cool: cooler, remind me of: reminder, deliver: courier, rent: rental, watch: cinema, show: viewer, compare: comparator, rename: renamer, sell: sales,
test: tester, buy: shopping""".replace("\n", " ").split(", ")
    for verb, thing in [line.split(": ")]
}
"""By a row's first verb, what it is done with, as tools are named."""
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
ROWS = len(VERBS) + len(NOUNS)
WORD = r"[^\W\d_]{3,}"
EMPTY = frozenset(
    "the for and you with from that this what who how its all are was can get out off por para com uma que qual como onde está de me do da das dos".split()
)
"""Words that say nothing of what is asked for."""


def _words(row: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a row of VERBS, or behind them of NOUNS, is called in English and in Portuguese."""
    if row >= len(VERBS):
        english, _, portuguese = NOUNS[row - len(VERBS)]
        return (english,), (portuguese,)
    verbs, verbs_pt = VERBS[row]
    if (deed := DEEDS.get(verbs[0])) is not None:
        verbs, verbs_pt = (*verbs, deed[0]), (*verbs_pt, deed[2])
    if (thing := INSTRUMENTS.get(verbs[0])) is not None:
        verbs = *verbs, thing
    return verbs, verbs_pt


def said(row: int) -> tuple[str, ...]:
    """All words of a row, in either language."""
    return tuple(chain(*_words(row)))


def meanings() -> dict[str, frozenset[str]]:
    """Of every word of VERBS, DEEDS, INSTRUMENTS and NOUNS, in either language, the English ones that say the same, itself among them."""
    found: dict[str, set[str]] = {}
    for row in range(ROWS):
        english, portuguese = _words(row)
        told = {w for words in english for w in content(words)}
        for word in (w for words in (*english, *portuguese) for w in content(words)):
            found.setdefault(word, set()).update(told)
    return {word: frozenset(same) for word, same in found.items()}


def content(text: str) -> list[str]:
    """Its words in lower case, but for short and empty ones."""
    return [w.lower() for w in re.findall(WORD, text) if w.lower() not in EMPTY]


def _rows() -> dict[str, int]:
    """By word, its row, VERBS' before NOUNS'; of several the first in which it stands alone."""
    phrases = [(row, content(phrase)) for row in range(ROWS) for phrase in said(row)]
    phrases.sort(key=lambda p: len(p[1]))
    found: dict[str, int] = {}
    for row, words in phrases:
        for word in words:
            found.setdefault(word, row)
    return found


ROW_OF = _rows()
_TOLD = sorted(ROW_OF)


def any_word(rng: random.Random) -> str:
    """One of them, now and then two as a tool's name has them."""
    word = rng.choice(_TOLD)
    return f"{word}_{rng.choice(_TOLD)}" if rng.random() < 0.15 else word
