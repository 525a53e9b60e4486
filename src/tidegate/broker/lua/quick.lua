-- The common case before all else: a message that nothing guards, in a queue with room. What is defined below it costs
-- more than its own few commands. Joined behind `door`; KEYS and ARGV are those of `admit`.

-- The ceiling in bytes: "0.8" is a share of maxmemory, "100000000" are bytes; 0 is none.
local function ceiling_bytes(ceiling, maxmemory)
  local number = tonumber(ceiling) or 0
  return string.find(ceiling, ".", 1, true) and math.floor(number * maxmemory) or number
end

-- Whether the server is known to be below its ceiling; what is known is at most a second old.
local function is_below(ceiling)
  local used, maxmemory = string.match(redis.call("GET", ARGV[2] .. "tidegate:gate:1:memory") or "", "^(%d+) (%d+)$")
  if not used then return false end
  local bytes = ceiling_bytes(ceiling, tonumber(maxmemory))
  return bytes <= 0 or tonumber(used) < bytes
end

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
  return ARGV[12] == "" or is_below(ARGV[12])
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
