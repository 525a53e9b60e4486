-- Messages come back from the disk, behind those that came back before. Joined behind `door` and `keep/words`.
--
-- ARGV 1 prefix · 2 token · 3 list · 4 store · 5 queue · 6 number of the first · 7… messages, oldest first
-- Answer {"fed", how many wait in front} · {"counted", fed} · {"waits"} · {"foreign", where} · {"lost"}: nothing is known

local PORTION = 1000
local prefix, list, first = ARGV[1], ARGV[3], tonumber(ARGV[6])
local front, kept = keep.beside(prefix, "front", list), keep.beside(prefix, "kept", list)
if not keep.acts(prefix, ARGV[2]) then return { "waits" } end
if not keep.is_ours(kept, ARGV[4]) then return { "foreign", redis.call("HGET", kept, "where") or "" } end
local fed = redis.call("HGET", kept, "fed")
if not fed then return { "lost" } end
if tonumber(fed) ~= first then return { "counted", fed } end
redis.call("HSET", kept, "fed", string.format("%.0f", first + #ARGV - 6))
for from = 7, #ARGV, PORTION do
  redis.call("LPUSH", front, unpack(ARGV, from, math.min(from + PORTION - 1, #ARGV)))
end
pcall(ring, prefix, ARGV[5])
return { "fed", redis.call("LLEN", front) }
