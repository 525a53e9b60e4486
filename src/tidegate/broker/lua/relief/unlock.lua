-- Locks of other tools go, each only where it holds what it is known by: a newer lock of the same name stays.
--
-- KEYS locks · ARGV what each of them holds
-- Answer how many went

local gone = 0
for at, key in ipairs(KEYS) do
  if redis.pcall("GET", key) == ARGV[at] then gone = gone + redis.call("DEL", key) end
end
return gone
