-- Which waiting message may make room for a newer one: never a retry, a part of a chord, or a step of a workflow.
-- A message says so in its headers, and in the end of its body, where Celery keeps callbacks, chain and chord.
-- What can't be read stays where it is.

local TAIL = 200 -- characters of base64 that hold the embedded options of a message that has none
local BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

-- How a body ends that has no callbacks, chain and chord, as Kombu's serializers write it.
local NOTHING_EMBEDDED = {
  ["application/json"] = '"callbacks": ?null, ?"errbacks": ?null, ?"chain": ?null, ?"chord": ?null}%]$',
  ["application/x-msgpack"] = "callbacks\192.errbacks\192.chain\192.chord\192$",
  ["application/x-yaml"] = "callbacks: null%s+chain: null%s+chord: null%s+errbacks: null%s*$",
  ["application/x-python-serialize"] = "callbacks.?.?.?.?.?N[^a-z]+errbacks.?.?.?.?.?N[^a-z]+"
    .. "chain.?.?.?.?.?N[^a-z]+chord.?.?.?.?.?Nu.-%.$",
}

local function from_base64(text)
  local bytes, value, bits = {}, 0, 0
  for letter in string.gmatch(text, "[%w+/]") do
    value = value * 64 + string.find(BASE64, letter, 1, true) - 1
    bits = bits + 6
    if bits >= 8 then
      bits = bits - 8
      local byte = math.floor(value / 2 ^ bits)
      bytes[#bytes + 1] = string.char(byte)
      value = value - byte * 2 ^ bits
    end
  end
  return table.concat(bytes)
end

local function stands_alone(m)
  local pattern = NOTHING_EMBEDDED[m["content-type"]]
  if not pattern or type(m.body) ~= "string" or m.headers.compression ~= nil then return false end
  local ending = string.sub(m.body, -TAIL)
  if type(m.properties) == "table" and m.properties.body_encoding == "base64" then ending = from_base64(ending) end
  return string.find(ending, pattern) ~= nil
end

-- Something was said, and it is not JSON's null.
local function given(value) return value ~= nil and value ~= cjson.null end

local function may_go(m)
  local headers = m.headers
  if type(headers.tidegate) == "table" and given(headers.tidegate.exempt) then return false end
  if given(headers.retries) and headers.retries ~= 0 then return false end
  if given(headers.group) then return false end
  -- Without a task's name it is no task: a message of plain Kombu in a queue that was bounded by name.
  return not given(headers.task) or stands_alone(m)
end

-- The message as a table where it may be dropped, else nil.
local function droppable(payload)
  local ok, m = pcall(cjson.decode, payload)
  if not ok or type(m) ~= "table" or type(m.headers) ~= "table" then return nil end
  return may_go(m) and m or nil
end
