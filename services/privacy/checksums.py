"""Check digits of numbers that banks and states give out. Each takes digits only, of the right length."""

from datetime import date


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1 annex B."""
    total = 0
    for place, char in enumerate(reversed(digits)):
        value = ord(char) - 48
        if place % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total % 10 == 0


def iban(text: str) -> bool:
    """ISO 13616: moved, with A=10 … Z=35, the remainder by 97 is 1. Upper case, no spaces."""
    return int("".join(str(int(char, 36)) for char in text[4:] + text[:4])) % 97 == 1


def aba(digits: str) -> bool:
    """US routing number: weights 3, 7, 1, sum a multiple of 10."""
    return _weighted(digits, (3, 7, 1) * 3) % 10 == 0


def bsn(digits: str) -> bool:
    """Dutch burgerservicenummer: the eleven test, last weight -1."""
    return digits != "0" * 9 and _weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def nif_pt(digits: str) -> bool:
    """Portuguese NIF: weights 9..2, check digit 11 - remainder, 10 and 11 as 0."""
    check = 11 - _weighted(digits[:8], tuple(range(9, 1, -1))) % 11
    return digits[0] in "1235689" and int(digits[8]) == (0 if check > 9 else check)


def rijksregister(digits: str) -> bool:
    """Belgian national register number: 97 minus the remainder by 97, a 2 in front if born from 2000 on."""
    body, check = digits[:9], int(digits[9:])
    return _month_and_day(digits[2:4], digits[4:6], zero_ok=True) and any(
        97 - int(century + body) % 97 == check for century in ("", "2")
    )


def fodselsnummer(digits: str) -> bool:
    """Norwegian birth number: two check digits by 11."""
    return (
        _weighted(digits[:10], (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)) % 11 == 0
        and _weighted(digits, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0
        and _month_and_day(digits[2:4], str(int(digits[:2]) % 40))
    )


def cpf(digits: str) -> bool:
    """Brazilian CPF: two check digits by 11, not all digits the same."""
    first = _weighted(digits[:9], tuple(range(10, 1, -1))) * 10 % 11 % 10
    second = _weighted(digits[:10], tuple(range(11, 1, -1))) * 10 % 11 % 10
    return len(set(digits)) > 1 and digits[9:] == f"{first}{second}"


def ahv(digits: str) -> bool:
    """Swiss AHV/AVS number: 756 and an EAN-13 check digit."""
    return digits.startswith("756") and _weighted(digits, (1, 3) * 6 + (1,)) % 10 == 0


def nir(digits: str) -> bool:
    """French social security number of 15 digits: sex, year, month, …, 97 minus the remainder by 97."""
    month = int(digits[3:5])
    return (
        digits[0] in "123478"
        and (1 <= month <= 12 or 20 <= month <= 42 or 50 <= month <= 99)
        and 97 - int(digits[:13]) % 97 == int(digits[13:])
    )


def cpr(digits: str) -> bool:
    """Danish CPR number: begins with a day and month (it has no check digit since 2007)."""
    return _month_and_day(digits[2:4], digits[:2])


def ssn(digits: str) -> bool:
    """US social security number: it has no check digit, only ranges that are never given out."""
    never = digits[:3] in ("000", "666") or digits[3:5] == "00" or digits[5:] == "0000"
    return digits[0] != "9" and not never


def itin(digits: str) -> bool:
    """US taxpayer number: begins with 9, its fourth and fifth digits are 50 or more."""
    return digits[0] == "9" and digits[3] in "56789"


def cnp(digits: str) -> bool:
    """Romanian personal number: a date and a check digit by 11."""
    check = _weighted(digits[:12], (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)) % 11
    return _month_and_day(digits[3:5], digits[5:7]) and int(digits[12]) == (1 if check == 10 else check)


def rodne_cislo(digits: str) -> bool:
    """Czech and Slovak birth number of ten digits: divisible by 11, month plus 50 for women."""
    return int(digits) % 11 == 0 and _month_and_day(str(int(digits[2:4]) % 50 % 20), digits[4:6])


def isikukood(digits: str) -> bool:
    """Estonian and Lithuanian personal code: a date, and a check digit by 11 in one or two rounds."""
    check = _weighted(digits[:10], (1, 2, 3, 4, 5, 6, 7, 8, 9, 1)) % 11
    if check == 10:
        check = _weighted(digits[:10], (3, 4, 5, 6, 7, 8, 9, 1, 2, 3)) % 11 % 10
    return _month_and_day(digits[3:5], digits[5:7]) and int(digits[10]) == check


def ppsn(text: str) -> bool:
    """Irish PPS number: seven digits, a check letter, perhaps a second letter. Upper case."""
    total = _weighted(text[:7], tuple(range(8, 1, -1)))
    if len(text) == 9 and text[8] != "W":
        total += 9 * (ord(text[8]) - 64)
    return "WABCDEFGHIJKLMNOPQRSTUV"[total % 23] == text[7]


def _weighted(digits: str, weights: tuple[int, ...]) -> int:
    return sum((ord(char) - 48) * weight for char, weight in zip(digits, weights, strict=True))


def _month_and_day(month: str, day: str, *, zero_ok: bool = False) -> bool:
    low = 0 if zero_ok else 1
    return low <= int(month) <= 12 and low <= int(day) <= 31


def is_date(year: int, month: int, day: int) -> bool:
    """Is there such a day?"""
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True
