"""The cache holds counts (rates of the API and of sign-in) and figures of a minute, so the site works on while Redis is away."""

import logging
from typing import Any

from django.core.cache.backends.redis import RedisCache
from redis import RedisError

logger = logging.getLogger(__name__)


class AbsentableRedisCache(RedisCache):
    """Redis, or while it does not answer a cache that forgets everything."""

    def add(self, key: Any, value: Any, *args: Any, **kwargs: Any) -> bool:
        try:
            return super().add(key, value, *args, **kwargs)
        except (RedisError, OSError) as error:
            return bool(_absent(error))

    def get(self, key: Any, default: Any = None, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().get(key, default, *args, **kwargs)
        except (RedisError, OSError) as error:
            return _absent(error, default)

    def set(self, key: Any, value: Any, *args: Any, **kwargs: Any) -> None:
        try:
            super().set(key, value, *args, **kwargs)
        except (RedisError, OSError) as error:
            _absent(error)

    def delete(self, key: Any, *args: Any, **kwargs: Any) -> bool:
        try:
            return super().delete(key, *args, **kwargs)
        except (RedisError, OSError) as error:
            return bool(_absent(error))


def _absent(error: Exception, instead: Any = None) -> Any:
    logger.warning("cache.absent", extra={"error": repr(error)})
    return instead
