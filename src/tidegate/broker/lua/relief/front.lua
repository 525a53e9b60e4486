-- What was gathered to be put back goes before everything: the list itself, what is aside, and what comes later wait
-- behind it. Joined behind `door` and `relief/words`.
--
-- ARGV 1 prefix · 2 id · 3 token · 4 list · 5 queue
-- Answer {"fronted", how many are behind} · {"mixed"}: first splice, for the list and `aside` both hold messages
--        {"gone"} · {"fenced", process}

local prefix, list, queue = ARGV[1], ARGV[4], ARGV[5]
local key = relief.act(prefix, ARGV[2])
local aside, back = relief.hidden(prefix, "aside", list), relief.hidden(prefix, "back", list)
local other = relief.not_mine(key, ARGV[3])
if other then return other end
relief.lives(key) -- first: a full server refuses it, and then nothing has been done
if redis.call("EXISTS", back) == 1 then
  if redis.call("EXISTS", list) == 1 then
    if redis.call("EXISTS", aside) == 1 then return { "mixed" } end
    redis.call("RENAME", list, aside)
  end
  redis.call("HSET", key, "marker:" .. list, redis.call("LINDEX", back, 0))
  redis.call("RENAME", back, list)
  pcall(ring, prefix, queue)
end
redis.call("HSET", key, "at:" .. list, "fronted")
return { "fronted", redis.call("LLEN", aside) + redis.call("LLEN", relief.hidden(prefix, "later", list)) }
