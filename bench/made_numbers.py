"""Made-up numbers with right check digits, for measuring detection. Nothing here is anybody's.

Written apart from the detector on purpose: its checksums are not used, so that one slip cannot hide in both.
"""

import string
from hashlib import sha256
from random import Random

LETTERS = string.ascii_uppercase


def digits(rng: Random, count: int, first: str = "") -> str:
    """`first`, then random digits up to `count`."""
    return first + "".join(rng.choices(string.digits, k=count - len(first)))


def luhn_digit(body: str) -> str:
    doubled = [int(d) * (2 if i % 2 == 0 else 1) for i, d in enumerate(reversed(body))]
    return str(-sum(d // 10 + d % 10 for d in doubled) % 10)


def card(rng: Random) -> str:
    prefix, length = rng.choice(
        [("4", 16), ("4", 16), ("51", 16), ("55", 16), ("2221", 16), ("34", 15), ("37", 15), ("6011", 16),
         ("3528", 16), ("36", 14), ("62", 16), ("6304", 19), ("5018", 16)]
    )  # fmt: skip
    body = digits(rng, length - 1, prefix)
    return body + luhn_digit(body)


def iban(rng: Random, country: str) -> str:
    body = {
        "GB": lambda: "WEST" + digits(rng, 14), "DE": lambda: digits(rng, 18),
        "NL": lambda: "ABNA" + digits(rng, 10),
        "FR": lambda: digits(rng, 23), "ES": lambda: digits(rng, 20), "IE": lambda: "AIBK" + digits(rng, 14),
        "IT": lambda: rng.choice(LETTERS) + digits(rng, 22), "PL": lambda: digits(rng, 24),
        "PT": lambda: digits(rng, 21), "SE": lambda: digits(rng, 20), "BE": lambda: digits(rng, 12),
        "CH": lambda: digits(rng, 17), "AT": lambda: digits(rng, 16), "NO": lambda: digits(rng, 11),
        "DK": lambda: digits(rng, 14), "FI": lambda: digits(rng, 14),
    }[country]()  # fmt: skip
    number = "".join(str(int(c, 36)) for c in body + country + "00")
    return f"{country}{98 - int(number) % 97:02d}{body}"


def _birth(rng: Random) -> tuple[int, int, int]:
    return rng.randint(1945, 2004), rng.randint(1, 12), rng.randint(1, 28)


def nino(rng: Random) -> str:
    first = rng.choice([a + b for a in "ABCEHJKLMNPRSTWXY" for b in "ABCEHJKLMNPRSTWXYZ"
                        if a + b not in ("BG", "GB", "NK", "KN", "NT", "TN", "ZZ")])  # fmt: skip
    return first + digits(rng, 6) + rng.choice("ABCD")


def nhs(rng: Random) -> str:
    while True:
        body = digits(rng, 9, rng.choice("4567"))
        check = 11 - sum(int(d) * w for d, w in zip(body, range(10, 1, -1), strict=True)) % 11
        if check != 10:
            return body + str(check % 11)


def ssn(rng: Random) -> str:
    area = rng.choice([n for n in range(1, 900) if n != 666])
    return f"{area:03d}{rng.randint(1, 99):02d}{rng.randint(1, 9999):04d}"


def nif(rng: Random) -> str:
    number = rng.randint(1_000_000, 99_999_999)
    return f"{number:08d}" + "TRWAGMYFPDXBNJZSQVHLCKE"[number % 23]


def nie(rng: Random) -> str:
    lead, number = rng.randint(0, 2), rng.randint(0, 9_999_999)
    return "XYZ"[lead] + f"{number:07d}" + "TRWAGMYFPDXBNJZSQVHLCKE"[(lead * 10_000_000 + number) % 23]


def fiscal_code(rng: Random) -> str:
    consonants, vowels = "BCDFGLMNPRSTVZ", "AEIOU"
    year, month, day = _birth(rng)
    name = "".join(rng.choices(consonants, k=2)) + rng.choice(vowels)
    surname = "".join(rng.choices(consonants, k=3))
    body = f"{surname}{name}{year % 100:02d}{'ABCDEHLMPRST'[month - 1]}{day + rng.choice((0, 40)):02d}"
    body += rng.choice("ABCDEFGHIL") + f"{rng.randint(1, 999):03d}"
    odds = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
    odd = dict(zip(LETTERS, odds, strict=True)) | dict(zip(string.digits, odds[:10], strict=True))
    even = {c: int(c) if c.isdigit() else ord(c) - 65 for c in string.digits + LETTERS}
    total = sum(odd[c] if i % 2 == 0 else even[c] for i, c in enumerate(body))
    return body + LETTERS[total % 26]


def pesel(rng: Random) -> str:
    year, month, day = _birth(rng)
    body = f"{year % 100:02d}{month + (20 if year >= 2000 else 0):02d}{day:02d}{digits(rng, 4)}"
    total = sum(int(d) * w for d, w in zip(body, (1, 3, 7, 9) * 2 + (1, 3), strict=True))
    return body + str(-total % 10)


def steuer_id(rng: Random) -> str:
    while True:
        body = digits(rng, 10, rng.choice("123456789"))
        if max(map(body.count, string.digits)) == 2 and len(set(body)) == 9:
            break
    product = 10
    for digit in body:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    return body + str((11 - product) % 10)


def nir(rng: Random) -> str:
    year, month, _ = _birth(rng)
    body = f"{rng.choice('12')}{year % 100:02d}{month:02d}{rng.randint(1, 95):02d}{rng.randint(1, 990):03d}"
    body += f"{rng.randint(1, 999):03d}"
    return f"{body}{97 - int(body) % 97:02d}"


def bsn(rng: Random) -> str:
    while True:
        body = digits(rng, 8, rng.choice("12"))
        check = sum(int(d) * w for d, w in zip(body, range(9, 1, -1), strict=True)) % 11
        if check < 10:
            return body + str(check)


def niss(rng: Random) -> str:
    year, month, day = _birth(rng)
    body = f"{year % 100:02d}{month:02d}{day:02d}{rng.randint(1, 997):03d}"
    return f"{body}{97 - int(('2' if year >= 2000 else '') + body) % 97:02d}"


def nif_pt(rng: Random) -> str:
    body = digits(rng, 8, rng.choice("12"))
    check = 11 - sum(int(d) * w for d, w in zip(body, range(9, 1, -1), strict=True)) % 11
    return body + str(check if check < 10 else 0)


def personnummer(rng: Random) -> str:
    year, month, day = _birth(rng)
    body = f"{year % 100:02d}{month:02d}{day:02d}{digits(rng, 3)}"
    return body + luhn_digit(body)


def hetu(rng: Random) -> str:
    year, month, day = _birth(rng)
    number = rng.randint(2, 899)
    head = f"{day:02d}{month:02d}{year % 100:02d}"
    check = "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(f"{head}{number:03d}") % 31]
    return f"{head}{'A' if year >= 2000 else '-'}{number:03d}{check}"


def cpr(rng: Random) -> str:
    year, month, day = _birth(rng)
    return f"{day:02d}{month:02d}{year % 100:02d}{digits(rng, 4)}"


def aadhaar(rng: Random) -> str:
    multiply = [[_dihedral(a, b) for b in range(10)] for a in range(10)]
    rows = [list(range(10)), [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]]
    while len(rows) < 8:
        rows.append([rows[-1][rows[1][i]] for i in range(10)])
    while True:
        body = digits(rng, 11, rng.choice("23456789"))
        for last in string.digits:
            check = 0
            for place, digit in enumerate(reversed(body + last)):
                check = multiply[check][rows[place % 8][int(digit)]]
            if check == 0 and (body + last) != (body + last)[::-1]:
                return body + last


def _dihedral(a: int, b: int) -> int:
    """The product in the dihedral group of order 10 that Verhoeff's check is made of."""
    if a < 5:
        return (a + b) % 5 if b < 5 else (a + b) % 5 + 5
    return (a - b) % 5 + 5 if b < 5 else (a - b) % 5


def cpf(rng: Random) -> str:
    body = digits(rng, 9)
    for length in (10, 11):
        total = sum(int(d) * w for d, w in zip(body, range(length, 1, -1), strict=True))
        body += str(0 if total % 11 < 2 else 11 - total % 11)
    return body


def ppsn(rng: Random) -> str:
    body = digits(rng, 7)
    total = sum(int(d) * w for d, w in zip(body, range(8, 1, -1), strict=True))
    return body + "WABCDEFGHIJKLMNOPQRSTUV"[total % 23]


def bitcoin(rng: Random) -> str:
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    raw = b"\x00\xff" + rng.randbytes(19)
    number = int.from_bytes(raw + sha256(sha256(raw).digest()).digest()[:4], "big")
    text = ""
    while number:
        number, rest = divmod(number, 58)
        text = alphabet[rest] + text
    return "1" + text
