-- Relief: what all its scripts share. Joined before them.
--
-- Keys, behind the prefix (broker/relief.py): an act's hash, who has which queue, and the lists in which the messages of
-- a list stand while it is set aside. In order of age: the list's own kept messages, `aside`, `later`, and what was
-- published a moment ago, at the list's head.

local relief = { keys = "tidegate:relief:1:", portion = 1000, days_90_ms = 7776000000 }

function relief.act(prefix, id) return prefix .. relief.keys .. "act:" .. id end
function relief.holder(prefix, queue) return prefix .. relief.keys .. "queue:" .. queue end
function relief.hidden(prefix, kind, list) return prefix .. relief.keys .. kind .. ":" .. string.sub(list, #prefix + 1) end

function relief.now_ms()
  local now = redis.call("TIME")
  return tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
end

-- nil where the act is still that of whoever has this token, else the answer: {"gone"} or {"fenced", process}.
function relief.not_mine(key, token)
  local said = redis.call("HMGET", key, "token", "process")
  if not said[1] then return { "gone" } end
  if said[1] ~= token then return { "fenced", said[2] or "" } end
  return nil
end

function relief.lives(key) redis.call("HSET", key, "alive_ms", string.format("%.0f", relief.now_ms())) end

-- Elements in order of age, oldest first, to the newest end of a list.
function relief.push(list, elements, from)
  for first = from or 1, #elements, relief.portion do
    redis.call("LPUSH", list, unpack(elements, first, math.min(first + relief.portion - 1, #elements)))
  end
end

-- The oldest `count` of a list, oldest first.
function relief.oldest(list, count)
  local newest_first, found = redis.call("LRANGE", list, -count, -1), {}
  for at = #newest_first, 1, -1 do found[#found + 1] = newest_first[at] end
  return found
end

-- What was published since the marker was pushed goes behind what is set aside; LPUSH before LTRIM: a full server
-- refuses the first, and then nothing has been done.
function relief.set_arrivals_aside(prefix, list, marker)
  local depth = redis.call("LLEN", list)
  if depth == 0 then return 0 end
  local arrived = depth
  if marker ~= "" then arrived = redis.call("LPOS", list, marker) or depth end
  local later, last = relief.hidden(prefix, "later", list), arrived
  while last > 0 do
    local first = math.max(0, last - relief.portion)
    local newest_first, batch = redis.call("LRANGE", list, first, last - 1), {}
    for at = #newest_first, 1, -1 do batch[#batch + 1] = newest_first[at] end
    relief.push(later, batch)
    last = first
  end
  if arrived > 0 then redis.call("LTRIM", list, arrived, -1) end
  return arrived
end

function relief.marker_of(key, list) return redis.call("HGET", key, "marker:" .. list) or "" end

-- Elements, oldest first, behind what the list holds and before what was published since.
function relief.append(prefix, key, list, elements)
  relief.set_arrivals_aside(prefix, list, relief.marker_of(key, list))
  if #elements == 0 then return end
  relief.push(list, elements)
  redis.call("HSET", key, "marker:" .. list, elements[#elements])
end

-- Drops the oldest `count` of a list.
function relief.drop_oldest(list, count)
  if count > 0 then redis.call("LTRIM", list, 0, -count - 1) end
end
