-- The oldest messages of the directory go back: behind the list's old part, before what was published since. Joined behind
-- `door`, `relief/words` and `relief/allowed`: whoever feeds has looked whether there is room.
--
-- ARGV 1 prefix · 2 id · 3 token · 4 list · 5 queue · 6 step before · 7 step after · 8 how many may have been published since
--      9… the messages, oldest first
-- Answer {"fed"} · {"many", how many were published since} · {"moved", step} · {"gone"} · {"fenced", process}

local prefix, list, most = ARGV[1], ARGV[4], tonumber(ARGV[8])
local key = relief.act(prefix, ARGV[2])
local other = relief.not_mine(key, ARGV[3])
if other then return other end
local step = redis.call("HGET", key, "step:" .. list) or "0"
if step ~= ARGV[6] then return { "moved", step } end

local marker, depth = relief.marker_of(key, list), redis.call("LLEN", list)
local since = marker ~= "" and depth > 0 and redis.call("LPOS", list, marker)
if since and since > most then return { "many", since } end

local elements = {}
for at = 9, #ARGV do elements[#elements + 1] = ARGV[at] end
redis.call("HSET", key, "step:" .. list, ARGV[7], "marker:" .. list, elements[#elements])
if since or depth <= most then
  local newest_first, newer = depth > 0 and since ~= 0 and redis.call("LRANGE", list, 0, (since or depth) - 1) or {}, {}
  for at = #newest_first, 1, -1 do newer[#newer + 1] = newest_first[at] end
  if #newer > 0 then redis.call("LTRIM", list, #newer, -1) end
  relief.push(list, elements)
  relief.push(list, newer)
else
  -- Nothing of the old part is left: all that is there was published since, so these go first.
  for at = #elements, 1, -1 do redis.call("RPUSH", list, elements[at]) end
end
redis.call("HINCRBY", key, "removed", -#elements)
redis.call("HINCRBY", key, "kept:" .. list, #elements)
relief.lives(key)
pcall(ring, prefix, ARGV[5])
return { "fed" }
