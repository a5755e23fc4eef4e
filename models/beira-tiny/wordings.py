"""More ways to ask for what the table of skills does, all of them for training: what is never seen is only understood where
much else was."""

from __future__ import annotations

import random
import re
from collections import Counter

from meanings import ROW_OF, content
from skills import WORDINGS_HELD_OUT


def _rows(text: str) -> dict[str, tuple[str, ...]]:
    """By a skill's first name; a line that begins with a bar goes on with the one before."""
    return {name: tuple(ways.split("|")) for name, ways in (line.split(": ", 1) for line in text.strip().replace("\n|", "|").splitlines())}


ENGLISH = _rows("""
get_weather: Is it raining in {0}?|What will the weather be in {0}?|How warm is it in {0}?|Give me the forecast for {0}.|Do I need an umbrella in {0}?
|Is it cold in {0} today?|I want to know the weather in {0}.|Please check the weather for {0}.|What is it like outside in {0}?|Does it rain in {0}?
|How hot is it in {0}?|Will it be sunny in {0}?|How will the weather be in {0}?|Is the sun out in {0}?|Should I expect rain in {0}?
|What weather do they have in {0}?|Look up the weather for {0}.|Any rain in {0} today?
search: Search {0} on the internet.|Google {0}.|What does the web say about {0}?|I need pages about {0}.|Do a search for {0}.|Find {0} on the web.
|Can you search for {0}?|Look on the web for {0}.|Search for pages on {0}.|Please search {0}.|What can you find about {0}?|Look for {0} on the internet.
|Look {0} up online.|See what the web has on {0}.|Get me pages on {0}.|Run a web search for {0}.|Is there anything about {0} online?|Make a search for {0}.
set_timer: Start the timer: {0} minutes.|Count down {0} minutes.|Tell me when {0} minutes are over.|Give me {0} minutes on the clock.
|Please set the timer to {0} minutes.|Let a timer run for {0} minutes.|Wait {0} minutes, then ring.|Could you time {0} minutes?|Make a timer for {0} minutes.
|A {0} minute timer, please.|Put {0} minutes on the timer.|Turn the timer to {0} minutes.|Get a timer going for {0} minutes.|Make it ring in {0} minutes.
|Let {0} minutes run down.
send_email: Send {0} an email about {1}.|Mail {0} about {1}.|I want to write an email to {0} about {1}.|Compose an email to {0} with the subject {1}.
|Please send a mail to {0} about {1}.|Let {0} have an email on {1}.|Please write {0} an email on {1}.|Could you email {0} about {1}?|Drop {0} a mail about {1}.
|An email to {0}, please: {1}|Put together an email to {0} about {1}.|Get an email to {0} about {1}.|Make an email for {0} with the subject {1}.
|Have an email sent to {0} about {1}.|{0} should get an email about {1}.
convert_currency: Change {0} {1} into {2}.|What are {0} {1} in {2}?|I have {0} {1} and need {2}.|Turn {0} {1} into {2}.|How many {2} do I get for {0} {1}?
|Please convert {0} {1} into {2}.|Swap {0} {1} to {2}.|I want to exchange {0} {1} into {2}.|What would {0} {1} be in {2}?|Give me {2} for {0} {1}.
|Trade {0} {1} for {2}.|Put {0} {1} into {2} for me.|Make {0} {1} into {2}.|What do {0} {1} make in {2}?|Give me {0} {1} as {2}.|How many {2} are {0} {1}?
get_stock_price: How much is {0} stock?|What does a share of {0} cost?|Show me the stock {0}.|Stock quote for {0}, please.|How are shares of {0} doing?
|What is {0} trading at?|I want the price of the stock {0}.|Check the stock {0}.|Is {0} stock up?|How much does {0} stock cost?|Look at the price of {0} shares.
|Give me the price of {0} stock.|The price of {0} stock, please.|What price does {0} stock have?|Look up the stock {0}.|What is a share of {0} worth?
|How is the stock {0} today?
play_music: Put on {0}.|Start the song {0}.|Let me hear {0}.|Please play {0} for me.|I would like to listen to {0}.|Play some {0}.|Turn on the song {0}.
|Please put on the song {0}.|I want to listen to {0}.|Can I hear {0}?|Could you play {0}?|Put the song {0} on.|Give me some {0} to listen to.|Make it play {0}.
|Let the song {0} play.|Get {0} playing.
book_flight: I need a flight from {0} to {1}.|Get me a plane from {0} to {1}.|Are there flights from {0} to {1}?|Fly me from {0} to {1}.
|Flights from {0} to {1}, please.|I have to fly to {1} from {0}.|Look for a flight that leaves {0} for {1}.|Please book me a flight from {0} to {1}.
|I need to fly from {0} to {1}.|I want a plane ticket from {0} to {1}.|How can I fly from {0} to {1}?|Put me on a plane from {0} to {1}.
|Make a flight reservation from {0} to {1}.|Take a flight from {0} to {1} for me.|When is there a flight from {0} to {1}?|Get me to {1} by plane from {0}.
add_todo: I have to remember {0}.|Note {0} as a task.|Put the task {0} down.|New task: {0}|Add a task for {0}.|Do not let me forget {0}.|On my list goes {0}.
|Write {0} on my list of tasks.|Add {0} to the tasks.|I must not forget {0}.|Make {0} a task.|Put {0} down as a task.|Give me the task {0}.
|Keep {0} in mind for me.|Let {0} be on my list.|I need {0} on my list.|To my list: {0}
lookup_user: Which user has the id {0}?|Get the user with id {0}.|Give me user {0}.|What do we know about user {0}?|Open the user {0}.
|I am looking for user {0}.|Search for the user {0}.|Who is the user with id {0}?|Find out who {0} is.|Please find user {0}.|Pull up user {0}.
|Look for the user {0}.|Make user {0} show up.|Tell me about user {0}.|Is there a user {0}?
get_time: How late is it in {0}?|What is the time in {0}?|Do you know the time in {0}?|What time do they have in {0}?|Current time in {0}, please.
|Give me the time in {0}.|I need the local time in {0}.|The time in {0}, please.|Is it late in {0}?|What does the clock say in {0}?|How late is it now in {0}?
|What is the hour in {0}?|Is it morning in {0}?|Look up the time in {0}.|Which time is it in {0}?
send_message: Text {0} that {1}.|Send a message to {0}: {1}|Let {0} know: {1}|Please tell {0}: {1}|A message for {0}: {1}|Say to {0}: {1}|Message to {0}: {1}
|Write to {0}: {1}|Please message {0}: {1}|Send {0} a message that says {1}.|Let {0} read this: {1}|Get this to {0}: {1}|Give {0} the message {1}.
|Put this to {0}: {1}|Make sure {0} hears this: {1}|{0} should know: {1}
order_food: I want {0} {1}.|Get me {0} {1}.|Please order {0} {1}.|Can I have {0} {1}?|We need {0} {1}.|Order me {0} {1}, please.|Purchase {0} {1}.
|Please get {0} {1}.|I need {0} {1}.|I would like to order {0} {1}.|Could you buy {0} {1}?|Make it {0} {1}, please.|Put in an order for {0} {1}.
|Could we get {0} {1}?|Bring {0} {1}.|Have {0} {1} sent to me.|I will take {0} {1}.
set_light: Light in the {0}: {1}.|Change the {0} light to {1}.|I want {1} light in the {0}.|Let the light of the {0} be {1}.|Make the lamp in the {0} {1}.
|Switch the {0} light to {1}.|Please make the {0} light {1}.|Please turn the {0} light {1}.|Could the light in the {0} be {1}?
|Let there be {1} light in the {0}.|Put the {0} light on {1}.|Give the {0} {1} light.|Make it {1} in the {0}.|The light in the {0} should be {1}.
|Have the {0} lamp turn {1}.
set_alarm: Set the alarm to {0}.|I have to get up at {0}.|Ring at {0}.|Please wake me up at {0}.|An alarm for {0}, please.|I need an alarm at {0}.
|Get me up at {0}.|Let the alarm ring at {0}.|Could you wake me at {0}?|I must be up at {0}.|Put the alarm at {0}.|Make the alarm go off at {0}.
|Have me up by {0}.|Give me an alarm at {0}.|I want to be woken at {0}.
translate: What is {0} in {1}?|How is {0} said in {1}?|How is {0} called in {1}?
|Say {0} in {1}.|I need {0} in {1}.|Please translate {0} to {1}.|Give me the {1} for {0}.|Turn {0} into {1}.
|What do they call {0} in {1}?|Could you translate {0} to {1}?|Tell me {0} in {1}.|How would you say {0} in {1}?|I want {0} in {1}.|Make {0} {1}.
|Get me {0} in {1}.|Put the words {0} in {1}.|How does one say {0} in {1}?|What would {0} be in {1}?|Have {0} translated into {1}.
create_event: I have {0} at {1}.|Book {0} into my calendar for {1}.|Plan {0} for {1}.|New event: {0} at {1}.|Make an appointment for {0} at {1}.
|Enter {0} at {1} into the calendar.|Set up {0} for {1}.|Please schedule {0} for {1}.|Could you add {0} at {1} to my calendar?
|I want {0} in the calendar at {1}.|Mark {0} at {1} on the calendar.|Put down {0} for {1} in the calendar.|Make {0} an event at {1}.
|Give {0} a place in my calendar at {1}.|At {1} there is {0}, note it in the calendar.|Get {0} on the calendar for {1}.|Save the date: {0} at {1}.
|The calendar needs {0} at {1}.
|Add the event {0} for {1}.|Add {0} to my agenda for {1}.|In the calendar at {1}, put {0}.|To my calendar for {1}, please add {0}.
get_directions: What is the way from {0} to {1}?|Take me from {0} to {1}.|Which road goes from {0} to {1}?|I want to drive from {0} to {1}.
|Lead me from {0} to {1}.|Guide me from {0} to {1}.|Give me directions from {0} to {1}.|How do I drive from {0} to {1}?|Please show the route from {0} to {1}.
|I am in {0} and want to go to {1}.|Get me from {0} to {1}.|Which way is it from {0} to {1}?|What is the best way from {0} to {1}?
|Give me the route from {0} to {1}.|Make a route from {0} to {1}.
find_restaurant: I would like to eat {0} in {1}.|Is there a {0} restaurant in {1}?|Where in {1} is {0} food?|Get me a table at a {0} restaurant in {1}.
|Any good {0} restaurants in {1}?|Let us eat {0} in {1}.|Recommend a {0} restaurant in {1}.|Please find {0} food in {1}.|Show me {0} restaurants in {1}.
|I am in {1} and want {0} food.|Get me {0} food in {1}.|Where do they serve {0} food in {1}?|Give me a {0} restaurant in {1}.|Who has {0} food in {1}?
|Take me to a {0} restaurant in {1}.
take_note: Write this down: {0}|Note: {0}|New note: {0}|Please note {0}.|Put {0} in a note.|Keep a note that says {0}.|Save the note {0}.|Please write down {0}.
|Note down {0}.|I want a note: {0}|Make a note that {0}.|Put down the note {0}.|Get this down: {0}|Make it a note: {0}|Take this down: {0}|Let me note {0}.
|Keep this: {0}
set_temperature: The {1} should have {0} degrees.|Warm the {1} to {0} degrees.|{0} degrees in the {1}, please.|Turn the heating in the {1} to {0} degrees.
|I want {0} degrees in the {1}.|Change the {1} to {0} degrees.|Let it be {0} degrees in the {1}.|I want the {1} at {0} degrees.
|Could you set the {1} to {0} degrees?|Put the {1} at {0} degrees.|Get the {1} up to {0} degrees.|Give the {1} {0} degrees.|The {1} has to be at {0} degrees.
book_hotel: I want to stay in {0} for {1} nights.|Get me a hotel in {0}, {1} nights.|Reserve a room in {0} for {1} nights.
|A hotel in {0} for {1} nights, please.|Where can I sleep in {0} for {1} nights?|Book me {1} nights in {0}.|We stay {1} nights in {0}.
|We need a hotel in {0} for {1} nights.|Are there rooms in {0} for {1} nights?|I need to sleep in {0} for {1} nights.|Get me a room in {0} for {1} nights.
|Put me up in {0} for {1} nights.|Make a hotel reservation in {0} for {1} nights.|We want a room in {0}, {1} nights.|For {1} nights I need a hotel in {0}.
|I need somewhere to stay in {0} for {1} nights.
get_balance: How much do I have in account {0}?|What is left in account {0}?|Balance of account {0}, please.|Tell me the balance of {0}.
|How is account {0} doing?|Look at the balance of account {0}.|Is there money in account {0}?|Please check the account {0}.
|Could you show me the balance of {0}?|I need the balance of account {0}.|What do I have on account {0}?|Give me the balance of account {0}.
|Get the balance for {0}.|Look up account {0}.|What does account {0} have?|How full is account {0}?
pay_bill: Pay {1} {0} dollars.|I owe {1} {0} dollars.|Send {1} {0} dollars.|Move {0} dollars to {1}.|Please transfer {0} dollars to {1}.
|{1} gets {0} dollars from me.|Wire {0} dollars to {1}.|I want to pay {1} {0} dollars.|Could you send {0} dollars to {1}?|Let {1} have {0} dollars.
|Please pay {1} {0} dollars.|Make a payment of {0} dollars to {1}.|Get {0} dollars to {1}.|Put {0} dollars on the way to {1}.|{0} dollars should go to {1}.
|Have {0} dollars sent to {1}.
get_recipe: What is the recipe for {0}?|How is {0} usually made at home?
|I want to cook {0}.|How can I make {0}?|Show me how to cook {0}.|A recipe for {0}, please.|What do I need to cook {0}?
|Tell me how {0} is cooked.|How do you make {0}?|How does one make {0}?|I need a recipe for {0}.|I want to make {0}. How?|How would I make {0}?
|What goes into {0}?|Get me a recipe for {0}.|What is {0} made of?|How do they make {0}?|How is it done, cooking {0}?
|How is {0} cooked at home?|How do people prepare {0}?|How should {0} be cooked?|How do you get {0} made?|What is good {0} made from?|How is a good {0} usually prepared?
|How is {0} made by a cook?
read_file: Show {0}.|What does the file {0} say?|Print the file {0}.|Let me see {0}.|Read {0} to me.|Give me what is in {0}.|Please open the file {0}.
|I want to read {0}.|Could you open {0}?|Tell me what {0} says.|Please show the file {0}.|I need to see the file {0}.|Get me the file {0}.|Let me read {0}.
|Put {0} on the screen.|Give me a look at {0}.|I want to see what {0} says.
delete_file: Get rid of {0}.|Throw the file {0} away.|I do not need {0} any more.|Please delete {0}.|Delete {0} from the disk.|Take the file {0} away.
|The file {0} can go.|Could you delete {0}?|I want {0} gone.|Drop the file {0}.|Please remove the file {0}.|Make {0} go away.|Put {0} in the trash.
|Clear away the file {0}.|Have {0} deleted.|Take {0} off the disk.
create_ticket: File a {1} ticket: {0}|There is a {1} problem with {0}.|New {1} ticket about {0}.|Make a ticket for {0}, priority {1}.
|Open a ticket: {0}, {1} priority.|I want to report {0} with {1} priority.|Log {0} as a {1} issue.|Please open a {1} ticket: {0}
|{0} does not work, priority {1}.|Report {0}, it is {1}.|Could you file {0} as {1}?|Put in a {1} ticket for {0}.|Make it a {1} ticket: {0}
|Give {0} a ticket with {1} priority.|Get a {1} ticket going for {0}.|We have a {1} issue: {0}
order_status: How is my order {0}?|When does order {0} come?|Tell me the status of order {0}.|Has order {0} been sent?|What about my order {0}?
|Look up order {0}.|Status of the order {0}, please.|Please check order {0}.|Could you look at my order {0}?|How far is order {0}?
|I want to know where order {0} is.|Get the status of order {0}.|Give me news of my order {0}.|Look for order {0}.|Is order {0} on its way?
|Did my order {0} leave?
add_contact: {0} has the address {1}.|Save the contact {0} with {1}.|New contact: {0}, {1}|Put {0} into my contacts: {1}|Remember {1} as the address of {0}.
|The address of {0} is {1}, save it.|Store {1} for {0}.|Add {1} to my contacts as {0}.|Could you save {0}, {1}?|Put {1} down for {0}.
|Make {0} a contact with {1}.|Keep {1} as the address of {0}.|Get {0} into my contacts, {1}.|{0} can be reached at {1}, save it.
|Note {1} as the address of {0}.|A new contact, {0}: {1}
get_news: What is new about {0}?|What do the news say about {0}?|Read me the news on {0}.|News about {0}, please.|Tell me the latest news about {0}.
|I want news about {0}.|Find the latest on {0}.|Please get me the news about {0}.|Has anything happened with {0}?|What is going on with {0}?
|Show the headlines on {0}.|Get me the headlines on {0}.|Bring me up to date on {0}.|What is in the news about {0}?|Look up the news about {0}.
|Are there news on {0}?
lock_door: Set the {0} door to {1}.|Keep the {0} door {1}.|Have the {0} door {1}.|See that the {0} door is {1}.|Leave the {0} door {1}.
|Please make the {0} door {1}.|The {0} door has to be {1}.|Could you make the {0} door {1}?|Please see to it that the {0} door is {1}.
|The {0} door: {1}, please.|Get the {0} door {1}.|Put the {0} door to {1}.|Let the {0} door be {1}.|Turn the {0} door to {1}.|Make sure the {0} door is {1}.
|I would like the {0} door to be {1}.|Could the {0} door be {1}?
set_volume: Make it {0} percent loud.|Volume to {0}.|Put the volume at {0}.|I want the volume at {0}.|Let the volume be {0}.|Sound at {0} percent, please.
|Play it at volume {0}.|Could you set the volume to {0}?|Turn it to {0} percent.|I want it {0} percent loud.|Please set the sound to {0}.
|Give me {0} percent volume.|Make the volume {0}.|Bring the volume to {0} percent.|Have the sound at {0}.|Get the volume to {0}.
get_distance: How far is {1} from {0}?|Distance from {0} to {1}?|How many miles are between {0} and {1}?|Is it far from {0} to {1}?
|Measure the way between {0} and {1}.|Tell me how far {0} is from {1}.|What lies between {0} and {1}, in kilometers?|Is {0} far from {1}?|Is {0} near {1}?
|{0} to {1}: how far is it?|Could you tell me the distance from {0} to {1}?|How long is the way from {0} to {1}?|How far apart are {0} and {1}?
|Give me the distance from {0} to {1}.|How many kilometers lie between {0} and {1}?|Get the distance between {0} and {1}.
find_movie: Look for the movie {0}.|Do you have the film {0}?|Search the movie {0}.|I am looking for the film {0}.|Let us watch {0}.|Which cinema shows {0}?
|Is the movie {0} on?|Is there a film with the name {0}?|Could you find the film {0}?|Please look up the movie {0}.|Where is {0} on?
|Where could one watch the movie {0}?
|I want to see the movie {0}.|Get me the movie {0}.|Is there a film called {0}?|Which movie is called {0}?|Do they show {0}?
|Can I watch the movie {0} somewhere?
|I want to watch {0} tonight.|When can I watch the film {0}?|Tell me who shows {0}.|On which channel is {0}?|Can I see the movie {0} at the cinema?
water_plants: Pour {0} liters on the plants.|My plants want {0} liters of water.|Use {0} liters to water the plants.|{0} liters for the plants, please.
|Let the plants have {0} liters.|Please water the garden with {0} liters.|Could you water the plants with {0} liters?|Water for the plants: {0} liters.
|Let {0} liters flow to the plants.|Put {0} liters on the plants.|Bring the plants {0} liters.|Get {0} liters to the plants.|Make it {0} liters for the plants.
|The plants should get {0} liters.
buy_ticket: I want {0} tickets for {1}.|Book {0} tickets for {1}.|We would like {0} tickets to {1}.|{0} tickets for {1}, please.|Order {0} seats for {1}.
|Please buy {0} tickets to {1}.|Reserve {0} tickets for {1}.|Could you get {0} tickets to {1}?|I want to see {1}, {0} tickets please.|Get {0} tickets for {1}.
|Put {0} tickets for {1} on my card.|Take {0} tickets for {1}.|Make it {0} tickets for {1}.|Can we have {0} tickets to {1}?
run_query: Show the rows of {0}.|Get all rows from the table {0}.|Read the table {0}.|What does the table {0} hold?|Look into the table {0} of the database.
|Print the table {0}.|Fetch everything in the table {0}.|Show me the table {0}.|I want all of the table {0}.|Please query {0}.|Give me every row of {0}.
|Select all from the table {0}.|Get me the table {0}.|Look up what is in {0}.|Give me the table {0}.|Take a look at the table {0}.|Which rows does {0} have?
charge_car: Load the car to {0} percent.|Charge my car up to {0} percent.|Put {0} percent into the car.|Charge until the car has {0} percent.
|I need {0} percent in the car.|The battery of the car needs {0} percent.|Please charge the car to {0} percent.|I want the car at {0} percent.
|Could you charge the car to {0} percent?|Bring the car to {0} percent.|Let the car charge to {0} percent.|Get the car to {0} percent.
|Make the car {0} percent full.|Give the car {0} percent.|Have the car charged to {0} percent.|Take the car up to {0} percent.
""")
PORTUGUESE = _rows("""
get_weather: Está chovendo em {0}?|Qual é a previsão para {0}?|Vai chover em {0}?|Faz frio em {0} hoje?|Preciso de guarda-chuva em {0}?
|Quero saber o tempo em {0}.|Que tempo faz em {0}?|Veja o clima de {0}.|Faz calor em {0}?|Chove em {0}?|Preciso da previsão do tempo em {0}.
|Vai fazer sol em {0}?|Me diga o clima em {0}.|Como vai estar o tempo em {0}?|O sol saiu em {0}?|Devo esperar chuva em {0}?|Procure o clima de {0}.
|Tem chuva em {0} hoje?|Dê a previsão de {0}.
search: Pesquise {0} na internet.|Procure páginas sobre {0}.|O que a web diz sobre {0}?|Faça uma busca por {0}.|Encontre {0} na web.|Você pode pesquisar {0}?
|Busque {0}.|Quero páginas sobre {0}.|Por favor, pesquise {0}.|Dê uma busca em {0}.|O que você acha na web sobre {0}?|Procure {0} na internet.
|Preciso de páginas sobre {0}.|Veja o que a web tem sobre {0}.|Há algo sobre {0} na internet?|Faça uma pesquisa: {0}|Traga páginas sobre {0}.
|Quero saber de {0}, procure na web.|Ache {0} na web.
set_timer: Inicie um timer de {0} minutos.|Conte {0} minutos.|Avise-me em {0} minutos.|Ponha o timer em {0} minutos.|Quero um timer de {0} minutos.
|Marque {0} minutos no timer.|Preciso que conte {0} minutos.|Ligue um timer de {0} minutos.|Faça um timer para {0} minutos.|Você pode contar {0} minutos?
|Um timer de {0} minutos, por favor.|Dê-me {0} minutos no timer.|Faça tocar em {0} minutos.|Deixe o timer em {0} minutos.|Coloque {0} minutos no timer.
|O timer deve contar {0} minutos.
send_email: Mande um email para {0} sobre {1}.|Quero escrever um email a {0} sobre {1}.|Envie a {0} um email sobre {1}.|Um email para {0} sobre {1}, por favor.
|Escreva um email para {0} com o assunto {1}.|Preciso mandar um email para {0} sobre {1}.|Escreva a {0} sobre {1}.|Mande para {0} um email com o assunto {1}.
|Você pode escrever a {0} sobre {1}?|Quero enviar um email para {0} sobre {1}.|Faça um email a {0} sobre {1}.|{0} deve receber um email sobre {1}.
|Passe um email a {0} sobre {1}.|Dê a {0} um email sobre {1}.|Deixe um email para {0} com o assunto {1}.
convert_currency: Quantos {2} são {0} {1}?|Tenho {0} {1} e preciso de {2}.|Mude {0} {1} para {2}.|Passe {0} {1} para {2}.|Quanto dá {0} {1} em {2}?
|Transforme {0} {1} em {2}.|Preciso converter {0} {1} em {2}.|Qual é o valor de {0} {1} em {2}?|Câmbio de {0} {1} para {2}.|Quero {2} por {0} {1}.
|Dê-me {0} {1} em {2}.|Faça de {0} {1} {2}.|{0} {1} são quantos {2}?|Ponha {0} {1} em {2}.|Quanto fica {0} {1} em {2}?
get_stock_price: Quanto custa a ação {0}?|Quanto vale uma ação de {0}?|Mostre a cotação de {0}.|Preço da ação {0}, por favor.|A ação {0} subiu?
|Diga o preço da ação {0}.|Preciso da cotação de {0}.|Veja como está {0} na bolsa.|Por quanto sai a ação {0}?|Consulte a ação {0}.|Dê o preço da ação {0}.
|Que preço tem a ação {0}?|Procure a ação {0}.|Quanto está {0} na bolsa?|Como vai a ação {0} hoje?
play_music: Ponha {0} para tocar.|Toque {0} para mim.|Comece a música {0}.|Ouça {0} comigo.|Quero escutar {0}.|Coloque a música {0}.|Deixe-me ouvir {0}.
|Gostaria de ouvir {0}.|Vamos ouvir {0}.|Posso ouvir {0}?|Queria escutar a música {0}.|Você pode tocar {0}?|Faça tocar {0}.|Dê-me {0} para ouvir.
|Deixe tocar {0}.|Bote {0} para tocar.|Passe a música {0}.
book_flight: Preciso de um voo de {0} para {1}.|Há voos de {0} para {1}?|Procure um voo que saia de {0} para {1}.|Um voo de {0} a {1}, por favor.
|Tenho de voar para {1} saindo de {0}.|Compre uma passagem de {0} para {1}.|Quero um voo de {0} para {1}.|Preciso voar de {0} para {1}.
|Gostaria de voar de {0} até {1}.|Encontre um voo de {0} para {1}.|Quero ir de avião de {0} para {1}.|Vou voar de {0} para {1}, reserve.
|Ponha-me num voo de {0} para {1}.|Faça uma reserva de voo de {0} para {1}.|Quando há um voo de {0} para {1}?|Arrume um voo de {0} a {1}.
|Leve-me de avião de {0} a {1}.
add_todo: Nova tarefa: {0}|Coloque {0} na lista de tarefas.|Tenho de lembrar {0}.|Não me deixe esquecer {0}.|Anote a tarefa {0}.|Inclua {0} nas minhas tarefas.
|Escreva {0} na minha lista.|Adicione a tarefa {0}.|Preciso lembrar de {0}.|Lembre-me de {0}.|Minha lista precisa de {0}.|Faça de {0} uma tarefa.
|Lembre disto: {0}|Lembre que tenho {0}.|Preciso de {0} na lista.|Guarde {0} como tarefa.|Dê-me a tarefa {0}.|Lembre-se de {0}.|Na minha lista: {0}
lookup_user: Procure o usuário {0}.|Qual usuário tem o id {0}?|Abra o usuário {0}.|Veja o usuário {0}.|Busque o usuário com id {0}.|Quero ver o usuário {0}.
|Preciso do usuário {0}.|Me mostre quem é {0}.|Diga quem é o usuário {0}.|Encontre quem tem o id {0}.|Consulte o usuário {0}.|Traga o usuário {0}.
|Fale do usuário {0}.|Há um usuário {0}?|Ache o usuário {0}.|O que sabemos do usuário {0}?
get_time: Qual é a hora em {0}?|Que hora é agora em {0}?|Sabe que horas são em {0}?|Mostre a hora de {0}.|Preciso da hora local em {0}.
|A hora em {0}, por favor.|Diga que horas são em {0}.|Que horas marca o relógio em {0}?|É tarde em {0}?|Quero saber a hora em {0}.|Que horas tem em {0}?
|É de manhã em {0}?|Veja a hora em {0}.|Quantas horas são em {0}?|Dê a hora de {0}.
send_message: Mande a {0} a mensagem {1}.|Uma mensagem para {0}: {1}|Avise {0}: {1}|Escreva a {0}: {1}|Fale para {0}: {1}|Envie para {0}: {1}
|Mande para {0}: {1}|Quero dizer a {0}: {1}|Preciso avisar {0}: {1}|Conte a {0}: {1}|Mande uma mensagem a {0} que diz {1}.|Dê a {0} a mensagem {1}.
|Deixe uma mensagem para {0}: {1}|{0} deve saber: {1}|Faça chegar a {0}: {1}|Passe a {0} a mensagem {1}.|Diga isto a {0}: {1}|Diga para {0}: {1}
order_food: Gostaria de {0} {1}.|Encomende {0} {1}.|Traga {0} {1}.|Precisamos de {0} {1}.|Peça para mim {0} {1}.|{0} {1}, por favor.|Quero comprar {0} {1}.
|Preciso de {0} {1}.|Compre para mim {0} {1}.|Você pode pedir {0} {1}?|Faça um pedido de {0} {1}.|Dê-me {0} {1}.|Pegue {0} {1}.|Mande vir {0} {1}.
|Vou querer {0} {1}.
set_light: Deixe a luz de {0} em {1}.|Quero luz {1} em {0}.|Troque a luz de {0} para {1}.|Faça a luz de {0} ficar {1}.|A luz de {0} deve ser {1}.
|Acenda a luz de {0} em {1}.|Quero a luz de {0} em {1}.|A luz de {0} em {1}, por favor.|Ponha luz {1} em {0}.|Preciso de luz {1} em {0}.|Dê luz {1} a {0}.
|Faça {0} ficar em luz {1}.|Bote a luz de {0} em {1}.|Em {0} quero luz {1}.|Passe a luz de {0} para {1}.
set_alarm: Acorde-me amanhã às {0}.|Ponha o alarme para {0}.|Tenho de levantar às {0}.|Toque às {0}.|Um alarme às {0}, por favor.|Preciso de um alarme para {0}.
|Preciso acordar às {0}.|Quero um alarme às {0}.|Ligue o alarme para {0}.|Você pode me acordar às {0}?|Me acorde às {0}.|Marque o alarme para {0}.
|Faça o alarme tocar às {0}.|Deixe o alarme para {0}.|Dê-me um alarme às {0}.|Quero ser acordado às {0}.|Bote o alarme às {0}.
translate: O que é {0} em {1}?|Como é {0} em {1}?|Como se chama {0} em {1}?
|Diga {0} em {1}.|Preciso de {0} em {1}.|Verta {0} para {1}.|Quero {0} em {1}.|Como fica {0} em {1}?|Quero saber {0} em {1}.
|Como se fala {0} em {1}?|Preciso da tradução de {0} para {1}.|Ponha {0} em {1}.|Você pode traduzir {0} para {1}?|Escreva {0} em {1}.|Dê-me {0} em {1}.
|Faça {0} em {1}.|Leve {0} para {1}.|Qual é a palavra {1} para {0}?|Ache {0} em {1}.|Deixe {0} em {1}.|Passe isto para {1}: {0}
create_event: Tenho {0} às {1}.|Ponha {0} na agenda às {1}.|Novo evento: {0} às {1}.|Crie um compromisso {0} às {1}.|Inclua {0} no calendário às {1}.
|Programe {0} para {1}.|Preciso agendar {0} para {1}.|Quero {0} na agenda às {1}.|Reserve {1} para {0}.|Anote {0} na agenda para {1}.
|Marque o evento {0} para {1}.|Dê lugar a {0} às {1} na agenda.|Faça um evento {0} às {1}.|Deixe {0} na agenda para {1}.|Às {1} tenho {0}, anote na agenda.
|Bote {0} no calendário às {1}.|A agenda precisa de {0} às {1}.
get_directions: Qual é o caminho de {0} a {1}?|Leve-me de {0} até {1}.|Que estrada vai de {0} a {1}?|Quero dirigir de {0} a {1}.|Como chego de {0} a {1}?
|Guie-me de {0} para {1}.|Como ir de {0} para {1}?|Quero ir de {0} até {1}.|Preciso chegar a {1} saindo de {0}.|Diga o caminho de {0} para {1}.
|Estou em {0}, como vou a {1}?|Dê o caminho de {0} a {1}.|Qual é a melhor rota de {0} para {1}?|Faça uma rota de {0} a {1}.|Por onde vou de {0} a {1}?
|Mostre como ir de {0} a {1}.
find_restaurant: Quero comer comida {0} em {1}.|Há um restaurante {0} em {1}?|Onde em {1} há comida {0}?|Recomende um restaurante {0} em {1}.
|Busque comida {0} em {1}.|Vamos comer {0} em {1}.|Preciso de um restaurante {0} em {1}.|Quero um restaurante {0} em {1}.|Existe comida {0} em {1}?
|Mostre restaurantes {0} em {1}.|Estou em {1} e quero comida {0}.|Dê-me um restaurante {0} em {1}.|Quem tem comida {0} em {1}?
|Leve-me a um restaurante {0} em {1}.|Onde servem comida {0} em {1}?|Ache comida {0} em {1}.
take_note: Nova nota: {0}|Escreva a nota {0}.|Tome nota: {0}|Faça uma nota: {0}|Guarde a nota {0}.|Registre que {0}.|Quero anotar {0}.|Preciso anotar {0}.
|Escreva: {0}|Anote isto: {0}|Guarde: {0}|Deixe a nota {0}.|Ponha numa nota: {0}|Tome esta nota: {0}|Dê nota disto: {0}|Faça a nota {0}.|Guarde isto: {0}
set_temperature: Quero {0} graus em {1}.|Mude {1} para {0} graus.|{0} graus em {1}, por favor.|Esquente {1} até {0} graus.|Coloque {1} em {0} graus.
|A temperatura de {1} deve ser {0} graus.|Ponha {1} em {0} graus.|Preciso de {0} graus em {1}.|Ajuste {1} para {0} graus.|Mantenha {1} em {0} graus.
|Faça {0} graus em {1}.|Deixe a temperatura de {1} em {0} graus.|Dê {0} graus a {1}.|Faça {1} ficar a {0} graus.|Bote {0} graus em {1}.
|{1} deve estar a {0} graus.|Deixe a {0} graus: {1}.|Passe {1} para {0} graus.
book_hotel: Quero ficar em {0} por {1} noites.|Um hotel em {0} por {1} noites, por favor.|Onde posso dormir em {0} por {1} noites?
|Procure um hotel em {0} para {1} noites.|Reserve {1} noites em {0}.|Vamos ficar {1} noites em {0}.|Quero um quarto em {0} para {1} noites.
|Procure um quarto em {0} por {1} noites.|Há quartos em {0} por {1} noites?|Arrume um quarto de hotel em {0} por {1} noites.
|Preciso dormir em {0} por {1} noites.|Dê-me um quarto em {0} por {1} noites.|Faça uma reserva de hotel em {0} por {1} noites.
|Ache um hotel em {0} por {1} noites.|Por {1} noites preciso de um hotel em {0}.|Ponha-me num hotel em {0} por {1} noites.
get_balance: Quanto tenho na conta {0}?|Veja o saldo de {0}.|Diga o saldo da conta {0}.|Há dinheiro na conta {0}?|Saldo da conta {0}, por favor.
|Quanto resta na conta {0}?|Preciso do saldo da conta {0}.|Consulte a conta {0}.|Mostre quanto há na conta {0}.|Qual o saldo de {0}?
|Quero saber o saldo da conta {0}.|Dê o saldo da conta {0}.|Quanto tem a conta {0}?|Procure a conta {0}.|Traga o saldo de {0}.|Como está a conta {0}?
pay_bill: Mande {0} reais para {1}.|Devo {0} reais a {1}.|Pague a {1} {0} reais.|Dê {0} reais a {1}.|Faça um pagamento de {0} reais a {1}.
|{1} recebe {0} reais de mim.|Preciso mandar {0} reais para {1}.|Passe {0} reais a {1}.|Deposite {0} reais para {1}.|Entregue {0} reais a {1}.
|Faça {0} reais chegar a {1}.|{1} deve receber {0} reais.|Leve {0} reais a {1}.|Ponha {0} reais na conta de {1}.|Deixe {0} reais para {1}.
get_recipe: Qual é a receita de {0}?|Quero cozinhar {0}.|Como posso fazer {0}?|Mostre uma receita de {0}.|Ensine-me a fazer {0}.|Uma receita de {0}, por favor.
|Como se cozinha {0}?|Como fazem {0}?|Quero fazer {0}.|Preciso de uma receita de {0}.|Como é feito {0}?|Procure receitas com {0}.|Diga como se faz {0}.
|Como é que se faz {0}?|Como se prepara {0}?|O que vai em {0}?|De que é feito {0}?|Dê a receita de {0}.|Ache uma receita de {0}.
read_file: Mostre o arquivo {0}.|O que diz o arquivo {0}?|Quero ler {0}.|Deixe-me ver {0}.|Leia {0} para mim.|Abra o arquivo {0}.|Mostre o que há em {0}.
|Preciso ler o arquivo {0}.|O que tem em {0}?|Você pode abrir {0}?|Dê uma olhada em {0}.|Ponha {0} na tela.|Traga o arquivo {0}.|Faça a leitura de {0}.
|Deixe-me ler {0}.
delete_file: Apague {0}.|Jogue fora o arquivo {0}.|Não preciso mais de {0}.|Elimine {0}.|Tire o arquivo {0}.|O arquivo {0} pode sumir.|Quero apagar {0}.
|Preciso excluir {0}.|Delete o arquivo {0}.|Pode apagar o arquivo {0}.|Retire o arquivo {0}.|Faça {0} sumir.|Ponha {0} no lixo.|Dê fim a {0}.
|Deixe o disco sem {0}.|Leve o arquivo {0} embora.
create_ticket: Novo chamado {1}: {0}|Há um problema {1} com {0}.|Registre {0} como problema {1}.|Faça um chamado para {0}, prioridade {1}.
|Quero relatar {0} com prioridade {1}.|Abra um chamado {1} sobre {0}.|Informe {0} como {1}.|Preciso relatar {0} como {1}.|Registre um problema {1}: {0}
|Crie um chamado sobre {0}, é {1}.|Relate que {0} está {1}.|{0} é um problema {1}, relate.|Dê a {0} um chamado {1}.|Ponha {0} como chamado {1}.
|Temos um problema {1}: {0}|Faça um chamado {1}: {0}|Deixe um chamado {1} sobre {0}.
order_status: Como está o pedido {0}?|Onde está o meu pedido {0}?|Quando chega o pedido {0}?|Veja o pedido {0}.|O pedido {0} já saiu?
|Diga a situação do pedido {0}.|Me diga onde está o pedido {0}.|Consulte o pedido {0}.|Quero saber do pedido {0}.|Confira o pedido {0}.
|Preciso da situação do pedido {0}.|Em que pé está o pedido {0}?|Dê notícia do pedido {0}.|O meu pedido {0} vem?|Ache o pedido {0}.|O pedido {0} está a caminho?
|Procure o pedido {0}.
add_contact: O endereço de {0} é {1}, salve.|Novo contato: {0}, {1}|Guarde {1} para {0}.|Ponha {0} nos contatos: {1}|Inclua o contato {0} com {1}.
|Lembre {1} como endereço de {0}.|Salve {0} nos meus contatos: {1}|Crie o contato {0} com {1}.|Quero salvar {1} para {0}.|Anote o endereço de {0}: {1}
|Novo contato {0} com {1}.|Ponha {1} como endereço de {0}.|Faça de {0} um contato com {1}.|Deixe {0} nos contatos com {1}.|{0} tem o endereço {1}, guarde.
|Leve {0} aos contatos: {1}
get_news: O que há de novo sobre {0}?|Notícias sobre {0}, por favor.|Leia as notícias sobre {0}.|Quero notícias de {0}.|Conte as novidades sobre {0}.
|O que dizem as notícias sobre {0}?|Há notícias sobre {0}?|Preciso de notícias sobre {0}.|Alguma novidade sobre {0}?|Tem novidades de {0}?
|O que aconteceu com {0}?|Procure notícias sobre {0}.|Dê as notícias de {0}.|Traga as novidades de {0}.|Saiu algo sobre {0}?|Há algo novo sobre {0}?
|O que está nas notícias sobre {0}?|Temos notícias sobre {0}?
lock_door: A porta {0} tem de ficar {1}.|Ponha a porta {0} como {1}.|Mantenha a porta {0} {1}.|Faça a porta {0} ficar {1}.|Preciso da porta {0} {1}.
|Por favor, porta {0} {1}.|Quero que a porta {0} fique {1}.|Coloque a porta {0} em {1}.|A porta {0}: {1}, por favor.|Você pode deixar a porta {0} {1}?
|Preciso que a porta {0} esteja {1}.|Faça com que a porta {0} fique {1}.|Passe a porta {0} para {1}.|A porta {0} precisa ficar {1}.|Bote a porta {0} em {1}.
|Leve a porta {0} a {1}.
set_volume: Volume em {0}.|Quero o volume em {0}.|Deixe o volume em {0}.|Coloque o volume a {0} por cento.|Som em {0} por cento, por favor.
|Ajuste o volume para {0}.|Suba o volume para {0}.|Preciso do volume em {0}.|Volume a {0} por cento.|Você pode pôr o volume em {0}?|O volume deve ficar em {0}.
|Dê-me {0} por cento de volume.|Faça o volume ficar em {0}.|Leve o volume a {0}.|Bote o som em {0} por cento.|Passe o volume para {0}.
get_distance: A que distância fica {0} de {1}?|Quanto falta de {0} a {1}?|Quão longe é {0} de {1}?|Distância de {0} a {1}?|Meça o caminho entre {0} e {1}.
|É longe de {0} até {1}?|{0} fica a que distância de {1}?|{0} está a quantos quilômetros de {1}?|De {0} a {1}, qual é a distância?|É longe ir de {0} a {1}?
|Quero saber a distância de {0} até {1}.|Quão longe fica {0} de {1}?|{0} está perto de {1}?|Dê a distância de {0} a {1}.
|Qual é o caminho em quilômetros de {0} a {1}?|Fica longe {0} de {1}?|Fica {0} perto ou longe de {1}?
find_movie: Procure o filme {0}.|Há o filme {0}?|Busque o filme {0}.|Onde passa {0}?|Quero ver o filme {0}.|Vamos assistir {0}.|Você tem o filme {0}?
|Você conhece o filme chamado {0}?|Existe o filme {0}?|Tem algum filme de nome {0}?|Quero assistir ao filme {0}.|Preciso do filme {0}.|Ache o filme {0}.
|Dê-me o filme {0}.|Que filme se chama {0}?|Está passando {0}?|Há um filme de nome {0}?|Temos o filme {0}?
water_plants: Ponha {0} litros nas plantas.|Quero {0} litros nas plantas.|Use {0} litros para regar as plantas.|{0} litros para as plantas, por favor.
|Molhe as plantas com {0} litros.|Minhas plantas querem {0} litros.|Preciso regar as plantas com {0} litros.|Jogue {0} litros nas plantas.
|Coloque {0} litros de água nas plantas.|Águe as plantas com {0} litros.|Dê às plantas {0} litros.|Leve {0} litros às plantas.
|Faça {0} litros chegar às plantas.|As plantas devem ter {0} litros.|Bote {0} litros nas plantas.
buy_ticket: Quero comprar {0} ingressos para {1}.|Reserve {0} ingressos para {1}.|{0} ingressos de {1}, por favor.|Gostaria de {0} ingressos para {1}.
|Arrume {0} ingressos para {1}.|Peça {0} lugares para {1}.|Precisamos de {0} lugares para {1}.|Preciso comprar {0} ingressos de {1}.
|Consiga {0} ingressos para {1}.|Quero ver {1}, {0} ingressos.|Compre {0} bilhetes para {1}.|Dê-me {0} ingressos para {1}.|Pegue {0} ingressos de {1}.
|Ponha {0} ingressos de {1} no meu cartão.|Faça a compra de {0} ingressos para {1}.|Podemos ter {0} ingressos para {1}?
run_query: Mostre as linhas da tabela {0}.|Leia a tabela {0}.|O que tem a tabela {0}?|Pegue tudo da tabela {0}.|Veja a tabela {0} no banco de dados.
|Busque as linhas de {0}.|Quero as linhas da tabela {0}.|Preciso da tabela {0}.|Selecione tudo da tabela {0}.|Quais linhas há na tabela {0}?|Olhe a tabela {0}.
|Dê-me a tabela {0}.|Traga as linhas de {0}.|Ache tudo na tabela {0}.|Dê uma olhada na tabela {0}.|Faça uma consulta à tabela {0}.
charge_car: Carregue o carro a {0} por cento.|Quero o carro em {0} por cento.|Ponha {0} por cento no carro.|Preciso de {0} por cento no carro.
|A bateria do carro precisa de {0} por cento.|Deixe o carro com {0} por cento.|Preciso do carro com {0} por cento.|Encha a bateria até {0} por cento.
|O carro precisa de {0} por cento.|Bateria do carro em {0} por cento.|Complete a carga do carro até {0} por cento.|Dê {0} por cento ao carro.
|Leve o carro a {0} por cento.|Faça o carro chegar a {0} por cento.|O carro deve chegar a {0} por cento.|Passe a bateria do carro para {0} por cento.
""")


