-- Outcomes that need no message: written where the beat that asks still leads, and nobody has decided on the due time.
-- Joined behind `decided`.
--
-- ARGV   1 what stands before the keys of the schedule · 2 token · then six of each: entry, due (µs), what its cursor holds
--        before ("", or "*" for whatever it holds), outcome, how many due times, why
-- Answer one for each: 1 written, 0 somebody was faster; nothing at all where another beat leads

local base = ARGV[1]
if not leads(base, ARGV[2]) then return {} end
local written = {}
for at = 3, #ARGV, 6 do
  local entry, due, before = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local cursor = redis.pcall("HGET", base .. "cursors", entry)
  -- A key that holds something else compares nothing; whoever leads goes on alone.
  local free = before == "*" or type(cursor) == "table" or due_in(cursor) == before
  if free then
    if before ~= "*" then redis.pcall("HSET", base .. "cursors", entry, due) end
    pcall(decided, base, entry, ARGV[at + 3], ARGV[at + 4], ARGV[at + 5])
  end
  written[#written + 1] = free and 1 or 0
end
return written
