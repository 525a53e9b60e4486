-- The common case before all else: a message that nothing guards, in a queue with room. What is defined below it costs
-- more than its own few commands. Joined behind `door` and `ceiling`; KEYS and ARGV are those of `admit`.

local function has_room()
  if ARGV[13] ~= "" or ARGV[17] ~= "" then return false end
  if ARGV[7] ~= "" then return true end
  if ARGV[9] ~= "0" or ARGV[10] == "spill" then return false end
  local most = tonumber(ARGV[8])
  if most > 0 then
    local depth = 0
    for _, list in ipairs(KEYS) do depth = depth + redis.call("LLEN", list) end
    if depth >= most then return false end
  end
  return ARGV[12] == "" or is_below(ARGV[2], ARGV[12])
end

local function push()
  redis.call("LPUSH", KEYS[1], ARGV[1])
  if ARGV[21] ~= "0" then
    for _, list in ipairs(KEYS) do redis.pcall("PEXPIRE", list, ARGV[21]) end
  end
end

local certain, room = pcall(has_room)
if certain and room then
  push()
  pcall(ring, ARGV[2], ARGV[3])
  return { "admitted" }
end
