"""What people write around personal data, by kind and locale, and what they write otherwise. All made up."""

from collections.abc import Mapping

LOCALES = ("en", "es", "fr", "de", "it", "nl", "pl", "pt", "sv")

FILLERS: Mapping[str, tuple[str, ...]] = {
    "en": ("I paid £42.50 on 3 May.", "Please help!", "It has been 2 weeks now.", "Order 48213 is late."),
    "es": ("Pagué 42,50 € el 3 de mayo.", "¡Ayuda, por favor!", "Llevo 2 semanas esperando."),
    "fr": ("J'ai payé 42,50 € le 3 mai.", "Merci de m'aider !", "Cela fait 2 semaines."),
    "de": ("Ich habe am 3. Mai 42,50 € bezahlt.", "Bitte helfen Sie mir!", "Seit 2 Wochen warte ich."),
    "it": ("Ho pagato 42,50 € il 3 maggio.", "Aiuto, per favore!", "Aspetto da 2 settimane."),
    "nl": ("Ik heb op 3 mei € 42,50 betaald.", "Help alstublieft!", "Ik wacht al 2 weken."),
    "pl": ("Zapłaciłem 42,50 zł 3 maja.", "Proszę o pomoc!", "Czekam już 2 tygodnie."),
    "pt": ("Paguei 42,50 € no dia 3 de maio.", "Ajuda, por favor!", "Espero há 2 semanas."),
    "sv": ("Jag betalade 42,50 kr den 3 maj.", "Hjälp mig!", "Jag har väntat i 2 veckor."),
}

_ANYWHERE: Mapping[str, tuple[str, ...]] = {
    "en": ("{x} - please check it", "here it is: {x}", "I used {x}, and it failed", "is {x} right?", "({x})"),
    "es": ("{x}, por favor compruébelo", "aquí está: {x}", "usé {x} y falló", "¿es {x} correcto?"),
    "fr": ("{x}, merci de vérifier", "le voici : {x}", "j'ai utilisé {x}, sans succès", "« {x} »"),
    "de": ("{x}, bitte prüfen", "hier: {x}", "ich habe {x} benutzt, es ging nicht", "„{x}“"),
    "it": ("{x}, controllate per favore", "eccolo: {x}", "ho usato {x} e non va"),
    "nl": ("{x}, graag controleren", "hier is het: {x}", "ik gebruikte {x}, maar het lukte niet"),
    "pl": ("{x}, proszę sprawdzić", "oto on: {x}", "użyłem {x} i nie działa"),
    "pt": ("{x}, por favor verifiquem", "aqui está: {x}", "usei {x} e falhou"),
    "sv": ("{x}, kontrollera tack", "här är det: {x}", "jag använde {x} men det gick inte"),
}

