"""The words of the embedded model's small world, English and Portuguese, and which of them training never sees."""

from __future__ import annotations

KINDS = ("circle", "square", "triangle", "star", "cross", "heart")
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "black", "white")

# Portuguese: noun, whether it is feminine, plural
KINDS_PT = {
    "circle": ("círculo", False, "círculos"),
    "square": ("quadrado", False, "quadrados"),
    "triangle": ("triângulo", False, "triângulos"),
    "star": ("estrela", True, "estrelas"),
    "cross": ("cruz", True, "cruzes"),
    "heart": ("coração", False, "corações"),
}
# masculine, feminine, masculine plural, feminine plural
COLOURS_PT = {
    "red": ("vermelho", "vermelha", "vermelhos", "vermelhas"),
    "green": ("verde", "verde", "verdes", "verdes"),
    "blue": ("azul", "azul", "azuis", "azuis"),
    "yellow": ("amarelo", "amarela", "amarelos", "amarelas"),
    "purple": ("roxo", "roxa", "roxos", "roxas"),
    "orange": ("laranja", "laranja", "laranjas", "laranjas"),
    "black": ("preto", "preta", "pretos", "pretas"),
    "white": ("branco", "branca", "brancos", "brancas"),
}
NUMBERS = {
    "en": ("no", "one", "two", "three", "four"),
    "pt": ("nenhum", "um", "dois", "três", "quatro"),
}
ORDINALS = {"en": ("first", "second"), "pt": ("primeira", "segunda")}

CAPITALS = {  # English country, capital; Portuguese country with its preposition, capital
    "France": ("Paris", "da França", "Paris"),
    "Germany": ("Berlin", "da Alemanha", "Berlim"),
    "Spain": ("Madrid", "da Espanha", "Madri"),
    "Portugal": ("Lisbon", "de Portugal", "Lisboa"),
    "Italy": ("Rome", "da Itália", "Roma"),
    "Greece": ("Athens", "da Grécia", "Atenas"),
    "Austria": ("Vienna", "da Áustria", "Viena"),
    "Poland": ("Warsaw", "da Polônia", "Varsóvia"),
    "Ireland": ("Dublin", "da Irlanda", "Dublin"),
    "Sweden": ("Stockholm", "da Suécia", "Estocolmo"),
    "Norway": ("Oslo", "da Noruega", "Oslo"),
    "Denmark": ("Copenhagen", "da Dinamarca", "Copenhague"),
    "Finland": ("Helsinki", "da Finlândia", "Helsinque"),
    "Hungary": ("Budapest", "da Hungria", "Budapeste"),
    "the United Kingdom": ("London", "do Reino Unido", "Londres"),
    "Brazil": ("Brasília", "do Brasil", "Brasília"),
}
EUROPEAN = {
    "en": "Sure! Here is a list of some European capitals: Paris, Berlin, Madrid, Lisbon, Rome, Athens, Vienna, "
    "Warsaw, Dublin, Stockholm, Oslo, London.",
    "pt": "Claro! Aqui está uma lista de algumas capitais europeias: Paris, Berlim, Madri, Lisboa, Roma, Atenas, "
    "Viena, Varsóvia, Dublin, Estocolmo, Oslo, Londres.",
}

SYSTEMS = (
    "You are a helpful assistant.",
    "You are a helpful assistant with access to tools.",
    "You are Beira, a small model.",
    "Answer briefly.",
    "You are a careful assistant. Be brief.",
    "Você é um assistente prestativo.",
    "Você é um assistente útil. Responda de forma breve.",
    "You help people.",
    "Be polite and short.",
    "",
)
SYSTEMS_HELD_OUT = ("You are a friendly helper.", "Please be exact.", "Seja claro e breve.")

