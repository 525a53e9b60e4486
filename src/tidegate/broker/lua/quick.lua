-- The common case before all else: a message that nothing guards, or whose key has no mark, in a queue with room. What is
-- defined below it costs more than its own few commands. Joined behind `door`, `ceiling` and `aside`; KEYS and ARGV are
-- those of `admit`.

local OUR_MARKS, OUR_BODIES = "tidegate:gate:1:marks", "tidegate:gate:1:bodies"

-- Of a firing, a retry or an exempt message more has to be known, and so has to be of a key with a mark.
local function is_unmarked()
  return ARGV[13] ~= "" and ARGV[14] ~= "allow_all" and ARGV[16] == "message" and ARGV[17] == "" and ARGV[7] == ""
    and ARGV[19] == "0" and redis.call("HEXISTS", ARGV[2] .. OUR_MARKS, ARGV[13]) == 0
end

-- As `overlap.set` in marks.lua writes it. The body first: a mark without one would stand for what is not there.
local function set_mark()
  local time = redis.call("TIME")
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  redis.call("HSET", ARGV[2] .. OUR_BODIES, ARGV[13], ARGV[1])
  redis.call("HSET", ARGV[2] .. OUR_MARKS, ARGV[13], cjson.encode({
    tag = ARGV[4], id = ARGV[5], list = KEYS[1], at = now, state = "waiting", changed = now, seen = now,
  }))
end

local function has_room()
  if ARGV[7] ~= "" then return true end
  if ARGV[9] ~= "0" or ARGV[10] == "spill" then return false end
  local most = tonumber(ARGV[8])
  if most > 0 then
    local depth = 0
    for _, list in ipairs(waiting_in(ARGV[2], ARGV[3], KEYS)) do depth = depth + redis.call("LLEN", list) end
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

local function is_simple()
  local guarded = ARGV[13] ~= "" or ARGV[17] ~= ""
  if guarded and not is_unmarked() or not has_room() then return false end
  if guarded then set_mark() end
  return true
end

local certain, simple = pcall(is_simple)
if certain and simple then
  push()
  pcall(ring, ARGV[2], ARGV[3])
  return { "admitted" }
end
