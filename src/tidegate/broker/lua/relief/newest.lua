-- The newest messages of a list stand where workers take next, all others are aside; at the end all is in its order of age
-- again. Joined behind `door` and `relief/words`.
--
-- ARGV 1 prefix · 2 id · 3 token · 4 list · 5 queue · 6 how many are to stand there · 7 "1" at the end
-- Answer {"turned", how many were taken since, arrived since, stand there, are aside} · {"more", …}: there is more to set aside
--        {"whole", …}: it is over · {"taken"}: something is set aside already · {"gone"} · {"fenced", process}
--
-- The list, from its head: arrivals, newest first; then what was put there, oldest first, with the marker at its head.
-- The newest that is set aside is at the head of `aside`.

local prefix, list, queue, wanted, ends = ARGV[1], ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[7] == "1"
local key, aside = relief.act(prefix, ARGV[2]), relief.hidden(prefix, "aside", list)
local marker, at, given = "marker:" .. list, "at:" .. list, "given:" .. list
local other = relief.not_mine(key, ARGV[3])
if other then return other end
relief.lives(key) -- first: a full server refuses it, and then nothing has been done

local said = redis.call("HGET", key, at)
if said == "whole" or (not said and ends) then return { "whole", 0, 0, 0, redis.call("LLEN", aside) } end
if not said then
  if redis.call("EXISTS", aside) == 1 then return { "taken" } end
  if redis.call("EXISTS", list) == 1 then redis.call("RENAME", list, aside) end
  redis.call("HSET", key, at, "newest", marker, "", given, 0)
end

local depth, stood = redis.call("LLEN", list), redis.call("HGET", key, marker) or ""
local arrived = stood ~= "" and redis.call("LPOS", list, stood) or depth
local ours = depth - arrived
local taken = math.max(0, tonumber(redis.call("HGET", key, given) or "0") - ours)
local more = arrived > relief.portion

-- LPUSH before LTRIM throughout: a message may never be in no list at all.
if arrived > 0 or (ends and ours > 0) then
  relief.push(aside, redis.call("LRANGE", list, arrived, -1))
  local left = math.max(0, arrived - relief.portion)
  local newest_first, batch = redis.call("LRANGE", list, left, arrived - 1), {}
  if arrived == 0 then newest_first = {} end
  for place = #newest_first, 1, -1 do batch[#batch + 1] = newest_first[place] end
  relief.push(aside, batch)
  if left == 0 then redis.call("DEL", list) else redis.call("LTRIM", list, 0, left - 1) end
  ours = 0
end

if not more and not ends and ours < wanted then
  local next_newest = redis.call("LRANGE", aside, 0, wanted - ours - 1)
  if #next_newest > 0 then
    relief.push(list, next_newest)
    redis.call("LTRIM", aside, #next_newest, -1)
    ours, stood = ours + #next_newest, next_newest[#next_newest]
    pcall(ring, prefix, queue)
  end
end
if ours == 0 then stood = "" end
redis.call("HSET", key, marker, stood, given, ours)
redis.call("HINCRBY", key, "kept:" .. list, taken)

local word = more and "more" or "turned"
if ends and not more then
  if redis.call("EXISTS", aside) == 1 then
    redis.call("RENAME", aside, list)
    pcall(ring, prefix, queue)
  end
  redis.call("HSET", key, at, "whole")
  word = "whole"
end
return { word, taken, arrived, ours, redis.call("LLEN", aside) }
