-- Many messages that nothing guards, for one list, in their order: as many of them as there is room for without any
-- further ado. Joined behind `door`, `ceiling` and `aside`.
--
-- KEYS   1 the list to push to · 2… the other priority lists of the queue
-- ARGV   1 prefix · 2 queue · 3 max_length (0 none) · 4 memory ceiling ("") · 5 x-expires of the queue in ms (0)
--        6… payloads
-- Answer how many of them, from the first on, are in; the others have to be decided on one by one

local AT_ONCE = 1000 -- Lua can't pass more than a few thousand arguments

local function room()
  local many, most = #ARGV - 5, tonumber(ARGV[3])
  if ARGV[4] ~= "" and not is_below(ARGV[1], ARGV[4]) then return 0 end
  if most == 0 then return many end
  local depth = 0
  for _, list in ipairs(waiting_in(ARGV[1], ARGV[2], KEYS)) do depth = depth + redis.call("LLEN", list) end
  return math.max(0, math.min(many, most - depth))
end

local certain, many = pcall(room)
if not certain or many == 0 then return 0 end
for first = 6, 5 + many, AT_ONCE do
  redis.call("LPUSH", KEYS[1], unpack(ARGV, first, math.min(5 + many, first + AT_ONCE - 1)))
end
if ARGV[5] ~= "0" then
  for _, list in ipairs(KEYS) do redis.pcall("PEXPIRE", list, ARGV[5]) end
end
pcall(ring, ARGV[1], ARGV[2])
return many
