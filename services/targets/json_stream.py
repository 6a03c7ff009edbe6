"""One text field of a JSON object, as far as it has arrived: decoded while a model still writes it. Pure.

Only looks: it never judges. What is not the expected object gives no more text, and the whole answer is
parsed and checked once it is there. Of a field that comes twice this gives the first.
"""

from collections.abc import Callable

_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_SPACE = " \t\n\r"
_HEX = frozenset("0123456789abcdefABCDEF")
_OPEN, _CLOSE = "{[", "}]"


class FieldText:
    """Feed it a JSON object in pieces, however they are cut; `text` is the field's value so far."""

    def __init__(self, field: str) -> None:
        self.text = ""
        self._field = field
        self._new: list[str] = []
        self._key = ""
        self._escape = ""  # what came of an escape that is not complete: a backslash, `u`, hex digits
        self._high = ""  # the first half of a surrogate pair
        self._depth = 0  # of a value that is passed over
        self._quoted = False  # inside a string of such a value
        self._state: Callable[[str], None] = self._start

    def feed(self, piece: str) -> bool:
        """Take the next piece. True when `text` has grown."""
        for char in piece:
            self._state(char)
        if not self._new:
            return False
        self.text += "".join(self._new)
        self._new.clear()
        return True

    def _start(self, char: str) -> None:
        if char == "{":
            self._state = self._before_key
        elif char not in _SPACE:
            self._state = self._over

    def _before_key(self, char: str) -> None:
        if char == '"':
            self._key, self._state = "", self._in_key
        elif char not in _SPACE:
            self._state = self._over

    def _in_key(self, char: str) -> None:
        if char == '"' and not self._escape:
            self._state = self._before_colon
        elif (said := self._decoded(char)) is None:
            self._state = self._over
        else:
            self._key += said

    def _before_colon(self, char: str) -> None:
        if char == ":":
            self._state = self._before_value
        elif char not in _SPACE:
            self._state = self._over

    def _before_value(self, char: str) -> None:
        if char in _SPACE:
            return
        if char == '"' and self._key == self._field:
            self._state = self._in_text
        elif self._key == self._field:
            self._state = self._over
        else:
            self._depth, self._quoted, self._state = 0, False, self._in_other
            self._in_other(char)

    def _in_text(self, char: str) -> None:
        if char == '"' and not self._escape:
            self._state = self._over  # a half pair at the end stays out: the answer is no valid text
        elif (said := self._decoded(char)) is None:
            self._state = self._over
        elif said:
            self._new.append(said)

    def _in_other(self, char: str) -> None:
        if self._quoted:
            if self._escape:
                self._escape = ""
            elif char == "\\":
                self._escape = char
            elif char == '"':
                self._quoted = False
        elif char == '"':
            self._quoted = True
        elif char in _OPEN:
            self._depth += 1
        elif char in _CLOSE:
            self._depth -= 1
            if self._depth < 0:
                self._state = self._over
        elif char == "," and self._depth == 0:
            self._state = self._before_key

    def _over(self, char: str) -> None:
        """Nothing that comes from here on is of interest."""

    def _decoded(self, char: str) -> str | None:
        """What this character of a string adds to it, "" within an escape; None for what JSON forbids."""
        if not self._escape:
            if char == "\\":
                self._escape = char
                return ""
            return None if char < " " else self._paired(char)
        if self._escape == "\\":
            if char == "u":
                self._escape += char
                return ""
            self._escape = ""
            return self._paired(_ESCAPES[char]) if char in _ESCAPES else None
        if char not in _HEX:
            return None
        self._escape += char
        if len(self._escape) < 6:
            return ""
        code, self._escape = int(self._escape[2:], 16), ""
        return self._paired(chr(code))

    def _paired(self, char: str) -> str | None:
        """Two escaped halves as the one character that they are; a half alone is no text."""
        if self._high:
            high, self._high = self._high, ""
            if not "\udc00" <= char <= "\udfff":
                return None
            return chr(0x10000 + ((ord(high) - 0xD800) << 10) + (ord(char) - 0xDC00))
        if "\ud800" <= char <= "\udbff":
            self._high = char
            return ""
        return None if "\udc00" <= char <= "\udfff" else char