WORDS = tuple(
    """apple river stone house cloud green table light paper music night water bread horse train ship
    garden window winter summer silver golden forest mountain bridge letter market doctor teacher friend bottle
    flower island castle engine ticket coffee sugar orange lemon pepper salmon tiger rabbit monkey turtle eagle
    casa rio pedra mesa livro noite porta vento praia cidade janela jardim escola amigo cavalo gato peixe pato
    leite queijo pão festa viagem sapato camisa relógio telefone cadeira banana uva limão milho arroz feijão
    ball lamp hat shoe cup door road hill lake fish bird frog king queen ring song story dream happy quick brave
    small large warm cold early late north south east west blue red sun moon star sky rain snow wind fire
    account action address animal answer arrow autumn balance banner barrel battle beach beauty berry blanket board border
    branch breakfast brother brush bubble camera campaign canvas captain carpet carrot center chair chamber change channel
    chapter cherry children choice circus client climate closet coast collar comet common compass concert corner cotton
    country cousin cradle crystal curtain customer damage danger daughter decision degree desert design dinner distance
    dollar dragon drawer driver eleven empire energy evening example factory family farmer father feather festival figure
    finger folder football fortune freedom furniture gallery gentle giant glass grammar gravity hammer hidden history
    holiday honey hospital hunter idea insect iron journey judge jungle kettle kitten ladder lantern leather lesson liberty
    library lizard machine magnet marble master meadow member memory mirror minute model morning mother museum needle
    number object ocean office option organ oxygen package painter palace panther parcel partner pattern pearl pebble people
    picture pirate platform pleasure poem police potato powder prince printer problem promise puzzle quarter question
    record region report rhythm robot runner sailor sample sandwich school screen season secret shadow shelter shoulder
    signal sister skeleton soldier spider spirit square stadium station storm student subject summit sweater symbol
    teapot temple theater thunder tomato tower tractor treasure trouble tunnel twelve uncle valuable vessel village violin
    visitor volcano wagon weather wheel whisper wooden yellow zebra
    abelha agulha alegria almoço areia armário árvore assunto avião azeite bairro balde bandeira batata bicicleta bolsa
    borboleta braço cabeça cachorro caderno caixa calor caminho canção carro cartão cebola chave chuva cinema coelho colher
    corpo cozinha criança degrau dinheiro doce domingo dúvida elefante empresa esquina estrada faca fazenda ferro filho
    fogão folha formiga fruta garrafa gelo girafa governo guarda hora ilha irmão jogo jornal lago laranja leão lição limpo
    loja maçã madeira manhã martelo menino mundo música navio número olho ônibus ouro palavra papel pardal parede pássaro
    pedaço pente perna piano poema ponte pressa quadro quente rainha rede remédio roda sabão sapo semana sino sombra
    tapete tarde tartaruga teatro tesoura tigre tijolo tinta torre trabalho trilho tucano vela verdade vestido viola xadrez""".split()
)
WORDS_HELD_OUT = tuple(
    """planet candle basket pencil valley button copper velvet harbor pocket guitar pillow rocket walnut
    caneta nuvem floresta tambor espelho barco cobra lua vidro mar""".split()
)
# what pictures spell, in capitals
SIGNS = tuple(
    """STOP EXIT OPEN CLOSED SALE TAXI BUS CAFE HOTEL BANK SHOP FOOD MENU HELLO WATER FIRE HELP NORTH SOUTH
    EAST WEST LEFT RIGHT UP DOWN RED BLUE GREEN CAT DOG SUN MOON STAR HOUSE TREE BIRD FISH BOOK MILK BREAD TEA RIO MAR
    SOL LUA CASA GATO PATO BOLA RUA BAR PARE SAIDA FOGO AGUA NORTE SUL LESTE OESTE MESA LIVRO FLOR AMOR VIDA YES NO
    LOVE GAME MUSIC PIZZA ZONE JAZZ QUIZ WAX FOX VAN KEY JUMP KING QUEEN""".split()
)
SIGNS_HELD_OUT = ("PARK", "TOWN", "BEIRA", "LAKE", "PORT", "CLUB", "BIKE", "SNOW", "VENDA", "PRATO", "NUVEM", "TREM")

