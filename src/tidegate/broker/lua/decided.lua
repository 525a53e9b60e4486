-- What became of a due time, for whoever asks later: counted by outcome and entry, and kept as the last one.

local function decided(base, entry, outcome, many, why)
  local time = redis.call("TIME")
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  if tonumber(many) ~= 0 then redis.call("HINCRBY", base .. "counts", outcome .. "|" .. entry, many) end
  redis.call("HSET", base .. "last", entry, string.format("%s|%.0f|%s", outcome, now, why))
end

-- The due time that a cursor says, as text; empty where it says none, as beat reads it, too.
local function due_in(cursor)
  return type(cursor) == "string" and #cursor <= 18 and string.find(cursor, "^[1-9]%d*$") and cursor or ""
end

-- Whether the beat with this token leads.
local function leads(base, token)
  local held = redis.pcall("GET", base .. "lease")
  return type(held) == "string" and token ~= "" and string.find(held, token, 1, true) ~= nil
end
