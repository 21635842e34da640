-- Charges a call under each of its rules, or under none when one refuses.
-- KEYS: one per rule. ARGV: for each rule its interval in microseconds (0 for
-- none), its burst, and its calls per day (0 for any number).
-- Returns {0, 0}, or {number of the rule that refused, microseconds to wait}.
-- The clock is that of Redis, so that the clocks of replicas do not matter.
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local day = math.floor(t[1] / 86400)
local states = {}
for i, key in ipairs(KEYS) do
  local interval, burst, quota = tonumber(ARGV[3*i-2]), tonumber(ARGV[3*i-1]), tonumber(ARGV[3*i])
  local got = redis.call('HMGET', key, 'at', 'day', 'used')
  local at, used = tonumber(got[1] or 0), tonumber(got[3] or 0)
  if tonumber(got[2] or -1) ~= day then used = 0 end
  if quota > 0 and used >= quota then
    return {i, (day + 1) * 86400000000 - now}
  end
  if interval > 0 then
    at = math.max(at, now) + interval
    local over = at - now - burst * interval
    if over > 0.5 then return {i, math.ceil(over)} end
  end
  states[i] = {at, used + 1, quota}
end
for i, key in ipairs(KEYS) do
  local at, used, quota = states[i][1], states[i][2], states[i][3]
  redis.call('HSET', key, 'at', string.format('%.2f', at), 'day', day, 'used', used)
  local keep = at - now
  if quota > 0 then keep = math.max(keep, (day + 1) * 86400000000 - now) end
  redis.call('PEXPIRE', key, math.ceil(keep / 1000) + 1000)
end
return {0, 0}