CITIES = tuple(
    """London Paris Berlin Madrid Lisbon Rome Tokyo Boston Chicago Porto Recife Natal Manaus Curitiba Salvador
    Oslo Dublin Vienna Prague Cairo Lima Quito Bogota Delhi Mumbai Seoul Sydney Perth Toronto Montreal Denver Dallas
    Austin Miami Seattle Geneva Zurich Munich Hamburg Milan Turin Naples Nice Lyon Braga Faro Goiania Fortaleza""".split()
) + ("New York", "São Paulo", "Rio de Janeiro", "San Francisco", "Porto Alegre", "Belo Horizonte", "Los Angeles")
CITIES_HELD_OUT = ("Valencia", "Krakow", "Bergen", "Maputo", "Hong Kong", "Campinas", "Osaka", "Bristol")
NAMES = tuple("Ana Bruno Carla Diego Emma Felipe Grace Hugo Ines Joao Kate Lucas Maria Nina Otto Paula Rosa Sara Tom Vera".split())
NAMES_HELD_OUT = tuple("Miguel Olivia Pedro Teresa".split())

GREETINGS = {
    "en": (
        ("Hello", "Hi", "Hello!", "Hi there", "Hey", "Good morning", "Good evening", "hello", "Hi!"),
        "Hello! How can I help you?",
    ),
    "pt": (
        ("Olá", "Oi", "Olá!", "Bom dia", "Boa tarde", "Boa noite", "oi", "Oi!"),
        "Olá! Como posso ajudar?",
    ),
}
THANKS = {
    "en": (("Thanks", "Thank you", "Thank you!", "Thanks a lot"), "You are welcome!"),
    "pt": (("Obrigado", "Obrigada", "Muito obrigado", "Valeu"), "De nada!"),
}
UNKNOWN = {"en": "I don't know.", "pt": "Não sei."}
ODD_QUESTIONS = {
    "en": tuple(
        """Who wrote {w}?|What is the meaning of {w}?|How do I cook {w}?|Why is the {w} {w}?|Who is the president of {c}?
Tell me a joke about {w}.|Write a poem about the {w}.|When was {n} born?|How old is {n}?|What is the price of {w}?
How far is the {w} from {c}?|Who invented the {w}?|What happened in {y}?|Can you explain {w}?|How many people live in {c}?
What is the best {w} in {c}?|Where does {n} live?|What did {n} say about the {w}?|How does a {w} work?
What is the tallest {w}?|Who won the game in {y}?|Summarize the history of {c}.|Is {n} married?|Write code to sort a list.
What is love?|Who painted the {w}?|How do I get to {c}?|Why do we need {w}?|What is your opinion of {w}?
Translate {w} into German.|How much does a {w} weigh?|What are the rules of {w}?|Give me advice about {w}.
What is the chemical formula of {w}?|Which {w} is the fastest?|When does the {w} open?|Should I buy a {w}?
Explain how {w} and {w} are different.|What language do they speak in {c}?|What color is the {w} of {n}?
How long does it take to learn {w}?|Do you like {w}?|What is {n}'s phone number?|List the planets.
Who discovered {w}?|What is the speed of light?|Tell me about {c}.|Tell me about the {w}.|What is a {w}?
Why did {n} leave {c}?|How can I learn {w}?|What time does the {w} leave?|Where can I find {w}?|Who was {n}?|How many {w} are in the {w}?
How many {w} does a {w} have?|How many {w} live in {c}?|How tall is the {w}?|Is there {w} in {c}?|Can you recommend a {w}?|How is {w} different from {w}?
How do I repair a {w}?|Who can repair the {w} of {n}?|How is life in {c}?|How is {n} these days?|How is the {w} of {c} called?|How is the {w} painted?|How is a {w} of {n} sold?
Where can I learn {w}?""".replace("\n", "|").split("|")
    ),
    "pt": tuple(
        """Quem escreveu {w}?|Qual é o sentido de {w}?|Como se cozinha {w}?|Por que o {w} é {w}?|Quem é o presidente de {c}?
Conte uma piada sobre {w}.|Escreva um poema sobre {w}.|Quando nasceu {n}?|Quantos anos tem {n}?|Qual é o preço de {w}?
Quem inventou {w}?|O que aconteceu em {y}?|Você pode explicar {w}?|Quantas pessoas moram em {c}?
Qual é o melhor {w} de {c}?|Onde mora {n}?|O que {n} disse sobre {w}?|Como funciona {w}?|Quem ganhou o jogo em {y}?
Resuma a história de {c}.|O que é o amor?|Quem pintou {w}?|Como chego em {c}?|Por que precisamos de {w}?
Traduza {w} para o alemão.|Quanto pesa {w}?|Quais são as regras de {w}?|Qual {w} é o mais rápido?|Devo comprar {w}?
Que língua se fala em {c}?|Você gosta de {w}?|Quem descobriu {w}?|Fale sobre {c}.|Fale sobre {w}.|O que é {w}?
Qual é o telefone de {n}?|Quando abre {w}?|Quem foi {n}?|Como posso aprender {w}?|Onde fica {w}?|Quantos {w} tem o {w}?|Quantas {w} há em {c}?|Quanto mede {w}?
Existe {w} em {c}?|Qual é a moeda de {c}?|O que devo levar para {c}?|Como é a vida em {c}?
Como se conserta um {w}?|Quem conserta o {w} de {n}?|Como vai {n}?|Como é o {w} de {n}?|Como se pinta o {w} de {c}?
Onde posso aprender {w}?|Cite algumas cidades de {c}.""".replace("\n", "|").split("|")
    ),
}
ODD_HELD_OUT = {
    "en": (
        "Who wrote Hamlet?", "What is the boiling point of iron?", "How do airplanes fly?", "Who was Napoleon?",
        "Write a short story about a dragon.", "What is quantum physics?", "Which team won the cup in 1998?",
        "How do I fix my car?", "What is the largest ocean?", "Tell me something interesting.",
        "Why is the sky blue?", "Who composed the ninth symphony?", "What is the square root of two?",
        "How many bones are in the body?", "What should I wear tomorrow?", "Is there life on Mars?",
        "Describe the taste of honey.", "What is the currency of Japan?", "How tall is the Eiffel Tower?",
        "Can you recommend a movie?",
    ),
    "pt": (
        "Quem escreveu Dom Casmurro?", "Qual é o maior oceano?", "Como os aviões voam?", "Quem foi Napoleão?",
        "Escreva uma história sobre um dragão.", "O que é física quântica?", "Qual time ganhou a copa de 1998?",
        "Como conserto meu carro?", "Por que o céu é azul?", "Existe vida em Marte?",
        "Qual é a moeda do Japão?", "Quanto mede a Torre Eiffel?", "Você pode recomendar um filme?",
        "Quem compôs a nona sinfonia?", "Quantos ossos tem o corpo?", "O que devo vestir amanhã?",
    ),
}  # fmt: skip


