"""What Redis runs, in Lua: the same rules as `ledger.Memory` and `verdicts` have, which tests hold.

KEYS[1] says for each project since when Redis remembers: without the caller's word for that nothing
is done, for what was counted is lost. Of a call, KEYS[2] says that it has ended; then there are of
each subject its window (hash: `r` or `t` and a second to an amount), its calls (sorted set by the
end of their lease), what each holds (hash: cost, second of its beginning, a word for what is part
of another call, who has it, and in which periods its money counts; `parts` is how many of those
there are), the sum of that, and what it spent in the day and in the month.

What was spent is a hash: `stored` is what the store has, each call that has ended and is not known
to be stored is there with its cost, and `all` is the sum, once the store was asked. So is each call
of whose end nobody tells, with what it held and with who had it.

Amounts of money go through as text, for Redis counts them with 64 bits and Lua with 53.

ARGV[1] is that word, and ARGV[2] is 1 while no call may begin.
"""

from __future__ import annotations

#: What a verb answers where Redis does not remember.
LOST = "lost"
#: Seconds that what was spent in a period is kept: longer than any period.
KEPT_S = 40 * 86_400

_REMEMBERED = f"""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lost' end
local KEPT_S = {KEPT_S}
"""

_SPENT = (
    _REMEMBERED
    + """
-- Forget a call of whose end nobody told; returns its cost if somebody did, else nothing.
local function hear_of(key, which)
  local cost = redis.call('HGET', key, which)
  local held = cost and string.match(cost, '^(%d+):')
  if not held then return cost end
  redis.call('HDEL', key, which)
  if redis.call('HEXISTS', key, 'all') == 1 then redis.call('HINCRBY', key, 'all', '-' .. held) end
end

local function count(key, which, cost, by)
  redis.call('HSET', key, which, by and cost .. ':' .. by or cost)
  redis.call('EXPIRE', key, KEPT_S)
  if redis.call('HEXISTS', key, 'all') == 0 then return '0' end
  redis.call('HINCRBY', key, 'all', cost)
  return redis.call('HGET', key, 'all')
end
"""
)

_CALL = (
    _SPENT
    + """
local now = tonumber(ARGV[3])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1000000
end
local slot, call = math.floor(now), ARGV[4]
local SLOTS, CALL_S = 61, 3600

local function subject(place)
  local at = 3 + place * 6
  return {window = KEYS[at], calls = KEYS[at + 1], holds = KEYS[at + 2], held = KEYS[at + 3],
          day = KEYS[at + 4], month = KEYS[at + 5]}
end
local subjects = (#KEYS - 2) / 6

local function let_go(of, which)
  local hold = redis.call('HGET', of.holds, which)
  redis.call('ZREM', of.calls, which)
  if not hold then return nil end
  redis.call('HDEL', of.holds, which)
  local cost, began, part, by, periods =
    string.match(hold, '^(%d+):(%d+):?([^:]*):?([^:]*):?([^:]*)$')
  if part ~= '' then redis.call('HINCRBY', of.holds, 'parts', -1) end
  redis.call('DECRBY', of.held, cost)
  return tonumber(began), cost, by, periods
end

-- Nobody tells how a call ended: what it held may have been spent.
local function lose(of, which)
  local began, cost, by, periods = let_go(of, which)
  if not began or cost == '0' then return began end
  -- The period of this call is perhaps another's; all keys of a subject are in one slot.
  local spent = string.gsub(of.holds, 'holds$', 'spent:')
  for period in string.gmatch(periods, '[^,]+') do
    if redis.call('HEXISTS', spent .. period, which) == 0 then
      count(spent .. period, which, cost, by)
    end
  end
  return began
end
"""
)

#: ARGV: time or "", call, milliseconds of lease, tokens, cost, 1 for one that has begun already, 1
#: for one that is part of another, who has it; then of each subject its limits: requests, tokens,
#: calls, dollars of day and month, "" for none.
#: Returns the place of who is in the way, why and for how long; then of each its `Figures`.
BEGIN = (
    _CALL
    + """
local lease, tokens, cost, has_begun = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], ARGV[8] == '1'
local is_part, by = ARGV[9] == '1', ARGV[10]

local function look(of)
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', of.calls, '-inf', '(' .. now * 1000)) do
    lose(of, gone)
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
  of.open = redis.call('ZCARD', of.calls) - (redis.call('HGET', of.holds, 'parts') or 0)
  of.now_held = redis.call('GET', of.held) or '0'
  of.day_spent = redis.call('HGET', of.day, 'all')
  of.month_spent = redis.call('HGET', of.month, 'all')
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
  if ARGV[2] == '1' then return 'away', 1 end
  for _, period in ipairs({'day', 'month'}) do
    local budget, spent = tonumber(limits[period]), of[period .. '_spent']
    if budget then
      if not spent then return 'away', 1 end
      if tonumber(spent) >= budget then return period, '' end
      if tonumber(spent) + tonumber(of.now_held) >= budget then return 'held', 1 end
    end
  end
  local calls, requests, most = tonumber(limits.calls), tonumber(limits.r), tonumber(limits.t)
  if calls and not is_part and of.open + 1 > calls then
    return 'concurrent', calls > 0 and 1 or ''
  end
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
for place = 1, subjects do all[place] = subject(place - 1) end

local is_over = redis.call('EXISTS', KEYS[2]) == 1
local is_there = redis.call('ZSCORE', all[1].calls, call)
for _, of in ipairs(all) do look(of) end
if not is_over and not is_there then
  if not has_begun then
    for place, of in ipairs(all) do
      local at = 11 + (place - 1) * 5
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
  for place, of in ipairs(all) do
    local periods = {}
    for period, key in ipairs({of.day, of.month}) do
      if ARGV[11 + (place - 1) * 5 + 2 + period] ~= '' then
        hear_of(key, call)
        table.insert(periods, string.match(key, '[^:]+$'))
      end
    end
    redis.call('HINCRBY', of.window, 'r' .. slot, 1)
    redis.call('HINCRBY', of.window, 't' .. slot, tokens)
    redis.call('EXPIRE', of.window, 2 * SLOTS)
    local hold = {cost, slot, is_part and 'part' or '', by, table.concat(periods, ',')}
    redis.call('HSET', of.holds, call, table.concat(hold, ':'))
    if is_part then redis.call('HINCRBY', of.holds, 'parts', 1) end
    redis.call('INCRBY', of.held, cost)
    of.sums = {r = of.sums.r + 1, t = of.sums.t + tokens}
    of.newest = {r = slot, t = tokens > 0 and slot or of.newest.t}
    of.open, of.now_held = of.open + (is_part and 0 or 1), redis.call('GET', of.held)
  end
end
local answer = {0, '', ''}
for _, of in ipairs(all) do
  if not is_over then
    redis.call('ZADD', of.calls, now * 1000 + lease, call)
    for _, key in ipairs({of.calls, of.holds, of.held}) do redis.call('EXPIRE', key, KEPT_S) end
  end
  for _, figure in ipairs(told(of)) do table.insert(answer, figure) end
end
return answer
"""
)

