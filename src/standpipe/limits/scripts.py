"""What Redis runs, in Lua: the same rules as `ledger.Memory` and `verdicts` have, which tests hold.

KEYS: one that says that a call has ended; then of each subject its window (hash: `r` or `t` and a
second to an amount), its calls (sorted set by the end of their lease), what each holds (hash: cost
and second of its beginning), the sum of that, and what it spent in the day and in the month.

Amounts of money go through as text, for Redis counts them with 64 bits and Lua with 53.
"""

from __future__ import annotations

_COMMON = """
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1000000
end
local slot, call = math.floor(now), ARGV[2]
local SLOTS, DAY_S, CALL_S = 61, 86400, 3600

local function subject(place)
  local at = 2 + place * 6
  return {window = KEYS[at], calls = KEYS[at + 1], holds = KEYS[at + 2], held = KEYS[at + 3],
          day = KEYS[at + 4], month = KEYS[at + 5]}
end
local count = (#KEYS - 1) / 6

local function let_go(of, which)
  local hold = redis.call('HGET', of.holds, which)
  redis.call('ZREM', of.calls, which)
  if not hold then return nil end
  redis.call('HDEL', of.holds, which)
  local cost, began = string.match(hold, '^(%d+):(%d+)$')
  redis.call('DECRBY', of.held, cost)
  return tonumber(began)
end
"""

#: ARGV: time or "", call, milliseconds of lease, tokens, cost, 1 for one that has begun already;
#: then of each subject its limits: requests, tokens, calls, dollars of day and month, "" for none.
#: Returns the place of who is in the way, why and for how long; then of each its `Figures`.
BEGIN = (
    _COMMON
    + """
local lease, tokens, cost, has_begun = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], ARGV[6] == '1'

local function look(of)
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', of.calls, '-inf', '(' .. now * 1000)) do
    let_go(of, gone)
  end
  local sums, newest, slots = {r = 0, t = 0}, {r = -1, t = -1}, {r = {}, t = {}}
  local all = redis.call('HGETALL', of.window)
  for i = 1, #all, 2 do
    local kind, at = string.sub(all[i], 1, 1), tonumber(string.sub(all[i], 2))
    local amount = tonumber(all[i + 1])
    if at <= slot - SLOTS then
      redis.call('HDEL', of.window, all[i])
    elseif amount > 0 then
      sums[kind] = sums[kind] + amount
      newest[kind] = math.max(newest[kind], at)
      table.insert(slots[kind], {at, amount})
    end
  end
  of.sums, of.newest, of.slots = sums, newest, slots
  of.open = redis.call('ZCARD', of.calls)
  of.now_held = redis.call('GET', of.held) or '0'
  of.day_spent, of.month_spent = redis.call('GET', of.day), redis.call('GET', of.month)
end

local function until_room(slots, over)
  table.sort(slots, function(a, b) return a[1] < b[1] end)
  for _, each in ipairs(slots) do
    over = over - each[2]
    if over <= 0 then return each[1] + SLOTS - now end
  end
  return 0
end

local function obstacle(of, limits)
  for _, period in ipairs({'day', 'month'}) do
    local budget, spent = tonumber(limits[period]), of[period .. '_spent']
    if budget then
      if not spent then return 'away', 1 end
      if tonumber(spent) >= budget then return period, '' end
      if tonumber(spent) + tonumber(of.now_held) >= budget then return 'held', 1 end
    end
  end
  local calls, requests, most = tonumber(limits.calls), tonumber(limits.r), tonumber(limits.t)
  if calls and of.open + 1 > calls then return 'concurrent', calls > 0 and 1 or '' end
  if requests and of.sums.r + 1 > requests then
    return 'requests', requests > 0 and until_room(of.slots.r, of.sums.r + 1 - requests) or ''
  end
  if most and of.sums.t + tokens > most then
    return 'tokens', tokens <= most and until_room(of.slots.t, of.sums.t + tokens - most) or ''
  end
end

local function told(of)
  local function reset(kind)
    return of.newest[kind] < 0 and '0' or tostring(of.newest[kind] + SLOTS - now)
  end
  return {of.sums.r, reset('r'), of.sums.t, reset('t'), of.open, of.now_held,
          of.day_spent or '0', of.month_spent or '0'}
end

local all = {}
for place = 1, count do all[place] = subject(place - 1) end

local is_over = redis.call('EXISTS', KEYS[1]) == 1
local is_there = redis.call('ZSCORE', all[1].calls, call)
for _, of in ipairs(all) do look(of) end
if not is_over and not is_there then
  if not has_begun then
    for place, of in ipairs(all) do
      local at = 7 + (place - 1) * 5
      local why, wait = obstacle(of, {r = ARGV[at], t = ARGV[at + 1], calls = ARGV[at + 2],
                                      day = ARGV[at + 3], month = ARGV[at + 4]})
      if why then
        local answer = {place - 1, why, tostring(wait)}
        for _, each in ipairs(all) do
          for _, figure in ipairs(told(each)) do table.insert(answer, figure) end
        end
        return answer
      end
    end
  end
  for _, of in ipairs(all) do
    redis.call('HINCRBY', of.window, 'r' .. slot, 1)
    redis.call('HINCRBY', of.window, 't' .. slot, tokens)
    redis.call('EXPIRE', of.window, 2 * SLOTS)
    redis.call('HSET', of.holds, call, cost .. ':' .. slot)
    redis.call('INCRBY', of.held, cost)
    of.sums = {r = of.sums.r + 1, t = of.sums.t + tokens}
    of.newest = {r = slot, t = tokens > 0 and slot or of.newest.t}
    of.open, of.now_held = of.open + 1, redis.call('GET', of.held)
  end
end
local answer = {0, '', ''}
for _, of in ipairs(all) do
  if not is_over then
    redis.call('ZADD', of.calls, now * 1000 + lease, call)
    for _, key in ipairs({of.calls, of.holds, of.held}) do redis.call('EXPIRE', key, DAY_S) end
  end
  for _, figure in ipairs(told(of)) do table.insert(answer, figure) end
end
return answer
"""
)

#: ARGV: time or "", call, tokens that were held, tokens, cost, 1 if it counts as a request.
#: Returns of each subject what is spent in the day and in the month; nothing if it ended before.
END = (
    _COMMON
    + """
local more, cost, counts = tonumber(ARGV[4]) - tonumber(ARGV[3]), ARGV[5], ARGV[6] == '1'
if not redis.call('SET', KEYS[1], '1', 'NX', 'EX', CALL_S) then return {} end
local answer = {}
for place = 1, count do
  local of = subject(place - 1)
  local began = let_go(of, call)
  if began then
    if began > slot - SLOTS then
      if not counts then redis.call('HINCRBY', of.window, 'r' .. began, -1) end
      if more < 0 then redis.call('HINCRBY', of.window, 't' .. began, more) end
    end
    if more > 0 then redis.call('HINCRBY', of.window, 't' .. slot, more) end
    redis.call('EXPIRE', of.window, 2 * SLOTS)
  end
  for _, key in ipairs({of.day, of.month}) do
    if redis.call('EXISTS', key) == 1 then
      redis.call('INCRBY', key, cost)
      table.insert(answer, redis.call('GET', key))
    else
      table.insert(answer, '0')
    end
  end
end
return answer
"""
)
