-- Messages of a backup go behind what the queue holds, each portion once. Joined behind `door` and `relief/words`.
--
-- ARGV 1 prefix · 2 id · 3 token · 4 list · 5 queue · 6 how many messages of the file were passed before · 7 after
--      8 how many of these are in the queue already · 9 how many are expired · 10… the others, oldest first
-- Answer {"restored", depth of the list} · {"passed", how many}: it was done already, or another portion is due
--        {"gone"} · {"fenced", process}

local prefix, list, queue = ARGV[1], ARGV[4], ARGV[5]
local key = relief.act(prefix, ARGV[2])
local other = relief.not_mine(key, ARGV[3])
if other then return other end
relief.lives(key) -- first: a full server refuses it, and then nothing has been done
local passed = redis.call("HGET", key, "passed") or "0"
if passed ~= ARGV[6] then return { "passed", passed } end
relief.push(list, ARGV, 10)
redis.call("HSET", key, "passed", ARGV[7])
redis.call("HINCRBY", key, "kept:" .. list, #ARGV - 9)
redis.call("HINCRBY", key, "there", ARGV[8])
redis.call("HINCRBY", key, "expired", ARGV[9])
if #ARGV > 9 then pcall(ring, prefix, queue) end
return { "restored", redis.call("LLEN", list) }
