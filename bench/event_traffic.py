"""Requests about events that happen now, by keys with a past: each request is another event."""

import asyncio
import itertools
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from feature_checks.datasets import load_labelled
from feature_checks.feature_engine import DAY_S, FeatureEngine
from feature_checks.key_history import KeyHistory
from feature_checks.usecase import UseCase
from registry.settings import RegistrySettings
from services.hash_key import load_hash_key
from services.privacy.envelope import IDENTIFIER
from services.privacy.hashing import keyed_hash
from services.state.sqlite_histories import SqliteHistories

KEYS = 5000
A_DAY = 2.0  # events of a key


def history(draw: np.random.Generator, until: float, days: float, values: int, first_id: int) -> KeyHistory:
    """One key's events of so many days, `A_DAY` a day on average, up to `until`."""
    made = KeyHistory(values)
    times = np.sort(draw.uniform(until - days * DAY_S, until, draw.poisson(A_DAY * days)))
    for number, at in enumerate(times.tolist()):
        made.add(at, first_id + number, tuple(draw.uniform(5, 100, values).tolist()))
    return made


def histories(usecase: UseCase, keys: int, until: float) -> dict[str, list[KeyHistory]]:
    """Key field -> the histories of so many keys, over all that a window reaches."""
    assert usecase.features is not None
    engine, draw, ids = FeatureEngine(usecase.features), np.random.default_rng(1), itertools.count(0, 1000)
    days = engine.horizon_s / DAY_S
    return {
        key: [history(draw, until, days, len(engine.values[key]), next(ids)) for _ in range(keys)]
        for key in engine.keys
    }


def remember(home: Path, usecase: UseCase, tenant: str) -> None:
    """Put the past of keys 1 to `KEYS` of every key field into the store of this home."""
    assert usecase.features is not None
    engine, hash_key = FeatureEngine(usecase.features), load_hash_key(RegistrySettings(home=home).keys_dir)
    names: list[str] = []
    kept: list[KeyHistory] = []
    for key, made in histories(usecase, KEYS, time.time() - 3600).items():
        for number, one in enumerate(made, 1):
            tagged = IDENTIFIER in usecase.input[key].tags
            value = keyed_hash(hash_key, "id", tenant, number) if tagged else number
            names.append(f"{tenant}/{usecase.name}/{key}/{value}")
            kept.append(one)
    columns = [one for key in engine.keys for one in [len(engine.values[key])] * KEYS]

    async def put() -> None:
        store = SqliteHistories(home / "histories.db")
        await store.change(names, columns, lambda held: kept)
        await store.close()

    asyncio.run(put())


def events_now(usecase: UseCase, data: Path, count: int) -> Iterator[dict[str, object]]:
    """Input fields of so many events of now: those of the sample, with new ids and keys that have a past."""
    assert usecase.features is not None
    spec, draw = usecase.features, np.random.default_rng(2)
    rows = load_labelled(usecase, "sample", data).test.to_dict("records")
    for number in range(count):
        row = rows[number % len(rows)]
        required = {name: row[name] for name, field in usecase.input.items() if field.required}
        keys = {key: int(draw.integers(1, KEYS + 1)) for key in spec.key_fields}
        now = datetime.now(UTC).isoformat()
        yield {**required, spec.id: 10**9 + number, spec.time: now, **keys}


def bodies_now(usecase: UseCase, data: Path, count: int) -> list[tuple[dict[str, object], bytes]]:
    """Those, with the native request body of each."""
    return [
        (fields, json.dumps({"use_case": usecase.name, "input": fields}).encode())
        for fields in events_now(usecase, data, count)
    ]
