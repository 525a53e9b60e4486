-- Messages of a backup wait to be put back, each batch once. Joined behind `relief/words`.
--
-- ARGV 1 prefix · 2 id · 3 token · 4 list to push to · 5 field that counts · 6 its value before · 7 its value after
--      8… messages, oldest first
-- Answer {"gathered"} · {"counted", value}: it was done already, or another is due · {"gone"} · {"fenced", process}

local key = relief.act(ARGV[1], ARGV[2])
local other = relief.not_mine(key, ARGV[3])
if other then return other end
relief.lives(key) -- first: a full server refuses it, and then nothing has been done
local counted = redis.call("HGET", key, ARGV[5]) or "0"
if counted ~= ARGV[6] then return { "counted", counted } end
relief.push(ARGV[4], ARGV, 8)
redis.call("HSET", key, ARGV[5], ARGV[7])
return { "gathered" }
