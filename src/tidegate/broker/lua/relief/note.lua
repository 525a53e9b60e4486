-- How far an act is, or its end. Joined behind `relief/words`.
--
-- ARGV 1 prefix · 2 id · 3 token · 4 "1" at its end · 5… fields and values of the hash
-- Answer {"noted"} · {"gone"} · {"fenced", process}

local prefix, id = ARGV[1], ARGV[2]
local key = relief.act(prefix, id)
local other = relief.not_mine(key, ARGV[3])
if other then return other end
if #ARGV > 4 then redis.call("HSET", key, unpack(ARGV, 5)) end
relief.lives(key)
if ARGV[4] == "1" then
  redis.call("HSET", key, "ended_ms", string.format("%.0f", relief.now_ms()))
  for _, field in ipairs(redis.call("HKEYS", key)) do
    if string.sub(field, 1, 7) == "marker:" or string.sub(field, 1, 5) == "held:" then redis.call("HDEL", key, field) end
  end
  local queue = redis.call("HGET", key, "queue") or ""
  if redis.call("GET", relief.holder(prefix, queue)) == id then redis.call("DEL", relief.holder(prefix, queue)) end
  redis.call("PEXPIRE", key, relief.days_90_ms)
end
return { "noted" }
