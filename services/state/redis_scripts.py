"""The Lua that Redis runs: each script is one atomic step, the twin of a function for SQLite.

Lua's numbers are doubles: whole numbers are exact up to 2**53, which `services.prices.MAX_NANOS` keeps.
`ARGV[1]` is the time in ms, or empty for Redis' own clock. A scope (tenant, use case) has three keys:
    days     hash  <day>:s spent, <day>:r reserved
    held     zset  <day>|<amount>|<attempt>|<request>, scored by expiry: what counts in reserved
    request  hash  <attempt> -> <day>|<amount>|<expires>|<settled, or empty>: one key for each request
"""

_NOW = """
local now = tonumber(ARGV[1])
if not now then
  local t = redis.call('TIME')
  now = tonumber(t[1]) * 1000 + math.floor(tonumber(t[2]) / 1000)
end
"""

_BUDGET = (
    _NOW
    + """
local DAY = 86400000
local function whole(n) return string.format('%.0f', n) end
local function add(day, field, by)
  if by ~= 0 then redis.call('HINCRBY', KEYS[1], whole(day) .. field, whole(by)) end
end
local function used(day)
  local v = redis.call('HMGET', KEYS[1], whole(day) .. ':s', whole(day) .. ':r')
  return tonumber(v[1] or '0'), tonumber(v[2] or '0')
end
local function parse(text)
  local day, amount, expires, settled = string.match(text, '^(%d+)|(%d+)|(%d+)|(%d*)$')
  return tonumber(day), tonumber(amount), tonumber(expires), tonumber(settled)
end
local function row(day, amount, expires, settled)
  return whole(day) .. '|' .. whole(amount) .. '|' .. whole(expires) .. '|' .. settled
end
local function member(day, amount, attempt, request)
  return whole(day) .. '|' .. whole(amount) .. '|' .. attempt .. '|' .. request
end
local function reply(outcome, day, a, b, c)
  local spent, reserved = used(day)
  return {outcome, day, spent, reserved, a or 0, b or 0, c or 0}
end
"""
)

RESERVE = (
    _BUDGET
    + """
local amount, ttl = tonumber(ARGV[2]), tonumber(ARGV[3])
local day_limit, request_limit = tonumber(ARGV[4]), tonumber(ARGV[5])
local attempt, request, keep_ms, keep_days = ARGV[6], ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9])
local today = math.floor(now / DAY)
for _, m in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', whole(now))) do
  redis.call('ZREM', KEYS[2], m)
  local day, held = string.match(m, '^(%d+)|(%d+)|')
  add(tonumber(day), ':r', -tonumber(held))
end
local known = redis.call('HGET', KEYS[3], attempt)
if known then
  local day, held, expires, settled = parse(known)
  if settled then return reply('settled', today, 0, held, expires) end
  -- Only what is still in `held` is counted; a clock that goes back must not bring the rest to life.
  local counted = redis.call('ZSCORE', KEYS[2], member(day, held, attempt, request))
  if not counted then return reply('expired', today, 0, held, expires) end
  return reply('granted', day, 0, held, expires)
end
local request_used = 0
for _, other in ipairs(redis.call('HVALS', KEYS[3])) do
  local _, held, expires, settled = parse(other)
  if settled then request_used = request_used + settled
  elseif expires > now then request_used = request_used + held end
end
if amount > 0 and request_used + amount > request_limit then return reply('request', today, request_used) end
local spent, reserved = used(today)
if amount > 0 and spent + reserved + amount > day_limit then return reply('day', today, request_used) end
local expires = now + ttl
redis.call('HSET', KEYS[3], attempt, row(today, amount, expires, ''))
redis.call('PEXPIRE', KEYS[3], whole(ttl + keep_ms))
redis.call('ZADD', KEYS[2], whole(expires), member(today, amount, attempt, request))
if redis.call('HEXISTS', KEYS[1], whole(today) .. ':r') == 0 then
  for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    local day = tonumber(string.match(field, '^(%d+):'))
    if day < today - keep_days then redis.call('HDEL', KEYS[1], field) end
  end
end
add(today, ':r', amount)
redis.call('PEXPIRE', KEYS[1], whole((keep_days + 1) * DAY))
redis.call('PEXPIRE', KEYS[2], whole((keep_days + 1) * DAY))
return reply('granted', today, request_used, amount, expires)
"""
)