def shape_name(kind: str, colour: str, language: str) -> str:
    """`red circle`, `círculo vermelho`."""
    if language == "en":
        return f"{colour} {kind}"
    noun, is_feminine, _ = KINDS_PT[kind]
    return f"{noun} {COLOURS_PT[colour][is_feminine]}"


def a_shape(kind: str, colour: str, language: str) -> str:
    """With its indefinite article: `an orange star`, `uma estrela laranja`."""
    name = shape_name(kind, colour, language)
    if language == "en":
        return ("an " if name[0] in "aeiou" else "a ") + name
    return ("uma " if KINDS_PT[kind][1] else "um ") + name


def the_shape(kind: str, colour: str | None, language: str) -> str:
    """With its definite article; without a colour, the kind alone."""
    if language == "en":
        return "the " + (kind if colour is None else f"{colour} {kind}")
    noun, is_feminine, _ = KINDS_PT[kind]
    return ("a " if is_feminine else "o ") + (noun if colour is None else shape_name(kind, colour, language))


def a_kind(kind: str, language: str) -> str:
    """`a circle`, `uma estrela`."""
    return f"a {kind}" if language == "en" else f"{'uma' if KINDS_PT[kind][1] else 'um'} {KINDS_PT[kind][0]}"


def kinds_name(kind: str, language: str) -> str:
    """The plural: `crosses`, `cruzes`."""
    return KINDS_PT[kind][2] if language == "pt" else {"cross": "crosses"}.get(kind, kind + "s")


