-- One turn at the lease of a schedule: renewed by whoever holds it, taken where it is free, else left alone.
--
-- ARGV   1 what stands before the keys of the schedule · 2 token of who asks · 3 what the lease is to hold (JSON with the
--        token) · 4 how long in ms · 5 the token of a holder that is known to be dead ("")
-- Answer {2 renewed, 1 taken, 0 somebody else's} · seconds · microseconds · edition · what the lease held

local lease = ARGV[1] .. "lease"
local held = redis.pcall("GET", lease)
if type(held) == "table" then held = false end

local function is_of(token)
  return held and token ~= "" and string.find(held, token, 1, true) ~= nil
end

local mine = is_of(ARGV[2])
-- What is no text, or never expires, no beat has written: it would stop all of them for ever.
local taken = not held or is_of(ARGV[5]) or redis.call("PTTL", lease) == -1
if mine or taken then redis.call("SET", lease, ARGV[3], "PX", ARGV[4]) end
local now = redis.call("TIME")
local edition = redis.pcall("GET", ARGV[1] .. "edition")
return {
  mine and 2 or taken and 1 or 0, now[1], now[2], type(edition) == "string" and edition or "0", held or "",
}