#: ARGV: time or "", call, tokens that were held, tokens, cost, 1 if it counts as a request; then of
#: each subject whether it has a budget of a day and of a month.
#: Returns of each subject what is spent in the day and in the month; nothing if it ended before.
END = (
    _CALL
    + """
local more, cost, counts = tonumber(ARGV[6]) - tonumber(ARGV[5]), ARGV[7], ARGV[8] == '1'
if not redis.call('SET', KEYS[2], '1', 'NX', 'EX', CALL_S) then return {} end

local function spend(key)
  if hear_of(key, call) or cost == '0' then return '0' end
  return count(key, call, cost)
end

local answer = {}
for place = 1, subjects do
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
  local at = 7 + place * 2
  table.insert(answer, ARGV[at] == '1' and spend(of.day) or '0')
  table.insert(answer, ARGV[at + 1] == '1' and spend(of.month) or '0')
end
return answer
"""
)

#: ARGV: time or "", call, tokens that were held: of one of whose end nobody tells.
LOSE = (
    _CALL
    + """
local tokens = tonumber(ARGV[5])
for place = 1, subjects do
  local of = subject(place - 1)
  local began = lose(of, call)
  if began and began > slot - SLOTS then
    redis.call('HINCRBY', of.window, 'r' .. began, -1)
    if tokens > 0 then redis.call('HINCRBY', of.window, 't' .. began, -tokens) end
  end
end
"""
)

#: KEYS[2]: what was spent. Returns the calls in it, each with who had it, "" if its end was told.
ENDED = (
    _REMEMBERED
    + """
local fields, answer = redis.call('HGETALL', KEYS[2]), {}
for at = 1, #fields, 2 do
  if fields[at] ~= 'all' and fields[at] ~= 'stored' then
    table.insert(answer, fields[at])
    table.insert(answer, string.match(fields[at + 1], ':(.*)$') or '')
  end
end
return answer
"""
)

#: KEYS[2]: what was spent. ARGV: calls that have ended and their costs, again.
AGAIN = (
    _SPENT
    + """
for at = 3, #ARGV, 2 do
  if not hear_of(KEYS[2], ARGV[at]) then count(KEYS[2], ARGV[at], ARGV[at + 1]) end
end
"""
)

#: KEYS[2]: what was spent. ARGV: what the store has; then the calls that count no more, for they
#: are in that or never cost anything. Returns the sum before, "" where it was not known, and now.
SETTLE = (
    _SPENT
    + """
local stored, known = ARGV[3], redis.call('HGET', KEYS[2], 'stored')
-- What calls might have cost has alerted nobody; what they did cost shall.
for at = 4, #ARGV do hear_of(KEYS[2], ARGV[at]) end
local before = redis.call('HGET', KEYS[2], 'all') or ''

local function is_more(one, other)
  if #one ~= #other then return #one > #other end
  return one > other
end

for at = 4, #ARGV do
  local cost = redis.call('HGET', KEYS[2], ARGV[at])
  if cost then
    redis.call('HDEL', KEYS[2], ARGV[at])
    if known then redis.call('HINCRBY', KEYS[2], 'all', '-' .. cost) end
  end
end
if not known then
  local ended = redis.call('HVALS', KEYS[2])
  redis.call('HSET', KEYS[2], 'stored', stored, 'all', stored)
  for _, cost in ipairs(ended) do
    redis.call('HINCRBY', KEYS[2], 'all', string.match(cost, '^%d+'))
  end
elseif is_more(stored, known) then  -- sums only grow: who read a smaller one has read it earlier
  if known ~= '0' then redis.call('HINCRBY', KEYS[2], 'all', '-' .. known) end
  redis.call('HINCRBY', KEYS[2], 'all', stored)
  redis.call('HSET', KEYS[2], 'stored', stored)
end
redis.call('EXPIRE', KEYS[2], KEPT_S)
return {before, redis.call('HGET', KEYS[2], 'all')}
"""
)

#: KEYS: since when Redis remembers, and one that is there for a while after. ARGV: what to write
#: there if there is nothing, and the milliseconds of that while. Returns what is written, and the
#: milliseconds that are left.
REMEMBER = """
if redis.call('SET', KEYS[1], ARGV[1], 'NX') then redis.call('SET', KEYS[2], '1', 'PX', ARGV[2]) end
return {redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[2])}
"""
