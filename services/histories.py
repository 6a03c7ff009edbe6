"""Where key histories are remembered: in `{home}/histories.db`, or in Redis where one is set up."""

from contextlib import AsyncExitStack

from services.online_features import HistoryStore
from services.settings import ServiceSettings


def open_histories(settings: ServiceSettings, closing: AsyncExitStack) -> HistoryStore:
    """The store by settings; it connects at first use."""
    if settings.redis_url is None:
        from services.state.sqlite_histories import SqliteHistories

        histories = SqliteHistories(settings.home / "histories.db")
        closing.push_async_callback(histories.close)
        return histories
    from services.state.redis_histories import RedisHistories  # takes 0.8 s

    shared = RedisHistories(settings.redis_url.get_secret_value())
    closing.push_async_callback(shared.close)
    return shared
