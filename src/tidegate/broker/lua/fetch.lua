-- Takes one message: out of its list and into `unacked` in one step, so that whoever takes it can die at any moment.
--
-- KEYS: unacked_index, unacked, then the lists in the order of BRPOP (priorities outside, queues inside).
-- ARGV: 1 prefix, 2 now (seconds since 1970, as Kombu's client says it), 3 holder, 4 the queue whose bell woke us or '',
--       5 '1' where nobody rang and the sleep was over by itself, 6 .. the queues, in the order of the lists.
-- Answer: nothing where all are empty (then a bell may be slept on), else {which list, message, tag}; the tag is ''
--       where the message could not be registered, and whoever takes it has to do so as stock Kombu does.

local TAIL = 4096
local LARGEST = 1048576
local FEW = 8
local PROPERTIES = ', "properties": {'

local function last_properties(text)
  local at, from = nil, 1
  while true do
    local found = string.find(text, PROPERTIES, from, true)
    if not found then
      return at
    end
    at, from = found, found + 1
  end
end

-- Kombu writes the properties last. What stands between the last such name and the final brace is one whole object
-- only where it is the one at the top: deeper inside, braces would be left over, and within a string its quotes would
-- be escaped. So a few hundred bytes are read, however large the body is; any other layout is read whole.
local function properties_of(raw)
  local tail = string.sub(raw, -TAIL)
  local at = last_properties(tail)
  if at then
    local good, properties = pcall(cjson.decode, string.sub(tail, at + #PROPERTIES - 1, -2))
    if good then
      return properties
    end
  end
  if #raw > LARGEST then
    return nil
  end
  local good, message = pcall(cjson.decode, raw)
  return good and type(message) == 'table' and message.properties or nil
end

local function as_json(name)
  return (type(name) == 'string' or name == cjson.null) and cjson.encode(name) or nil
end

-- The tag and the entry for `unacked`; nil where the message is not as Kombu makes it.
local function entry_of(raw)
  local properties = properties_of(raw)
  if type(properties) ~= 'table' then
    return nil
  end
  local tag, delivery = properties.delivery_tag, properties.delivery_info
  if type(tag) ~= 'string' or tag == '' or type(delivery) ~= 'table' then
    return nil
  end
  local exchange, routing_key = as_json(delivery.exchange), as_json(delivery.routing_key)
  if not exchange or not routing_key then
    return nil
  end
  return tag, '[' .. raw .. ', ' .. exchange .. ', ' .. routing_key .. ']'
end

-- Where the registration fails the message goes back to where it was, and stock Kombu may try.
local function register(list, raw, tag, entry)
  local answer = redis.pcall('ZADD', KEYS[1], ARGV[2], tag)
  if type(answer) ~= 'table' then
    answer = redis.pcall('HSET', KEYS[2], tag, entry)
  end
  if type(answer) == 'table' and answer.err then
    redis.pcall('ZREM', KEYS[1], tag)
    redis.call('RPUSH', list, raw)
    return answer
  end
end

local function queue_of(list, queues)
  return ARGV[6 + (list - 1) % queues]
end

-- What was rung for may wait still: behind the one just taken, or in a queue that is not ours any more. And where
-- nobody rang, others may sleep beside a full list.
local function ring_on(prefix, rung, queues, lists)
  local mine = false
  for list = 1, lists do
    if queue_of(list, queues) == rung then
      mine = true
      if redis.pcall('LLEN', KEYS[2 + list]) ~= 0 then
        return ring(prefix, rung)
      end
    end
  end
  if not mine then
    ring(prefix, rung)
  end
end

local prefix, holder, rung = ARGV[1], ARGV[3], ARGV[4]
local queues, lists = #ARGV - 5, #KEYS - 2

local function taken_from(list, raw)
  local key = KEYS[2 + list]
  local tag, entry = entry_of(raw)
  local failed = tag and register(key, raw, tag, entry)
  if failed then
    return failed
  end
  if tag then
    note_took(prefix, holder, ARGV[2], tag, key)
  end
  pcall(feed, prefix, key)
  if rung ~= '' then
    ring_on(prefix, rung, queues, lists)
  elseif ARGV[5] == '1' then
    ring_on(prefix, queue_of(list, queues), queues, lists)
  end
  return { list, raw, tag or '' }
end

-- Many lists are mostly empty ones, and are asked for in one go.
local function all_empty()
  return lists > FEW and redis.call('EXISTS', unpack(KEYS, 3)) == 0
end

local function take()
  if all_empty() then
    return nil
  end
  for list = 1, lists do
    local raw = redis.call('RPOP', KEYS[2 + list])
    if raw then
      return taken_from(list, raw)
    end
  end
end

-- Where all lists are empty and stay so, what was spilled may come in: then nobody took anything to make room for it.
local function spilled()
  for list = 1, lists do
    local good, fed = pcall(feed, prefix, KEYS[2 + list])
    if good and fed then
      return true
    end
  end
end

local taken = take()
if not taken and ARGV[5] == '1' and spilled() then
  taken = take()
end
if not taken then
  if rung ~= '' then
    ring_on(prefix, rung, queues, lists)
  end
  lie_down(prefix, { unpack(ARGV, 6) })
  return
end
if taken.err or not string.find(taken[2], '"tidegate"', 1, true) then
  return taken
end

-- Only for a message that says something to the gate the rest of the script is run, see `fetched.lua`.