_CARD = {
    "en": ("My card {x} was declined", "Please block card no. {x}, exp 12/27", "card number {x} cvv 123"),
    "es": ("Mi tarjeta {x} fue rechazada", "bloqueen la tarjeta {x} por favor"),
    "fr": ("Ma carte {x} a été refusée", "carte n° {x}, expire 12/27"),
    "de": ("Meine Karte {x} wurde abgelehnt", "Kreditkarte {x}, gültig bis 12/27"),
    "it": ("La mia carta {x} è stata rifiutata",),
    "nl": ("Mijn kaart {x} werd geweigerd",),
    "pl": ("Moja karta {x} została odrzucona",),
    "pt": ("O meu cartão {x} foi recusado",),
    "sv": ("Mitt kort {x} nekades",),
}
_IBAN = {
    "en": ("Send it to {x} please", "my IBAN is {x}.", "IBAN:{x}"),
    "es": ("mi IBAN es {x}", "transfieran a {x}"),
    "fr": ("mon IBAN est {x}", "virement vers {x} svp"),
    "de": ("meine IBAN lautet {x}", "überweisen Sie auf {x}"),
    "it": ("il mio IBAN è {x}", "bonifico su {x}"),
    "nl": ("mijn IBAN is {x}", "overmaken naar {x}"),
    "pl": ("mój IBAN to {x}", "przelew na {x}"),
    "pt": ("o meu IBAN é {x}", "transferir para {x}"),
    "sv": ("mitt IBAN är {x}", "överför till {x}"),
}
_EMAIL = {
    "en": ("Write to {x}.", "my e-mail: {x}, thanks", "<{x}>", "mailto:{x}"),
    "es": ("escríbame a {x}.", "mi correo es {x}"),
    "fr": ("écrivez à {x}.", "mon adresse : {x}"),
    "de": ("schreiben Sie an {x}.", "meine E-Mail: {x}"),
    "it": ("scrivete a {x}.", "la mia mail è {x}"),
    "nl": ("mail mij op {x}.", "mijn e-mail is {x}"),
    "pl": ("proszę pisać na {x}.", "mój e-mail to {x}"),
    "pt": ("escrevam para {x}.", "o meu e-mail é {x}"),
    "sv": ("skriv till {x}.", "min e-post är {x}"),
}
_IP = dict.fromkeys(LOCALES, ("login from {x} was not me", "IP {x}", "[{x}]"))
_NATIONAL_ID = {
    "en": (
        "My national insurance number is {x}",
        "tax id {x}",
        "SSN / ID: {x}",
        "my national ID number {x} is right",
    ),
    "es": ("mi DNI es {x}", "NIE/NIF: {x}", "con DNI {x} desde 2015"),
    "fr": ("mon numéro de sécurité sociale est {x}", "registre national : {x}", "n° sécu {x}"),
    "de": ("meine Steuer-ID ist {x}", "Steueridentifikationsnummer: {x}", "IdNr. {x}"),
    "it": ("il mio codice fiscale è {x}", "CF {x}", "codice fiscale: {x}"),
    "nl": ("mijn BSN is {x}", "burgerservicenummer {x}", "BSN: {x}, rijksregister"),
    "pl": ("mój PESEL to {x}", "PESEL: {x}", "nr {x}"),
    "pt": ("o meu NIF é {x}", "NIF/CPF: {x}", "contribuinte n.º {x}, CPF"),
    "sv": ("mitt personnummer är {x}", "personnummer: {x}", "pnr/hetu {x}"),
}
_PHONE = {
    "en": ("Call me on {x}.", "my phone number is {x}", "you can reach me at {x} after 5", "mobile: {x}"),
    "es": ("llámeme al {x}.", "mi teléfono es el {x}", "móvil: {x}"),
    "fr": ("appelez-moi au {x}.", "mon téléphone : {x}", "portable {x}"),
    "de": ("rufen Sie mich unter {x} an.", "meine Telefonnummer ist {x}", "Handy: {x}"),
    "it": ("chiamatemi al {x}.", "il mio telefono è {x}", "cellulare {x}"),
    "nl": ("bel mij op {x}.", "mijn telefoonnummer is {x}", "mobiel: {x}"),
    "pl": ("proszę dzwonić, telefon {x}.", "mój numer telefonu to {x}", "tel. {x}"),
    "pt": ("ligue para {x}.", "o meu telefone é {x}", "telemóvel: {x}"),
    "sv": ("ring mig på {x}.", "mitt telefonnummer är {x}", "mobil: {x}"),
}
_BIRTH_DATE = {
    "en": (
        "I was born on {x}",
        "date of birth: {x}",
        "DOB {x}",
        "my birthday is {x}",
        "{x} is my date of birth",
    ),
    "es": ("nací el {x}", "fecha de nacimiento: {x}"),
    "fr": ("je suis né le {x}", "née le {x}", "date de naissance : {x}"),
    "de": ("ich bin am {x} geboren", "Geburtsdatum: {x}", "geb. {x}"),
    "it": ("sono nato il {x}", "data di nascita: {x}"),
    "nl": ("ik ben geboren op {x}", "geboortedatum: {x}"),
    "pl": ("urodziłem się {x}", "data urodzenia: {x}", "ur. {x}"),
    "pt": ("nasci em {x}", "data de nascimento: {x}"),
    "sv": ("jag är född {x}", "födelsedatum: {x}"),
}
_NAME = {
    "en": (
        "my name is {x} and I need help",
        "This is {x}, calling again.",
        "I am {x}.",
        "Kind regards,\n{x}",
    ),
    "es": ("me llamo {x} y necesito ayuda", "mi nombre es {x}."),
    "fr": ("je m'appelle {x} et j'ai besoin d'aide", "mon nom est {x}."),
    "de": ("ich heiße {x} und brauche Hilfe", "mein Name ist {x}.", "hier spricht {x}."),
    "it": ("mi chiamo {x} e ho bisogno di aiuto", "il mio nome è {x}."),
    "nl": ("ik heet {x} en heb hulp nodig", "mijn naam is {x}."),
    "pl": ("nazywam się {x} i potrzebuję pomocy", "mam na imię {x}."),
    "pt": ("chamo-me {x} e preciso de ajuda", "o meu nome é {x}."),
    "sv": ("jag heter {x} och behöver hjälp", "mitt namn är {x}."),
}
_ACCOUNT = {
    "en": ("my account number is {x}", "a/c no. {x}", "account {x}"),
    "es": ("mi cuenta es {x}", "número de cuenta: {x}"),
    "fr": ("mon compte n° {x}", "numéro de compte : {x}"),
    "de": ("Kontonummer {x}", "mein Konto {x}"),
    "it": ("conto corrente n. {x}", "il mio conto {x}"),
    "nl": ("rekeningnummer {x}", "mijn rekening {x}"),
    "pl": ("numer konta {x}", "konto: {x}"),
    "pt": ("conta n.º {x}", "número da conta: {x}"),
    "sv": ("kontonummer {x}", "mitt konto {x}"),
}


def _with_anywhere(own: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
    return {locale: own[locale] + _ANYWHERE[locale] for locale in LOCALES}


TEMPLATES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "card": _with_anywhere(_CARD),
    "iban": _with_anywhere(_IBAN),
    "email": _with_anywhere(_EMAIL),
    "ip": _with_anywhere(_IP),
    "crypto": _ANYWHERE,
    "secret": _ANYWHERE,
    "national_id": _NATIONAL_ID,
    "phone": _PHONE,
    "birth_date": _BIRTH_DATE,
    "name": _NAME,
    "account": _ACCOUNT,
}
"""Ids, phone numbers and accounts are introduced by a word; the other kinds are found anywhere."""
