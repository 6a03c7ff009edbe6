"""How each kind of personal data is written, by locale: makers of one value each."""

from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv6Address
from random import Random

from bench import made_numbers as made

Maker = Callable[[Random], str]


def grouped(maker: Maker, sizes: tuple[int, ...], gap: str) -> Maker:
    """Values of `maker` in groups of these sizes; the last size repeats."""

    def make(rng: Random) -> str:
        value, pieces = maker(rng), []
        for place in range(len(value)):
            size = sizes[min(place, len(sizes) - 1)]
            if not value:
                break
            pieces.append(value[:size])
            value = value[size:]
        return gap.join(pieces)

    return make


def shaped(shape: str) -> Maker:
    """`#` is any digit, everything else as it is; `1-9` in braces picks one: {123}."""

    def make(rng: Random) -> str:
        out, rest = "", shape
        while rest:
            if rest[0] == "{":
                choices, rest = rest[1:].split("}", 1)
                out += rng.choice(choices)
            else:
                out += str(rng.randrange(10)) if rest[0] == "#" else rest[0]
                rest = rest[1:]
        return out

    return make


def dotted_nif(rng: Random) -> str:
    value = made.nif(rng)
    return f"{value[:2]}.{value[2:5]}.{value[5:8]}-{value[8]}"


def dotted_cpf(rng: Random) -> str:
    value = made.cpf(rng)
    return f"{value[:3]}.{value[3:6]}.{value[6:9]}-{value[9:]}"


def shapes(listed: str) -> tuple[Maker, ...]:
    """Shapes with `;` between them."""
    return tuple(shaped(shape.strip()) for shape in listed.split(";"))


def card_written(rng: Random) -> str:
    value = made.card(rng)
    sizes = (4, 6, 5) if len(value) == 15 else (4, 6, 4) if len(value) == 14 else (4,)
    gap = rng.choice(["", "", " ", " ", "-", ".", "  ", " - ", "\u00a0"])
    return grouped(lambda _: value, sizes, gap)(rng) if gap else value


def iban_written(*countries: str) -> Maker:
    def make(rng: Random) -> str:
        value = made.iban(rng, rng.choice(countries))
        way = rng.randrange(5)
        if way == 0:
            return value
        if way == 1:
            return value.lower()
        if way == 2 and value.startswith("FR"):
            return grouped(lambda _: value, (4, 5, 5, 11, 2), " ")(rng)
        return grouped(lambda _: value, (4,), "-" if way == 3 else " ")(rng)

    return make


def email(rng: Random) -> str:
    first, last = rng.choice(FIRST), rng.choice(LAST)
    local = rng.choice(
        [
            f"{first}.{last}",
            f"{first[0]}{last}{rng.randrange(100)}",
            f"{first}+bank",
            f"{last}_{first}",
            f"{first}-{last}",
            f"info.{last}",
            f"o'{last}",
        ]
    ).lower()
    host = rng.choice(
        [
            "example.com",
            "mail.example.org",
            "example.co.uk",
            "my-mail.example",
            "posteo.example.net",
            "xn--bcher-kva.example",
            "bücher.example",
            "sub.dom.example.io",
        ]
    )
    address = f"{local}@{host}"
    return address.upper() if rng.random() < 0.1 else address


def ip(rng: Random) -> str:
    if rng.random() < 0.6:
        return str(IPv4Address(rng.randrange(0x01000000, 0xDF000000)))
    address = IPv6Address((0x20010DB8 << 96) + rng.getrandbits(rng.choice((16, 48, 90))))
    return address.exploded if rng.random() < 0.3 else str(address)


def date(*shapes: str) -> Maker:
    """`{d}` `{m}` day and month, `{dd}` `{mm}` with a zero, `{y}` `{yy}` the year, `{M}` a month's name."""

    def make(rng: Random, months: str = "") -> str:
        shape = rng.choice(shapes)
        if "|" in shape:
            shape, months = shape.split("|")
        year, month, day = rng.randint(1940, 2006), rng.randint(1, 12), rng.randint(1, 28)
        name = months.split()[month - 1] if months else ""
        return shape.format(
            d=day, m=month, dd=f"{day:02d}", mm=f"{month:02d}", y=year, yy=f"{year % 100:02d}", M=name
        )

    return make


def name(*parts: tuple[str, ...]) -> Maker:
    return lambda rng: " ".join(rng.choice(part) for part in parts).strip()


FIRST = (
    "Ines",
    "Tom",
    "Aisha",
    "Lukas",
    "Marta",
    "Jean-Paul",
    "Zoë",
    "Piotr",
    "Björn",
    "Chiara",
    "Siobhan",
    "Noor",
)
LAST = (
    "Calder",
    "Okafor",
    "Müller",
    "Ruiz",
    "Kowalski",
    "Dupont",
    "Rossi",
    "Jansen",
    "Silva",
    "Lindqvist",
    "Byrne",
)
MONTHS = {
    "en": "January February March April May June July August September October November December",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
    "pl": "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października "
    "listopada grudnia",
    "pt": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    "sv": "januari februari mars april maj juni juli augusti september oktober november december",
}
_DATES = {
    "en": (
        "{dd}/{mm}/{y}",
        "{d}/{m}/{yy}",
        "{y}-{mm}-{dd}",
        "{d} {M} {y}|",
        "{M} {d}, {y}|",
        "{d}th of {M} {y}|",
    ),
    "es": ("{dd}/{mm}/{y}", "{dd}-{mm}-{y}", "{d} de {M} de {y}|"),
    "fr": ("{dd}/{mm}/{y}", "{dd}.{mm}.{y}", "{d} {M} {y}|"),
    "de": ("{dd}.{mm}.{y}", "{d}.{m}.{yy}", "{d}. {M} {y}|"),
    "it": ("{dd}/{mm}/{y}", "{d} {M} {y}|"),
    "nl": ("{dd}-{mm}-{y}", "{d} {M} {y}|"),
    "pl": ("{dd}.{mm}.{y}", "{dd}-{mm}-{y}", "{d} {M} {y}|"),
    "pt": ("{dd}/{mm}/{y}", "{d} de {M} de {y}|"),
    "sv": ("{y}-{mm}-{dd}", "{y}{mm}{dd}", "{d} {M} {y}|"),
}

