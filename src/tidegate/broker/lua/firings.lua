-- The firing of an entry: a root message and everything that it fans out into, open while any of it is not done.
--
-- What waits is not counted: lists are first in, first out, so while the newest message of a firing waits in its list the
-- firing is open, and once that one has left nothing of it waits there. So a firing of 100,000 children costs no more
-- than one of ten. What workers have in hand is noted by tag.
--
-- Keys, behind the prefix:
--   tidegate:gate:1:firings         hash   key of the entry → JSON: root id → ms since 1970, of the firings that are open
--   tidegate:gate:1:firing:<root>   hash   l:<list> → tag of the newest message there · n:<tag> → where it is, as a mark says
--                                          it · b:<list> → its element · t:<tag> → "<held|running> <who> <score> <changed>"
--
-- The root itself, as long as it is pending, is told by the mark of its key.

overlap.most_scanned = 2000 -- fields of one firing, by one script
overlap.kept_s = 2592000 -- a firing that nobody adds to

function overlap.open_of(look, entry)
  return overlap.decoded(redis.call("HGET", look.firings, entry)) or {}
end

-- Says that the firing is open.
function overlap.note(look, entry, root)
  local text = redis.call("HGET", look.firings, entry)
  if text and string.find(text, cjson.encode(root), 1, true) then return end
  local open = overlap.decoded(text) or {}
  open[root] = look.now
  redis.call("HSET", look.firings, entry, cjson.encode(open))
end

function overlap.close(look, entry, root)
  local open = overlap.open_of(look, entry)
  open[root] = nil
  redis.call("DEL", look.firing .. root)
  if next(open) == nil then
    redis.call("HDEL", look.firings, entry)
  else
    redis.call("HSET", look.firings, entry, cjson.encode(open))
  end
end

-- Closes the firing where nothing of it is left, and its root is not pending.
function overlap.close_if_over(look, entry, root)
  if redis.call("HLEN", look.firing .. root) > 0 then return end
  local m = overlap.mark_of(look, entry)
  if not m or m.id ~= root then overlap.close(look, entry, root) end
end

function overlap.drop_newest(key, tag, list)
  redis.call("HDEL", key, "n:" .. tag, "l:" .. list, "b:" .. list)
end

-- The message is about to wait in `list`; `element` is nil for a root, whose mark says the same.
function overlap.join(look, g, list, element)
  overlap.note(look, g.entry, g.firing)
  if not element then return end
  local key = look.firing .. g.firing
  local before = redis.call("HGET", key, "l:" .. list)
  if before then redis.call("HDEL", key, "n:" .. before) end
  local place = { tag = g.tag, list = list, at = look.now, state = "waiting", changed = look.now, seen = look.now }
  redis.call("HSET", key, "l:" .. list, g.tag, "n:" .. g.tag, cjson.encode(place), "b:" .. list, element)
  redis.call("EXPIRE", key, overlap.kept_s)
end

function overlap.no_newest(key, tag)
  local place = overlap.decoded(redis.call("HGET", key, "n:" .. tag))
  if place then overlap.drop_newest(key, tag, tostring(place.list)) end
end

-- A worker has taken it.
function overlap.take(look, g, who, score)
  local key = look.firing .. g.firing
  overlap.note(look, g.entry, g.firing)
  overlap.no_newest(key, g.tag)
  redis.call("HSET", key, "t:" .. g.tag, "held " .. who .. " " .. score .. " " .. string.format("%.0f", look.now))
  redis.call("EXPIRE", key, overlap.kept_s)
end

-- It is acknowledged, and its run goes on.
function overlap.run(look, g, who)
  local key = look.firing .. g.firing
  if redis.call("HEXISTS", key, "t:" .. g.tag) == 1 then
    redis.call("HSET", key, "t:" .. g.tag, "running " .. who .. " 0 " .. string.format("%.0f", look.now))
  end
end

-- It is done, or gone.
function overlap.leave(look, g)
  local key = look.firing .. g.firing
  overlap.no_newest(key, g.tag)
  redis.call("HDEL", key, "t:" .. g.tag)
  overlap.close_if_over(look, g.entry, g.firing)
end

-- It is back in `list` (`element` nil: a root, whose mark says so): at the end that is consumed, so that whatever waits there tells of it, or (`newest`) at the other.
function overlap.come_back(look, g, list, element, newest)
  local key = look.firing .. g.firing
  overlap.note(look, g.entry, g.firing)
  redis.call("HDEL", key, "t:" .. g.tag)
  if element and (newest or redis.call("HEXISTS", key, "l:" .. list) == 0) then overlap.join(look, g, list, element) end
end

-- Judging

function overlap.in_hand(look, tag, text)
  local state, who, score, changed = string.match(text, "^(%a+) (%S+) (%S+) (%d+)$")
  if not state then return false end
  local place = { tag = tag, state = state, who = who, score = score, changed = tonumber(changed) }
  if state == "running" then return overlap.lives(look, place) end
  local found = redis.call("ZSCORE", look.index, tag)
  return found and overlap.taken(look, place, found) == "held" or false
end

function overlap.newest_waits(look, key, tag, text)
  local place = overlap.decoded(text)
  if not place or type(place.list) ~= "string" or not tonumber(place.at) then return false end
  place.tag = tag
  local where = overlap.where(look, place, redis.call("HGET", key, "b:" .. place.list))
  if where == "gone" then
    overlap.drop_newest(key, tag, place.list)
    return false
  end
  if place.touched then
    place.touched = nil
    redis.call("HSET", key, "n:" .. tag, cjson.encode(place))
  end
  return where ~= "missing" or not look.sure
end

function overlap.counts_as_open(look, key, field, value)
  local kind, tag = string.sub(field, 1, 2), string.sub(field, 3)
  if kind == "n:" then return overlap.newest_waits(look, key, tag, value) end
  if kind ~= "t:" then return false end
  if overlap.in_hand(look, tag, value) then return true end
  redis.call("HDEL", key, field)
  return false
end

-- Whether anything of the firing waits, or is in a living worker's hands; what is not is taken out on the way.
function overlap.is_open(look, entry, root)
  local key, cursor, scanned = look.firing .. root, "0", 0
  repeat
    local found = redis.call("HSCAN", key, cursor, "COUNT", 100)
    cursor = found[1]
    for at = 1, #found[2], 2 do
      if overlap.counts_as_open(look, key, found[2][at], found[2][at + 1]) then return true end
    end
    scanned = scanned + #found[2] / 2
    if scanned > overlap.most_scanned then return not look.sure end
  until cursor == "0"
  overlap.close_if_over(look, entry, root)
  return false
end

-- The root of the firing that stands in the way of a new one; nil where none does. `skip`: any that is open.
-- `buffer_one`: the second, for one may be in progress and one wait.
function overlap.open_in_the_way(look, g)
  local open, newest = 0, nil
  local since = overlap.open_of(look, g.entry)
  for root, at in pairs(since) do
    if root ~= g.firing and overlap.is_open(look, g.entry, root) then
      open = open + 1
      if not newest or (tonumber(at) or 0) > (tonumber(since[newest]) or 0) then newest = root end
    end
  end
  return open >= (g.overlap == "skip" and 1 or 2) and newest or nil
end
