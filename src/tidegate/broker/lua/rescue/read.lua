-- Reads a list beside a marker, wherever producers and workers have moved it meanwhile; changes nothing.
--
-- ARGV 1 list · 2 marker ("" for the newest element) · 3 "old": the marker and what is older · "new": what stands before it,
--      the oldest of that · 4 how many · 5 how many bytes, one message more at most
-- Answer {"gone"}: the marker is not there · {"read", how many stand before the marker, elements, newest first}

local list, marker, count = ARGV[1], ARGV[2], tonumber(ARGV[4])
local above = marker == "" and 0 or redis.call("LPOS", list, marker)
if not above then return { "gone" } end
local first, last = above, above + count - 1
if ARGV[3] == "new" then first, last = math.max(0, above - count), above - 1 end
local found = last >= first and redis.call("LRANGE", list, first, last) or {}
local from, to, step = 1, #found, 1
if ARGV[3] == "new" then from, to, step = #found, 1, -1 end
local bytes, got = 0, {}
for at = from, to, step do
  if bytes > tonumber(ARGV[5]) then break end
  bytes = bytes + #found[at]
  got[#got + 1] = found[at]
end
if step == -1 then
  for at = 1, math.floor(#got / 2) do got[at], got[#got + 1 - at] = got[#got + 1 - at], got[at] end
end
return { "read", above, got }
