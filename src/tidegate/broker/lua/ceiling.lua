-- The memory ceiling of the server, as far as it is known without asking it.
--
-- Keys, behind the prefix:
--   tidegate:gate:1:memory   string   "<used_memory> <maxmemory>", at most a second old

-- The ceiling in bytes: "0.8" is a share of maxmemory, "100000000" are bytes; 0 is none.
local function ceiling_bytes(ceiling, maxmemory)
  local number = tonumber(ceiling) or 0
  return string.find(ceiling, ".", 1, true) and math.floor(number * maxmemory) or number
end

-- Whether the server is known to be below its ceiling; what is known is at most a second old.
local function is_below(prefix, ceiling)
  local used, maxmemory = string.match(redis.call("GET", prefix .. "tidegate:gate:1:memory") or "", "^(%d+) (%d+)$")
  if not used then return false end
  local bytes = ceiling_bytes(ceiling, tonumber(maxmemory))
  return bytes <= 0 or tonumber(used) < bytes
end
