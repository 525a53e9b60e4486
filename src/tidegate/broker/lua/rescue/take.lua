-- What the directory holds leaves a list: elements in a row, below the few that were published meanwhile. Joined behind
-- `relief/words`. LTRIM is the first write: a full server allows it, and then lets the script finish.
--
-- ARGV 1 prefix · 2 id · 3 token · 4 list · 5 step before · 6 step after · 7 how many · 8 the newest of them · 9 the oldest
--      10 "old": they were the newest of the list's old part · "new": published since · 11 how many may stand above
-- Answer {"taken", the newest of the old part, or ""} · {"changed"}: read again · {"moved", step}
--        {"gone"} · {"fenced", process}

local prefix, list, count, most = ARGV[1], ARGV[4], tonumber(ARGV[7]), tonumber(ARGV[11])
local key = relief.act(prefix, ARGV[2])
local other = relief.not_mine(key, ARGV[3])
if other then return other end
local step = redis.call("HGET", key, "step:" .. list) or "0"
if step ~= ARGV[5] then return { "moved", step } end
local above = redis.call("LPOS", list, ARGV[8], "MAXLEN", most + 1)
if not above or redis.call("LINDEX", list, above + count - 1) ~= ARGV[9] then return { "changed" } end

local newest_first, kept = above > 0 and redis.call("LRANGE", list, 0, above - 1) or {}, {}
for at = #newest_first, 1, -1 do kept[#kept + 1] = newest_first[at] end
redis.call("LTRIM", list, above + count, -1)
redis.call("HSET", key, "step:" .. list, ARGV[6])
if ARGV[10] == "old" then redis.call("HSET", key, "marker:" .. list, redis.call("LINDEX", list, 0) or "") end
relief.push(list, kept)
redis.call("HINCRBY", key, "removed", count)
relief.lives(key)
return { "taken", relief.marker_of(key, list) }
