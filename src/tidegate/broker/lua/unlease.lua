-- Whoever holds the lease gives it up.
--
-- ARGV   1 what stands before the keys of the schedule · 2 token of who gives it up
-- Answer 1 given up, 0 it was not its own

local held = redis.pcall("GET", ARGV[1] .. "lease")
if type(held) == "string" and ARGV[2] ~= "" and string.find(held, ARGV[2], 1, true) then return redis.call("DEL", ARGV[1] .. "lease") end
return 0
