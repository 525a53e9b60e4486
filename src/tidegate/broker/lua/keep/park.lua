-- Messages of a side list that are on disk go from there, the oldest. Joined behind `keep/words`.
--
-- ARGV 1 prefix · 2 token · 3 list · 4 store · 5 where it is · 6 number of the first · 7 how many
--      8 SHA-1 of the oldest · 9 SHA-1 of the newest of them · 10 "1": also where a full server does not take the number
-- Answer {"parked"} · {"full"}: it does not, and nothing was done · {"unnoted"}: parked without · {"changed"}: they are
--        not there
--        {"counted", taken}: another number is due · {"waits"}: another keeper acts · {"foreign", where}

local prefix, list, first, many = ARGV[1], ARGV[3], tonumber(ARGV[6]), tonumber(ARGV[7])
local side, kept = keep.beside(prefix, "spill", list), keep.beside(prefix, "kept", list)
if not keep.acts(prefix, ARGV[2]) then return { "waits" } end
if not keep.is_ours(kept, ARGV[4]) then return { "foreign", redis.call("HGET", kept, "where") or "" } end
local taken = redis.call("HGET", kept, "taken")
if taken and tonumber(taken) ~= first then return { "counted", taken } end
local oldest, newest = redis.call("LINDEX", side, -1), redis.call("LINDEX", side, -many)
if not newest or redis.sha1hex(oldest) ~= ARGV[8] or redis.sha1hex(newest) ~= ARGV[9] then return { "changed" } end

local after = string.format("%.0f", first + many)
local noted
if taken then
  noted = redis.pcall("HSET", kept, "taken", after)
else
  noted = redis.pcall("HSET", kept, "store", ARGV[4], "where", ARGV[5], "fed", ARGV[6], "taken", after)
end
local full = type(noted) == "table" and noted.err
if full and ARGV[10] ~= "1" then return { "full" } end
redis.call("LTRIM", side, 0, -many - 1)
return { full and "unnoted" or "parked" }