SETTLE = (
    _BUDGET
    + """
local day, amount = tonumber(ARGV[2]), tonumber(ARGV[3])
local expires, actual = tonumber(ARGV[4]), tonumber(ARGV[5])
local attempt, request, keep_ms, keep_days = ARGV[6], ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9])
local known = redis.call('HGET', KEYS[3], attempt)
if known then
  local settled
  day, amount, expires, settled = parse(known)
  if settled then return reply('repeated', day, settled) end
elseif now > expires + keep_ms then
  return reply('too_late', day, 0, 1)
end
redis.call('HSET', KEYS[3], attempt, row(day, amount, expires, whole(actual)))
redis.call('PEXPIRE', KEYS[3], whole(math.max(expires - now, 0) + keep_ms))
if redis.call('ZREM', KEYS[2], member(day, amount, attempt, request)) == 1 then add(day, ':r', -amount) end
add(day, ':s', actual)
redis.call('PEXPIRE', KEYS[1], whole((keep_days + 1) * DAY))
return reply('settled', day, actual, expires <= now and 1 or 0)
"""
)

USE = (
    _BUDGET
    + """
local today = math.floor(now / DAY)
local spent, reserved = used(today)
for _, m in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', whole(now))) do
  local day, held = string.match(m, '^(%d+)|(%d+)|')
  if tonumber(day) == today then reserved = reserved - tonumber(held) end
end
return {today, spent, reserved}
"""
)

# KEYS: cell and window of each endpoint in turn. ARGV: now, keep_s, pushed as JSON, in the order of KEYS.
# A window is a hash <epoch>:<second>:<c calls | e errors | s slow>.
SYNC = (
    _NOW
    + """
local keep_s, pushed, out = tonumber(ARGV[2]), cjson.decode(ARGV[3]), {string.format('%.0f', now)}
local oldest = math.floor(now / 1000) - keep_s
for i = 1, #KEYS / 2 do
  local cell, window, buckets = KEYS[2 * i - 1], KEYS[2 * i], pushed[i] or {}
  for _, b in ipairs(buckets) do
    local at = string.format('%.0f:%.0f', b[1], b[2])
    redis.call('HINCRBY', window, at .. ':c', b[3])
    if b[4] > 0 then redis.call('HINCRBY', window, at .. ':e', b[4]) end
    if b[5] > 0 then redis.call('HINCRBY', window, at .. ':s', b[5]) end
  end
  if #buckets > 0 then
    for _, field in ipairs(redis.call('HKEYS', window)) do
      if tonumber(string.match(field, ':(%d+):')) < oldest then redis.call('HDEL', window, field) end
    end
    redis.call('EXPIRE', window, keep_s * 2 + 60)
  end
  local v = redis.call('HMGET', cell, 'version', 'value')
  table.insert(out, {v[1] or '0', v[2] or '', redis.call('HGETALL', window)})
end
return out
"""
)

# A cell outlives every open time by far; a forgotten one is a closed breaker.
SWAP = """
local v = redis.call('HMGET', KEYS[1], 'version', 'value')
local version = tonumber(v[1] or '0')
if version ~= tonumber(ARGV[1]) then return {0, tostring(version), v[2] or ''} end
redis.call('HSET', KEYS[1], 'version', version + 1, 'value', ARGV[2])
redis.call('EXPIRE', KEYS[1], 604800)
return {1, tostring(version + 1), ARGV[2]}
"""
