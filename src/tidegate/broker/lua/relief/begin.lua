-- An act begins: its hash, its place among the acts, and the queue in its hand. Joined behind `relief/words`.
--
-- ARGV 1 prefix · 2 id · 3 queue ("" for none) · 4 how many acts are kept · 5… fields and values of the hash
-- Answer {"begun", ms} · {"busy", id of the act that has the queue}

local prefix, id, queue = ARGV[1], ARGV[2], ARGV[3]
local key, acts = relief.act(prefix, id), prefix .. relief.keys .. "acts"
if queue ~= "" then
  local other = redis.call("GET", relief.holder(prefix, queue))
  if other and other ~= id then return { "busy", other } end
end
local now = string.format("%.0f", relief.now_ms())
redis.call("HSET", key, "started_ms", now, "alive_ms", now, "queue", queue, unpack(ARGV, 5))
if queue ~= "" then redis.call("SET", relief.holder(prefix, queue), id) end
redis.call("ZADD", acts, now, id)
redis.call("ZREMRANGEBYRANK", acts, 0, -tonumber(ARGV[4]) - 1)
return { "begun", now }
