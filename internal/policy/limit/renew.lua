-- Lets calls keep their places for another while. What is not there is not taken
-- again: the call may have been answered meanwhile.
-- KEYS: a sorted set of each call. ARGV: for how long in milliseconds, and the name
-- of each call.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
for i, key in ipairs(KEYS) do
  redis.call('ZADD', key, 'XX', now + tonumber(ARGV[1]), ARGV[1 + i])
  redis.call('PEXPIRE', key, ARGV[1])
end
return {0, 0}
