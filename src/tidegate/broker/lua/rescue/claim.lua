-- Whoever has the directory of a rescue takes it up again: what an earlier owner still has on its way is fenced from now
-- on. Joined behind `relief/words` and `relief/allowed`.
--
-- ARGV 1 prefix · 2 id · 3 the new token · 4 process · 5… the lists
-- Answer {"claimed", state, for each list its step and its marker (nil where it has none yet)} · {"gone"}
--        {"busy", id of the act that has the queue}

local prefix, id = ARGV[1], ARGV[2]
local key = relief.act(prefix, id)
local said = redis.call("HMGET", key, "queue", "state")
if not said[1] then return { "gone" } end
local answer = { "claimed", said[2] or "" }
if said[2] ~= "done" then
  local holder = relief.holder(prefix, said[1])
  local other = redis.call("GET", holder)
  if other and other ~= id then return { "busy", other } end
  redis.call("SET", holder, id)
  redis.call("HSET", key, "token", ARGV[3], "process", ARGV[4], "state", "running")
  relief.lives(key)
end
for at = 5, #ARGV do
  local mine = redis.call("HMGET", key, "step:" .. ARGV[at], "marker:" .. ARGV[at])
  answer[#answer + 1] = mine[1] or "0"
  answer[#answer + 1] = mine[2]
end
return answer
