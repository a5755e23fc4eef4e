"""How questions about pictures are put."""

from __future__ import annotations

import random
from collections.abc import Mapping

# of the tables up to JSON_COUNT the last wording of each row is for evaluation only
DESCRIBE = {
    "en": ("What is in this image?", "Describe the image.", "What do you see?", "What is in the picture?", "Describe this picture.",
           "What does the image show?", "What can you see in this image?", "What's in this image?", "Describe what the image shows.",
           "Describe what is in the picture.", "What do you see in the picture?", "Tell me what you see.", "Describe the picture.",
           "Describe what you see.", "What is shown here?", "Describe what you see in the picture."),
    "pt": ("O que há nesta imagem?", "Descreva a imagem.", "O que você vê?", "O que tem na imagem?", "Descreva esta imagem.",
           "O que a imagem mostra?", "O que há na imagem?", "Descreva o que a imagem mostra.", "Descreva o que há na imagem.",
           "O que você vê na imagem?", "Diga o que você vê.", "Descreva o que você vê.", "Descreva o que você vê na imagem."),
}  # fmt: skip
COLOUR_OF = {
    "en": ("What color is {the}?", "What colour is {the}?", "Which color is {the}?", "What is the color of {the}?", "What color does {the} have?",
           "Say the color of {the}.", "Tell me what color {the} is.", "Name the color of {the}.", "Tell me the color of {the}."),
    "pt": ("Qual é a cor d{the}?", "De que cor é {the}?", "Que cor tem {the}?", "Qual a cor d{the}?", "Diga de que cor é {the}.", "Diga qual é a cor d{the}.",
           "Diga a cor d{the}."),
}
KIND_OF = {
    "en": ("What shape is {colour}?", "Which shape is {colour}?", "What is the {colour} shape?", "What shape is the {colour} one?",
           "Which kind of shape is {colour}?", "What kind of shape is {colour}?", "What is the {colour} one?",
           "What kind of shape is the {colour} one?"),
    "pt": ("Qual forma é {colour}?", "Que forma é {colour}?", "Qual é a forma {colour}?", "Que forma é a {colour}?", "Que tipo de forma é {colour}?",
           "Que tipo de forma é a {colour}?"),
}
COUNT_ALL = {
    "en": ("How many shapes are there?", "How many shapes are in the image?", "Count the shapes.", "Count all shapes.", "How many shapes can you see?",
           "How many shapes does the image show?", "How many shapes do you see?"),
    "pt": ("Quantas formas há?", "Quantas formas há na imagem?", "Conte as formas.", "Quantas formas a imagem mostra?", "Quantas formas existem?",
           "Diga quantas formas há.", "Quantas formas você pode ver?", "Quantas formas tem a imagem?", "Quantas formas você vê?"),
}
COUNT_SOME = {
    "en": ("How many {some} are there?", "How many {some} are in the image?", "Count the {some}.", "Count all {some}.", "How many {some} can you see?",
           "How many {some} does the image show?", "How many {some} do you see?"),
    "pt": ("Quant{os} {some} há?", "Quant{os} {some} há na imagem?", "Conte {os2} {some}.", "Quant{os} {some} a imagem mostra?", "Quant{os} {some} existem?",
           "Diga quant{os} {some} há.", "Quant{os} {some} você pode ver?", "Quant{os} {some} tem a imagem?", "Quant{os} {some} você vê?"),
}
IS_THERE = {
    "en": ("Is there {a}?", "Is there {a} in the image?", "Do you see {a}?", "Can you see {a}?", "Do you see {a} in the image?",
           "Does the image show {a}?", "Is {a} in the image?", "Can you find {a}?", "Can you see {a} in the image?"),
    "pt": ("Há {a}?", "Há {a} na imagem?", "Você vê {a}?", "Existe {a}?", "Você vê {a} na imagem?", "A imagem mostra {a}?", "Existe {a} na imagem?"),
}
LOCATE = {
    "en": ("Locate {the}.", "Find {the}.", "Locate {the} in the image.", "Detect {the}.", "Give the bounding box of {the}.",
           "Locate {the}, output its bbox coordinates using JSON format.", "Give the box of {the} as JSON.", "Where is {the}? Give its box.",
           "Find {the} and output its box.", "Find {the} and give its box as JSON."),
    "pt": ("Localize {the}.", "Encontre {the}.", "Localize {the} na imagem.", "Dê a caixa d{the}.", "Dê a caixa d{the} em JSON.", "Encontre {the} e dê sua caixa.",
           "Encontre {the} e dê a caixa em JSON."),
}  # fmt: skip
LOCATE_ALL = {
    "en": ("Locate all shapes.", "Find all shapes.", "Locate each shape.", "Find every shape.", "Detect all shapes.", "Give the boxes of all shapes.",
           "Give the bounding box of each shape as JSON.", "Where are the shapes? Give their boxes.", "Find all shapes and give their boxes.",
           "Detect each shape in the image.", "Locate every shape in the image."),
    "pt": ("Localize todas as formas.", "Encontre todas as formas.", "Localize cada forma.", "Encontre cada forma da imagem.", "Detecte todas as formas.",
           "Dê as caixas de todas as formas.", "Dê a caixa de cada forma em JSON.", "Onde estão as formas? Dê as caixas.",
           "Encontre todas as formas e dê as caixas.", "Localize todas as formas da imagem."),
}
READ_NUMBER = {
    "en": ("What number is in the image?", "Read the number.", "What number is this?", "Which number do you see?", "What is the number?", "Read the number in the image.",
           "What number does the picture show?", "What is the number in the picture?"),
    "pt": ("Que número há na imagem?", "Leia o número.", "Que número é este?", "Qual é o número?", "Que número você vê?", "Qual número há na imagem?", "Qual número você vê na imagem?"),
}
READ_WORD = {
    "en": ("What word is in the image?", "Read the word.", "What word is this?", "Which word do you see?", "What is the word?", "Read the word in the image.",
           "What word does the picture show?", "What is the word in the picture?"),
    "pt": ("Que palavra há na imagem?", "Leia a palavra.", "Que palavra é esta?", "Qual é a palavra?", "Que palavra você vê?", "Qual palavra há na imagem?",
           "Qual palavra você vê na imagem?"),
}
READ = {
    "en": ("Read the text.", "What does it say?", "What is written in the image?", "What is written here?", "What does the image say?",
           "Which text is this?", "What text is in the image?"),
    "pt": ("Leia o texto.", "O que está escrito?", "O que está escrito na imagem?", "O que diz a imagem?", "Que texto é este?", "Que texto há na imagem?"),
}
JSON_ONE = {
    "en": ('Answer in JSON with the keys "color" and "shape".', 'Describe the image as JSON with "color" and "shape".',
           'What is in this image? Reply with JSON: {"color": …, "shape": …}.', 'Give a JSON object with the keys "color" and "shape".'),
    "pt": ('Responda em JSON com as chaves "color" e "shape".', 'Descreva a imagem em JSON com "color" e "shape".',
           'Dê um objeto JSON com as chaves "color" e "shape".'),
}  # fmt: skip
JSON_COUNT = {
    "en": ('How many shapes are there? Answer in JSON with the key "count".', 'Count the shapes. Reply with JSON: {"count": …}.',
           'Count the shapes and answer as JSON with the key "count".', 'Give JSON with the "count" of shapes.',
           'Give the number of shapes as JSON with the key "count".'),
    "pt": ('Quantas formas há? Responda em JSON com a chave "count".', 'Conte as formas. Responda em JSON: {"count": …}.',
           'Conte as formas e responda em JSON com a chave "count".', 'Dê o número de formas em JSON com a chave "count".'),
}  # fmt: skip
ONE_OF_TWO = {
    "en": ("What is in the {} image?", "What does the {} image show?", "What do you see in the {} image?", "What is in the {} picture?"),
    "pt": ("O que há na {} imagem?", "O que a {} imagem mostra?", "O que você vê na {} imagem?"),
}
DESCRIBE_MORE = {
    "en": ("What is this?", "What's this?", "List the shapes.", "What shapes do you see?", "Which shapes are in the image?", "Caption this image.", "What colors do you see?",
           "Describe this image in one sentence.", "Describe the image in detail.", "Please describe the image.", "Tell me about this image.", "Name all shapes."),
    "pt": ("O que é isto?", "O que é isso?", "Liste as formas.", "Quais formas você vê?", "Que formas há na imagem?", "Que cores você vê?", "Dê uma legenda para a imagem.",
           "Descreva a imagem em uma frase.", "Descreva a imagem em detalhes.", "Por favor, descreva a imagem.", "Fale sobre esta imagem.", "Diga todas as formas."),
}
COUNT_MORE = {
    "en": ("How many objects are there?", "Count the objects.", "How many things are in the image?"),
    "pt": ("Quantos objetos há?", "Conte os objetos.", "Quantas coisas há na imagem?"),
}
LOCATE_MORE = {
    "en": ("Detect all objects.", "Locate all objects.", "Find all objects and output their boxes as JSON.", "Detect everything in the image.",
           "Detect all objects, output bbox in JSON."),
    "pt": ("Detecte todos os objetos.", "Localize todos os objetos.", "Encontre todos os objetos e dê as caixas em JSON.", "Detecte tudo na imagem."),
}
"""From `DESCRIBE_MORE` on: in training alone."""


def pick(rng: random.Random, rows: Mapping[str, tuple[str, ...]], language: str, held_out: bool) -> str:
    """A wording; the last one is for evaluation only, where it is half of the cases."""
    wordings = rows[language]
    return wordings[-1] if held_out and rng.random() < 0.5 else rng.choice(wordings[:-1])
