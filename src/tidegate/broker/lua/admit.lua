-- One message at the gate: whether, and where, it enters its queue. Joined behind the fragments that it calls.
--
-- KEYS   1 the list to push to · 2… the other priority lists of the queue, most urgent first
-- ARGV   1 payload · 2 prefix · 3 queue · 4 delivery tag · 5 task id · 6 task name · 7 exempt ("" or why)
--        8 max_length · 9 max_length_bytes · 10 overflow · 11 dead-letter list ("") · 12 memory ceiling ("")
--        13 guard key · 14 overlap · 15 payload policy · 16 scope · 17 firing · 18 entry · 19 retries
--        20 place of KEYS[1] among the lists by urgency, from 1 · 21 x-expires of the queue in ms (0)
--        22 dead-letter queue · 23 its bound · 24 unacked_index · 25 visibility timeout in ms
-- Answer {"admitted"} · {"admitted", "open", why} · {"spilled"} · {"dropped_head", payload…} (the new one is in, those
--        went) · {"queue_full", depth, bound, limit} · {"memory_full", used, ceiling, "memory"}
--        {"dead_lettered", depth, bound, limit} · {"overlap_skipped", id} · {"replaced", id}
-- Order  overlap, bounds, marks, push, bell. What can fail is before the push or in a pcall: a message that was
--        pushed is never reported as failed. `block` refuses in silence, for its publisher asks again.

local payload, prefix, queue, overflow = ARGV[1], ARGV[2], ARGV[3], ARGV[10]
local me = { id = ARGV[5], task = ARGV[6], key = ARGV[13] }
local guarded = me.key ~= "" or ARGV[17] ~= ""
local open

-- What a call in a pcall came to; where it failed, the gate is open for this message, and `what` says which part.
local function safely(what, call, ...)
  local ok, answer = pcall(call, ...)
  if ok then return answer end
  open = what .. ": " .. (type(answer) == "table" and answer.err or tostring(answer))
  return nil
end

local function queue_of_keys()
  local lists = {}
  for at = 2, #KEYS do lists[#lists + 1] = KEYS[at] end
  table.insert(lists, tonumber(ARGV[20]), KEYS[1])
  return {
    prefix = prefix, name = queue, lists = lists,
    max_length = tonumber(ARGV[8]), max_bytes = tonumber(ARGV[9]), ceiling = ARGV[12],
  }
end

local function refused(answer)
  if overflow ~= "block" then
    gate_note(prefix, answer[1], queue, me, string.format("%s %.0f of %.0f", answer[4], answer[2], answer[3]))
  end
  return answer
end

local function kept_as_dead_letter()
  return pcall(dead_letter, prefix, ARGV[22], ARGV[11], payload, tonumber(ARGV[23]))
end

-- The answer where the message stays out; else where it goes, and what went to make room.
local function bounded()
  local q = queue_of_keys()
  local full = memory_full(q)
  if full then return { answer = refused(full) } end
  if overflow == "spill" then return { list = spilled_to(q, KEYS[1], #payload) } end
  full = queue_full(q, #payload)
  if not full then return {} end
  if overflow == "drop-head" then
    local dropped = make_room(q, full, #payload)
    if dropped then return { dropped = dropped } end
  elseif overflow == "reject-publish-dlx" and ARGV[11] ~= "" and kept_as_dead_letter() then
    full[1] = "dead_lettered"
  end
  return { answer = refused(full) }
end

local function admitted(list, way)
  if list ~= KEYS[1] then
    redis.call("LPUSH", list, payload)
    gate_note(prefix, "spilled", queue, me, overflow)
    return { "spilled" }
  end
  push()
  pcall(ring, prefix, queue)
  if way.dropped then return { "dropped_head", unpack(way.dropped) } end
  return open and { "admitted", "open", open } or { "admitted" }
end

local guard, now
if guarded then
  guard = {
    key = me.key, overlap = ARGV[14], payload_policy = ARGV[15], scope = ARGV[16], firing = ARGV[17], entry = ARGV[18],
    id = me.id, tag = ARGV[4], retries = tonumber(ARGV[19]) or 0, body = payload,
    index = ARGV[24] ~= "" and ARGV[24] or nil, visibility_ms = ARGV[25],
  }
  now = gate_clock_ms()
  local answer = safely("overlap", overlap_decide, guard, now)
  if answer then
    gate_note(prefix, answer[1], queue, me, guard.overlap)
    return answer
  end
end
local way = {}
if ARGV[7] == "" then way = safely("bounds", bounded) or {} end
if way.answer then return way.answer end
if guarded then safely("marks", overlap_admit, guard, KEYS[1], now) end
return admitted(way.list or KEYS[1], way)
