-- Somebody takes over an act whose process is gone. Joined behind `relief/words`.
--
-- ARGV 1 prefix · 2 id · 3 the token it had · 4 the new token · 5… fields and values of the hash
-- Answer {"claimed"} · {"gone"} · {"fenced", process} · {"busy", id of the act that has the queue}

local prefix, id = ARGV[1], ARGV[2]
local key = relief.act(prefix, id)
local other = relief.not_mine(key, ARGV[3])
if other then return other end
local queue = redis.call("HGET", key, "queue") or ""
if queue ~= "" then
  local holder = redis.call("GET", relief.holder(prefix, queue))
  if holder and holder ~= id then return { "busy", holder } end
  redis.call("SET", relief.holder(prefix, queue), id)
end
redis.call("HSET", key, "token", ARGV[4], unpack(ARGV, 5))
redis.call("PERSIST", key)
relief.lives(key)
return { "claimed" }