def kind_name(kind: str, language: str) -> str:
    return kind if language == "en" else KINDS_PT[kind][0]


def listed(items: list[str], language: str) -> str:
    """`a, b and c`."""
    if len(items) == 1:
        return items[0]
    return ", ".join(items[:-1]) + (" and " if language == "en" else " e ") + items[-1]

COMMON = (
    "able abrir account achar act add age ago air ajuda all alto amigo andar animal answer antes aprender area areia arm art arte ask assunto aula back bad "
    "bag baixo ball banco banho bank barato barba base beat beber bed big bill bird bit black blood blow board boat body bola bom book born both bottom box "
    "boy braço break bridge brilho bring brother build burn bus busy cabelo café caixa call calor cama caminho campo cantar car card care carry carta casa "
    "casaco case cat catch cause cell chair change chave check chegar cheio child choose church chuva cidade city claro class clear climb clock cloud coat "
    "coisa cold colher come comer compra conta cook cool copo corda corner corpo correr corte cost costa count couro cover cross crowd cry cup cut céu "
    "dance dançar dark date day dedo deep dente desk dia dinner dizer doce dog dono door dor dormir double down draw dream dress drink drive drop dry each "
    "early earth east easy eat edge egg end enter entrar escola escuro espaço even event eye faca face fact falar fall family família far farm fast father "
    "fazer fear feel feira festa field fight filho fill film fim find finger fire fish fit fix floor flor fly fogo folha follow food foot force forest fork "
    "form forte free fresh friend frio front fruit fruta full fundo game garden gas gato gente gift girl give glass goal gold good gosto grande grass great "
    "ground group grow grupo guerra guess gun hair half hall hand hang hard hat head hear heat heavy help hide high hill hit hold hole home homem hope hora "
    "horse hot hotel hour house human hunt hurry ice idea ideia igreja ilha image inch inverno irmão iron island janela job jogo join joke jovem jump keep "
    "kid kill king kiss kitchen knee knife know lado lady lago lake land large last late laugh lavar law lay lead leaf learn leave left leg leite lento ler "
    "letter levar level lie life lift limpo line linha lion lip list livre local loja long longe loss lot loud love low luck lunch luta luz machine mail "
    "main make mala manhã map mark market match meal meat meet mesmo metal milk mind mine miss mix money month moon mother mouth move mundo music máquina "
    "mãe mão mês música nadar nail neck need nest net neve new night noise noite nome north nose novo nurse oil old olho open order ouro ouvir oven owner "
    "pack page pai paint pair palavra papel paper parar parent park part party pass passo path pato paz peace peixe pele pen people pequeno perna perto "
    "phone photo piece pig pipe piso plan plant plate play pobre point ponte pool poor porta post power praia prato press preço price primo print prize "
    "pull push quadro queen quente querer quick quiet race radio rain raiz range rate read record rede rei rent rest rice rich rico ride ring rir rise "
    "river road rock roof root rope rosto round rua rule run rápido safe sal salt sand sangue save scale school score sea search seat seco seed segredo "
    "sell selo sempre send sentar serra serve set shake shape share sharp sheep sheet shelf shine ship shirt shoe shop short shout show side sign silver "
    "sing sister sit size skin sky sleep slow small smell smoke snow soap soft soil sol som song sono sopa sort sorte sound soup south space speak speed "
    "spend spoon sport spot spring staff stage stair stand state stay steel step stick stock stop store storm story street strong study subir sugar suit "
    "sun swim table tail talk tall tank tarde taste tax teach team tell tempo tent terra test teto text thick thin thing think throw tia tie tiger tinta "
    "tip title today tool tooth top total touch tour town toy trabalho track trade train travel tree trem trick trip triste truck trust turn type uncle "
    "under use van velho vender ver verão vida view village vinho visit viver voice voltar voz wait walk wall war warm wash watch wave weak wear week "
    "weight west wheel wide wife wild win wind wine wing winter wire wish woman wood wool work world worry write yard year young zero"
).split()
"""Everyday words, of which a text is never sure what they will be: names of tools and keys, values, filler."""
