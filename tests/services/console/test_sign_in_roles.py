"""Whoever signs in gets the roles that the API says the key has; what it cannot check is denied."""

import httpx
import pytest

from services.console.client import ApiClient, Trouble

KEY = "sk-made-up"


async def roles(auditor: int, reviewer: int) -> frozenset[str]:
    def answer(request: httpx.Request) -> httpx.Response:
        status = reviewer if request.url.path == "/v1/reviews" else auditor
        return httpx.Response(status, json={} if status == 200 else {"error": {"message": f"said {status}"}})

    api = ApiClient("http://127.0.0.1:3000", httpx.MockTransport(answer))
    try:
        return await api.roles(KEY)
    finally:
        await api.aclose()


@pytest.mark.parametrize(
    ("auditor", "reviewer", "expected"),
    [
        (200, 200, {"auditor", "reviewer"}),
        (200, 403, {"auditor"}),
        (403, 200, {"reviewer"}),
        (403, 403, set()),
        (200, 503, {"auditor"}),
        (503, 200, {"reviewer"}),
    ],
)
async def test_a_key_has_the_roles_that_the_api_lets_it_use(
    auditor: int, reviewer: int, expected: set[str]
) -> None:
    assert await roles(auditor, reviewer) == expected


@pytest.mark.parametrize(
    ("auditor", "reviewer"), [(503, 503), (503, 403), (403, 503), (401, 401), (503, 401)]
)
async def test_a_key_that_the_api_refuses_or_cannot_check_gets_no_session(
    auditor: int, reviewer: int
) -> None:
    with pytest.raises(Trouble) as refused:
        await roles(auditor, reviewer)
    assert refused.value.status in (401, 503)
    assert KEY not in refused.value.message
