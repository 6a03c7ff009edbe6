"""The door of a served orchestrator with two workers: one rate for both, and tokens beside keys."""

import json
import time
from pathlib import Path

import pytest

from tests.fakes import REPOSITORY
from tests.integration.serving import serving
from tests.services.counting import REDIS_URL, need_redis
from tests.services.test_jwks_source import web
from tests.services.test_oidc import CLAIMS, SETTINGS, token

pytestmark = pytest.mark.integration

LIMIT = 12


def test_two_workers_hold_one_rate_and_take_tokens(tmp_path: Path) -> None:
    """Over new connections, so that both workers answer: as many as the limit says, then 429; for a key, and
    for a person over two tokens. Nothing of the tokens is in the log."""
    need_redis()
    now = int(time.time())
    person = {**CLAIMS, "sub": f"anna-{tmp_path}@example.org", "exp": now + 600, "nbf": now, "iat": now}
    tokens = [token(person), token({**person, "jti": "second"})]
    with (
        web() as url,
        serving(
            tmp_path,
            tmp_path / "home",
            SWITCHYARD_USECASES=str(REPOSITORY / "usecases"),
            SWITCHYARD_REDIS_URL=f"{REDIS_URL}/11",
            SWITCHYARD_REQUESTS_PER_MINUTE_PER_KEY=str(LIMIT),
            SWITCHYARD_OIDC=json.dumps({**SETTINGS, "jwks_url": f"{url}/good"}),
        ) as server,
    ):
        tenant = f"t{now}"
        with server.client(tenant=tenant) as client:
            mine = client.headers["authorization"]
            for bearers in ([mine], [f"Bearer {one}" for one in tokens]):
                codes = [
                    client.get(
                        "/v1/models",
                        headers={"authorization": bearers[n % len(bearers)], "connection": "close"},
                    ).status_code
                    for n in range(2 * LIMIT)
                ]
                assert codes == [200] * LIMIT + [429] * LIMIT
        logged = server.logged()
    assert not any(part in logged for one in tokens for part in one.split(".")[1:])