def _fillers(rows: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Words that requests have without saying by them what is asked for."""
    told: Counter[str] = Counter()
    for ways in rows.values():
        told.update({w.lower() for way in ways for w in re.findall(r"\w+", way) if not w.isdigit()})
    return tuple(sorted(w for w, n in told.items() if n > 2 and w not in ROW_OF))


FILLERS = {"en": _fillers(ENGLISH), "pt": _fillers(PORTUGUESE)}


def blurred(rng: random.Random, wording: str, ways: tuple[str, ...], language: str) -> str:
    """A wording some of whose words are left out or are others: all but those that tell what is asked for, as they are in the
    dictionary or in several of the `ways` to ask it, and those beside a value. What has no such words stays as it is, as does what
    would become a wording that is held out."""
    common = Counter(w for way in ways for w in set(content(way)))
    words = wording.split()
    telling = [any(w in ROW_OF or common[w] > 2 for w in content(word)) for word in words]
    if not any(telling):
        return wording
    is_value = [False, *("{" in word for word in words), False]
    made = []
    for i, (word, is_telling) in enumerate(zip(words, telling, strict=True)):
        end = word[-1] if word[-1] in ".?!,:" else ""
        r = 1.0 if is_telling or any(is_value[i : i + 3]) else rng.random()
        if r < 0.3:
            made.append(rng.choice(FILLERS[language]) + end)
        elif r < 0.5 and not end:
            continue
        else:
            made.append(word)
    text = " ".join(made)
    return wording if text.lower() in WORDINGS_HELD_OUT else text[0].upper() + text[1:]
