-- A message that nothing bounds and nothing guards: pushed, and the door bell rung. Joined behind `door`.
--
-- KEYS   1 the list to push to · 2… the other priority lists, where the queue expires
-- ARGV   1 payload · 2 prefix · 3 queue · 4 x-expires of the queue in ms, where it expires
-- Answer the length of the list

local depth = redis.call("LPUSH", KEYS[1], ARGV[1])
if ARGV[4] then
  for _, key in ipairs(KEYS) do redis.pcall("PEXPIRE", key, ARGV[4]) end
end
pcall(ring, ARGV[2], ARGV[3])
return depth
