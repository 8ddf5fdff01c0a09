"""Answers in Redis, for all nodes that share it; it needs the extra `redis`.

An answer is a key that expires. Beside them Redis has their order and their sizes, so that all of
them take so many bytes at most, and the projects that have some.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from typing import TYPE_CHECKING, cast

from standpipe.calls.cache.shelf import Away
from standpipe.store.cache import WEEK_US, CachedAnswer

if TYPE_CHECKING:
    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis

log = logging.getLogger(__name__)

#: What all names begin with: in a cluster, all are in one place.
_OURS = "standpipe:{cache}:"
_ANSWER, _ORDER, _SIZES = _OURS + "answer:", _OURS + "order", _OURS + "sizes"
_BYTES, _PROJECTS = _OURS + "bytes", _OURS + "projects"
#: Seconds that Redis has for an answer to a look, and for one to an answer that is written.
TIMEOUT_S = 1.0
#: Answers that are dropped at once, at most.
_AT_ONCE = 100

#: Drops an answer and returns the bytes that are left.
_DROP = """
local function drop(answer)
  redis.call('DEL', answer)
  redis.call('ZREM', KEYS[1], answer)
  local size = redis.call('HGET', KEYS[2], answer) or 0
  redis.call('HDEL', KEYS[2], answer)
  local left = redis.call('DECRBY', KEYS[3], size)
  -- Redis may have thrown away the sizes or their sum: with no answers, there are no bytes.
  if left < 0 or redis.call('EXISTS', KEYS[1]) == 0 then
    redis.call('SET', KEYS[3], 0)
    return 0
  end
  return left
end
"""
_PUT = (
    _DROP
    + """
local answer, project, said = ARGV[1], ARGV[2], ARGV[3]
local now, kept, most = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local before = redis.call('HGET', KEYS[2], answer) or 0
redis.call('SET', answer, said, 'PX', kept)
redis.call('ZADD', KEYS[1], now, answer)
redis.call('HSET', KEYS[2], answer, #said)
redis.call('SADD', KEYS[4], project)
local bytes = redis.call('INCRBY', KEYS[3], #said - before)
for _ = 1, 100 do
  local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  if not oldest[1] or (bytes <= most and tonumber(oldest[2]) > now - kept) then break end
  bytes = drop(oldest[1])
end
"""
)
_FORGET = (
    _DROP
    + """
for _, answer in ipairs(ARGV) do drop(answer) end
"""
)
_KEYS = [_ORDER, _SIZES, _BYTES, _PROJECTS]


class RedisShelf:
    """A Redis; at most so many bytes of answers, of all projects."""

    def __init__(self, url: str, most: int) -> None:
        from redis.asyncio import Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import RedisError

        self._redis: AsyncRedis = Redis.from_url(
            url,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._put = self._redis.register_script(_PUT)
        self._most = most
        self._broken = (RedisError, OSError)

    async def get(self, project: str, key: bytes) -> bytes | None:
        """Return an answer that is not too old, None if there is none; raises Away."""
        try:
            found = await self._redis.get(_name(project, key))
        except self._broken as error:
            raise Away(type(error).__name__) from error
        return cast(bytes | None, found)  # decoded only where that was asked for

    async def put(self, answers: list[CachedAnswer]) -> None:
        """Keep answers; raises Away."""
        rules = (time.time_ns() // 1_000_000, WEEK_US // 1000, self._most)
        try:
            for each in answers:
                name = _name(each.project, each.hash)
                await self._put(keys=_KEYS, args=[name, each.project, each.answer, *rules])
        except self._broken as error:
            raise Away(type(error).__name__) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


def forget_others(url: str, projects: Collection[str]) -> int:
    """Delete the answers of projects that are not among these; return how many.

    A Redis that is away is told of in the log, and has nothing to delete.
    """
    from redis import Redis
    from redis.exceptions import RedisError

    try:
        with Redis.from_url(
            url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, decode_responses=True
        ) as redis:
            gone = cast(set[str], redis.smembers(_PROJECTS)) - set(projects)
            return sum(_forget(redis, each) for each in gone)
    except (RedisError, OSError) as error:
        log.warning("cache: answers of removed projects wait for Redis: %s", type(error).__name__)
        return 0


def _forget(redis: Redis, project: str) -> int:
    """Delete the answers of a project; return how many."""
    count = 0
    for answer, _ in redis.zscan_iter(_ORDER, match=f"{_ANSWER}{project}:*", count=_AT_ONCE):
        redis.eval(_FORGET, len(_KEYS), *_KEYS, answer)
        count += 1
    redis.srem(_PROJECTS, project)
    return count


def _name(project: str, key: bytes) -> str:
    return f"{_ANSWER}{project}:{key.hex()}"
