-- What `spill` accepted while the queue was full, in its order: beside a list, and where a keeper runs, on its disk.
--
-- In order of age: the list, its front (what came back from the disk), the disk, its side list.
--
-- Keys, behind the prefix:
--   tidegate:gate:1:spill:<list>   list   pushed at index 0, taken at -1, as the list itself
--   tidegate:gate:1:front:<list>   list   the same
--   tidegate:gate:1:kept:<list>    hash   taken, fed, forget: on disk is what is below `taken` and not below the others

local function beside(prefix, kind, list)
  return prefix .. "tidegate:gate:1:" .. kind .. ":" .. string.sub(list, #prefix + 1)
end

local function side_of(prefix, list) return beside(prefix, "spill", list) end

-- How many of a list's messages wait on a disk.
local function on_disk(prefix, list)
  local said = redis.call("HMGET", beside(prefix, "kept", list), "taken", "fed", "forget")
  local back = math.max(tonumber(said[2] or "") or 0, tonumber(said[3] or "") or 0)
  return math.max(0, (tonumber(said[1] or "") or 0) - back)
end

-- Whether anything of the list waits beside it, where it is in use at all.
local function waits_beside(prefix, list)
  local front, side, kept = beside(prefix, "front", list), side_of(prefix, list), beside(prefix, "kept", list)
  if redis.call("EXISTS", front, side, kept) == 0 then return false end
  return redis.call("EXISTS", front, side) > 0 or on_disk(prefix, list) > 0
end

-- The list that the oldest spilled message of a list is in; nil where there is none, or it is still on the disk.
local function next_beside(prefix, list)
  local front, side, kept = beside(prefix, "front", list), side_of(prefix, list), beside(prefix, "kept", list)
  if redis.call("EXISTS", front, side, kept) == 0 then return nil end
  if redis.call("EXISTS", front) == 1 then return front end
  if redis.call("EXISTS", side) == 0 or on_disk(prefix, list) > 0 then return nil end
  return side
end

-- Lets the oldest spilled message of a list in. For whoever just took one out of it, or found it empty: then the
-- queue has room for one, whatever its bound is. True where there was one.
local function feed(prefix, list)
  local from = next_beside(prefix, list)
  return from ~= nil and redis.call("LMOVE", from, list, "RIGHT", "LEFT") ~= false
end
