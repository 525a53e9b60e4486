-- The side list of a list: what `spill` accepted while the queue was full, in its order.
--
-- Keys, behind the prefix:
--   tidegate:gate:1:spill:<list>   list   pushed at index 0, taken at -1, as the list itself

local function side_of(prefix, list)
  return prefix .. "tidegate:gate:1:spill:" .. string.sub(list, #prefix + 1)
end

-- Lets the oldest spilled message of a list in. For whoever just took one out of it, or found it empty: then the
-- queue has room for one, whatever its bound is. True where there was one.
local function feed(prefix, list)
  return redis.call("LMOVE", side_of(prefix, list), list, "RIGHT", "LEFT") ~= false
end
