-- What the keeper knows of a list. Joined behind `keep/words`.
--
-- ARGV 1 prefix · 2 token · 3 list · 4 store · 5 "1": nothing of it is on disk or in front any more, it may be forgotten
--      6… fields and values; an empty value takes the field away
-- Answer {"noted"} · {"full"}: the server takes nothing, and nothing was done · {"forgotten"} · {"waits"}
--        {"foreign", where}

local prefix, list = ARGV[1], ARGV[3]
local kept = keep.beside(prefix, "kept", list)
if not keep.acts(prefix, ARGV[2]) then return { "waits" } end
if not keep.is_ours(kept, ARGV[4]) then return { "foreign", redis.call("HGET", kept, "where") or "" } end
if ARGV[5] == "1" then
  local said = redis.call("HMGET", kept, "taken", "fed")
  if said[1] == said[2] and redis.call("EXISTS", keep.beside(prefix, "front", list)) == 0 then
    redis.call("DEL", kept)
    return { "forgotten" }
  end
end
local set, gone = {}, {}
for at = 6, #ARGV, 2 do
  if ARGV[at + 1] == "" then
    gone[#gone + 1] = ARGV[at]
  else
    set[#set + 1], set[#set + 2] = ARGV[at], ARGV[at + 1]
  end
end
if #set > 0 then
  local noted = redis.pcall("HSET", kept, unpack(set))
  if type(noted) == "table" and noted.err then return { "full" } end
end
if #gone > 0 then redis.call("HDEL", kept, unpack(gone)) end
return { "noted" }
