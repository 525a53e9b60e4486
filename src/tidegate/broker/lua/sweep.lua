-- A few marks and firings, looked at by a worker once a second: what nothing is left of is cleared, also where nobody
-- publishes with that key again. Many workers call it, one a second does it.
--
-- KEYS 1 tidegate:gate:1:sweep, a string: "<ms> <cursor of marks> <cursor of firings>"
-- ARGV 1 prefix · 2 visibility timeout in ms · 3 unacked_index · 4 name of the hash `nodes`
-- Answer how many were cleared

local EVERY_MS, MARKS, FIRINGS, MOST_MS = 900, 50, 5, 2

local look = overlap.look(ARGV[1], nil, { visibility_ms = ARGV[2], index = ARGV[3] })
local at, of_marks, of_firings = string.match(redis.call("GET", KEYS[1]) or "", "^(%d+) (%d+) (%d+)$")
if at and look.now - tonumber(at) < EVERY_MS and look.now >= tonumber(at) then return 0 end
look.budget_ms = MOST_MS
local cleared = 0

local function sweep_marks()
  local found = redis.call("HSCAN", look.marks, of_marks or "0", "COUNT", MARKS)
  for index = 1, #found[2], 2 do
    local key = found[2][index]
    local m = overlap.mark_of(look, key)
    if not m or overlap.judged(look, key, m) == "gone" then
      overlap.clear(look, key)
      cleared = cleared + 1
    end
  end
  return found[1]
end

local function sweep_firings()
  local found = redis.call("HSCAN", look.firings, of_firings or "0", "COUNT", FIRINGS)
  for index = 1, #found[2], 2 do
    local entry, open = found[2][index], overlap.decoded(found[2][index + 1])
    if not open then redis.call("HDEL", look.firings, entry) end
    for root in pairs(open or {}) do
      if not overlap.is_open(look, entry, root) then cleared = cleared + 1 end
    end
  end
  return found[1]
end

local function sweep_nodes()
  local found = redis.call("HGETALL", ARGV[4])
  for index = 1, #found, 2 do
    if redis.call("EXISTS", look.worker .. found[index + 1]) == 0 then redis.call("HDEL", ARGV[4], found[index]) end
  end
end

local next_marks, next_firings = sweep_marks(), sweep_firings()
sweep_nodes()
redis.call("SET", KEYS[1], string.format("%.0f", look.now) .. " " .. next_marks .. " " .. next_firings)
return cleared