VALUES: Mapping[str, Mapping[str, tuple[Maker, ...]]] = {
    "card": {"any": (card_written,)},
    "iban": {
        "any": (iban_written("AT", "BE", "CH", "DK", "NO", "FI"),),
        "en": (iban_written("GB", "IE"),),
        "es": (iban_written("ES"),),
        "fr": (iban_written("FR", "BE"),),
        "de": (iban_written("DE", "AT", "CH"),),
        "it": (iban_written("IT"),),
        "nl": (iban_written("NL"),),
        "pl": (iban_written("PL"),),
        "pt": (iban_written("PT"),),
        "sv": (iban_written("SE", "DK", "NO", "FI"),),
    },
    "email": {"any": (email,)},
    "ip": {"any": (ip,)},
    "national_id": {
        "any": (made.pesel,),
        "en": (
            made.nino,
            grouped(made.nino, (2, 2, 2, 2, 1), " "),
            grouped(made.ssn, (3, 2, 4), "-"),
            made.ppsn,
            grouped(made.aadhaar, (4,), " "),
            shaped("A{B}{ACP}P{K}####{Z}"),
        ),
        "es": (made.nif, made.nie, grouped(made.nif, (8, 1), "-"), dotted_nif),
        "fr": (
            made.nir,
            grouped(made.nir, (1, 2, 2, 2, 3, 3, 2), " "),
            grouped(made.nir, (13, 2), " "),
            made.niss,
        ),
        "de": (made.steuer_id, grouped(made.steuer_id, (2, 3, 3, 3), " ")),
        "it": (made.fiscal_code, lambda rng: made.fiscal_code(rng).lower()),
        "nl": (made.bsn, grouped(made.bsn, (4, 2, 3), "."), grouped(made.niss, (6, 3, 2), "-")),
        "pl": (made.pesel,),
        "pt": (made.nif_pt, grouped(made.nif_pt, (3,), " "), made.cpf, dotted_cpf),
        "sv": (
            grouped(made.personnummer, (6, 4), "-"),
            made.personnummer,
            made.hetu,
            grouped(made.cpr, (6, 4), "-"),
        ),
    },
    "phone": {
        "any": shapes("""+44 7911 ######"""),
        "en": shapes("""07{4579}## ######; +44 7{4579}## ######; 07{4579}########; 020 7{2359}## ####;
            +44 (0)20 7{2359}## ####; (212) {2345}##-{1234}###; +1 415-{2345}##-{1234}###;
            415-{2345}##-{1234}###; 415{2345}##{1234}###; 087 {2345}## ####;
            +91 98{1234}## #####; 04{01}# {3456}## ###"""),
        "es": shapes("""6{1235}# ### ###; 6{1235}# ## ## ##; +34 6{1235}#######; 91 {2345}## ## ##;
            6{1235}#######"""),
        "fr": shapes("""06 {1234}# ## ## ##; 06{1234}#######; +33 6 {1234}# ## ## ##;
            01.{4}{2345}.##.##.##; 0033 6 {1234}# ## ## ##"""),
        "de": shapes("""015{12}# #######; +49 15{12}# #######; 030 {2345}######; 089/{2345}######;
            +49 (0)30 {2345}######; +43 664 {1234}######; 079 {2345}## ## ##"""),
        "it": shapes("""34{789} {1234}## ####; +39 34{789} {1234}######; 34{789}{1234}######;
            06 {4567}### ####"""),
        "nl": shapes("""06-{12345}#######; 06 {12345}# ## ## ##; +31 6 {12345}#######; 020-{2456}######;
            +32 47# ## ## ##"""),
        "pl": shapes("""50{1234} ### ###; +48 60{12345} ### ###; 60{12345}-###-###; 60{12345}######"""),
        "pt": shapes("""91{2345} ### ###; +351 91{2345} ### ###; 91{2345}######; (11) 9{6789}###-####;
            +55 11 9{6789}###-####"""),
        "sv": shapes("""070-{1234}## ## ##; +46 70 {1234}## ## ##; 070{1234}######; +45 2{1234} ## ## ##;
            +47 4{12356}# ## ###; +358 40 {1234}######"""),
    },
    "birth_date": {
        "any": (date("{dd}.{mm}.{y}"),),
        **{
            locale: tuple(date(s + MONTHS[locale] if s.endswith("|") else s) for s in shapes)
            for locale, shapes in _DATES.items()
        },
    },
    "name": {
        "any": (
            name(FIRST, LAST),
            name(FIRST, ("de", "van", "", "von"), LAST),
            name(("Dr", "Dr."), FIRST, LAST),
        )
    },
    "account": {"any": (shaped("########"), shaped("##########"), shaped("## #### ####"))},
    "crypto": {
        "any": (made.bitcoin, lambda rng: "0x" + "".join(rng.choices("0123456789abcdef", k=40))),
    },
    "secret": {
        "any": (
            lambda rng: "sk-proj-" + "".join(rng.choices(made.LETTERS + "abc123", k=32)),
            lambda rng: "ghp_" + "".join(rng.choices(made.LETTERS + "abc123", k=36)),
            lambda rng: "AKIA" + "".join(rng.choices(made.LETTERS, k=16)),
        ),
    },
}
