-- Takes a place for a call under each of its rules that bound how many there are
-- at once, or none when one of them has no place left.
-- KEYS: one per rule, a sorted set of calls with the time until which each has its
-- place. ARGV: the call's name, how long it has its places in milliseconds unless
-- it is renewed, and the bound of each rule.
-- Returns {0, 0}, or {number of the rule that refused, 0}.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
for i, key in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  if redis.call('ZCARD', key) >= tonumber(ARGV[2 + i]) then return {i, 0} end
end
for _, key in ipairs(KEYS) do
  redis.call('ZADD', key, now + tonumber(ARGV[2]), ARGV[1])
  redis.call('PEXPIRE', key, ARGV[2])
end
return {0, 0}
