"""The vault: placeholder -> original, for one request, in memory, and for nobody to look at.

It has no public way in. `reidentify.py` is the only module that may call `_unseal` (a test keeps that
so). Whatever would copy the originals into a sink - pickle, copy, json, str.format, iteration - is
refused with `VaultSealed`; `repr` says how many there are, so that tracebacks and debuggers stay safe.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NoReturn, SupportsIndex


class VaultSealed(TypeError):
    """Something tried to print, copy, serialise or read a vault."""


class Vault:
    """Originals of one request. Made by `seal`, opened by `reidentify` alone."""

    __slots__ = ("__originals", "__request_id")

    def __init__(self, request_id: str, originals: Mapping[str, str]) -> None:
        self.__request_id = request_id
        self.__originals = MappingProxyType(dict(originals))

    def __repr__(self) -> str:
        return f"<Vault of {len(self.__originals)} originals, sealed>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        _refuse("serialised or copied")

    def __getstate__(self) -> NoReturn:
        _refuse("serialised or copied")

    def __copy__(self) -> NoReturn:
        _refuse("copied")

    def __deepcopy__(self, memo: object) -> NoReturn:
        _refuse("copied")

    def __str__(self) -> NoReturn:  # noqa: PLE0307  — it never returns
        _refuse("printed")

    def __format__(self, spec: str) -> NoReturn:
        _refuse("printed")

    def __iter__(self) -> NoReturn:
        _refuse("read")

    def __getitem__(self, key: object) -> NoReturn:
        _refuse("read")

    def __contains__(self, key: object) -> NoReturn:
        _refuse("read")

    def _unseal(self, request_id: str | None) -> Mapping[str, str]:
        """For `reidentify.py` only. A vault opens for the request that it was made for."""
        if request_id is not None and request_id != self.__request_id:
            _refuse("opened for another request than its own")
        return self.__originals


def _refuse(what: str) -> NoReturn:
    raise VaultSealed(f"a vault cannot be {what}: only reidentify(value, vault, envelope) opens it")
