-- The limits of one queue, over all its priority lists, and of the server's memory.
--
-- A queue `q` is the table {prefix, name, lists (most urgent first), max_length, max_bytes, ceiling}; 0 is no limit.
--
-- Keys, behind the prefix:
--   <queue>, <queue>\x06\x163 …       list    the waiting messages; pushed at index 0, taken at -1, so -1 is the oldest
--   tidegate:gate:1:memory            string  "<used_memory> <maxmemory>", at most a second old
--   _kombu.binding.<queue>            set     makes the dead-letter queue visible to tools that look for queues

local MOST_DROPPED = 10 -- by one publish
local LOOKED_AT = 50 -- waiting messages, by one publish, in search of one that may go
local MOST_FED = 100 -- spilled messages, by one publish
local NODES = "128" -- of each list that are measured (8 kB each); exact for what is smaller
local MEMORY_AGE_MS = "1000"

local function depth_of(q)
  local depth = 0
  for _, list in ipairs(waiting_in(q.prefix, q.name, q.lists)) do depth = depth + redis.call("LLEN", list) end
  return depth
end

-- The memory that the lists take, in bytes: as if all nodes of a long one were like its newest 128.
local function bytes_of(q)
  local bytes = 0
  for _, list in ipairs(waiting_in(q.prefix, q.name, q.lists)) do
    bytes = bytes + (redis.call("MEMORY", "USAGE", list, "SAMPLES", NODES) or 0)
  end
  return bytes
end

-- used_memory and maxmemory; read once a second, so that all producers decide by the same numbers.
local function memory_of_server(prefix)
  local key = prefix .. OUR_KEYS .. "memory"
  local used, limit = string.match(redis.call("GET", key) or "", "^(%d+) (%d+)$")
  if not used then
    local info = redis.call("INFO", "memory")
    used, limit = string.match(info, "used_memory:(%d+)"), string.match(info, "maxmemory:(%d+)") or "0"
    redis.pcall("SET", key, used .. " " .. limit, "PX", MEMORY_AGE_MS)
  end
  return tonumber(used), tonumber(limit)
end

-- The answer where the server is at its ceiling, else nil.
local function memory_full(q)
  if q.ceiling == "" then return nil end
  local used, limit = memory_of_server(q.prefix)
  local ceiling = ceiling_bytes(q.ceiling, limit)
  if ceiling <= 0 or used < ceiling then return nil end
  return { "memory_full", used, ceiling, "memory" }
end

-- The answer where `size` more bytes have no room, else nil.
local function queue_full(q, size)
  if q.max_length > 0 then
    local depth = depth_of(q)
    if depth >= q.max_length then return { "queue_full", depth, q.max_length, "max_length" } end
  end
  if q.max_bytes > 0 then
    local bytes = bytes_of(q)
    if bytes + size > q.max_bytes then return { "queue_full", bytes, q.max_bytes, "max_length_bytes" } end
  end
  return nil
end

-- How many messages and bytes would have to go before `size` more bytes had room.
local function lacking(q, size)
  local messages, bytes = 0, 0
  if q.max_length > 0 then messages = math.max(0, depth_of(q) - q.max_length + 1) end
  if q.max_bytes > 0 then bytes = math.max(0, bytes_of(q) + size - q.max_bytes) end
  return messages, bytes
end

-- Messages that may go, oldest of the least urgent list first, until there is room or the search is long enough.
-- While an act has the queue only what would be taken next, with nothing older left in its list: the act tells by one
-- element which ones of a list are new, so that one may go as late as if a worker took it. What is aside is the act's.
local function oldest_droppable(q, messages, bytes)
  local found, freed, looked = {}, 0, 0
  local in_turn = is_set_aside(q.prefix, q.name)
  for at = #q.lists, 1, -1 do
    local list, index = q.lists[at], -1
    while looked < LOOKED_AT and #found < MOST_DROPPED and (#found < messages or freed < bytes) do
      local payload = redis.call("LINDEX", list, index)
      if not payload then break end
      looked, index = looked + 1, index - 1
      local message = droppable(payload)
      if message then
        found[#found + 1] = { list = list, payload = payload, headers = message.headers }
        freed = freed + #payload
      elseif in_turn then
        break
      end
    end
  end
  return found, freed
end

local function text(value) return type(value) == "string" and value or "" end

-- What the journal says of a message.
local function named_in(headers)
  local mine = type(headers.tidegate) == "table" and headers.tidegate or {}
  return { task = text(headers.task), id = text(headers.id), key = text(mine.key) }
end

local function drop(q, gone, full)
  redis.call("LREM", gone.list, -1, gone.payload)
  pcall(overlap_forget, gone.payload)
  gate_note(q.prefix, "dropped_head", q.name, named_in(gone.headers), full[4] .. " " .. full[3])
end

-- Makes room for `size` bytes by dropping. The payloads that went, or nil where what may go would not make as much
-- room as the new message takes: then nothing went.
local function make_room(q, full, size)
  if q.max_bytes > 0 and size > q.max_bytes then return nil end
  local messages, bytes = lacking(q, size)
  local found, freed = oldest_droppable(q, messages, bytes)
  if #found == 0 or freed < math.min(bytes, size) then return nil end
  local payloads = {}
  for at, gone in ipairs(found) do
    drop(q, gone, full)
    payloads[at] = gone.payload
  end
  return payloads
end

-- The headers of a message, however strange it is.
local function headers_of(payload)
  local ok, m = pcall(cjson.decode, payload)
  return ok and type(m) == "table" and type(m.headers) == "table" and m.headers or {}
end

-- Keeps a refused message: the newest `most` of them, in a queue that tools find. Older ones go, ten at most at once.
local function dead_letter(prefix, queue, list, payload, most)
  local depth = redis.call("LPUSH", list, payload)
  local separator = "\006\022"
  redis.pcall("SADD", prefix .. "_kombu.binding." .. queue, queue .. separator .. separator .. queue)
  for _ = 1, math.min(depth - most, MOST_DROPPED) do
    local oldest = redis.pcall("RPOP", list)
    if type(oldest) ~= "string" then return end
    gate_note(prefix, "dropped_head", queue, named_in(headers_of(oldest)), "max_length " .. most)
  end
end

-- Lets spilled messages in, in their order and the most urgent first, as far as there is room.
local function feed_all(q)
  local fed = 0
  for _, list in ipairs(q.lists) do
    local from = next_beside(q.prefix, list)
    while from and fed < MOST_FED do
      if queue_full(q, #redis.call("LINDEX", from, -1)) then return end
      redis.call("LMOVE", from, list, "RIGHT", "LEFT")
      fed = fed + 1
      pcall(ring, q.prefix, q.name)
      from = next_beside(q.prefix, list)
    end
  end
end

-- The list that a message for `list` has to wait in: its side list while anything waits beside or the queue is full.
local function spilled_to(q, list, size)
  feed_all(q)
  if waits_beside(q.prefix, list) or queue_full(q, size) then return side_of(q.prefix, list) end
  return nil
end
