-- The mark of a key: which message of it is pending or running, and whether that can still be so.
--
-- A mark refers to one message by its delivery tag, and is judged by what the server holds, never by a lease: a
-- message is pending while it is in its list, or in `unacked` and whoever took it lives. So a mark heals by itself
-- after whatever happened to its message. `firings.lua` counts the messages of a whole tree in the same way.
--
-- Keys, behind the prefix (`global_keyprefix`):
--   tidegate:gate:1:marks          hash    key → the mark, JSON: tag, id, list, at (ms, published), state (waiting, held,
--                                          running), who ("<worker>/<session>"), score (of `unacked_index`), changed
--                                          (ms), seen (ms, found in its list), glanced, replaced, missing (ms, since),
--                                          aside, front, spill (at, seen, glanced: of those lists of an act, or beside)
--   tidegate:gate:1:bodies         hash    key → the whole element of that message in its list
--   tidegate:gate:1:worker:<id>    string  JSON: as_of (ms; what it says is not older), sessions (that live), running
--                                          and lost (tags); expires 5 s after the worker's last word
--
-- For others (all may raise; a `g` is the table {key, overlap, payload_policy, scope, firing, entry, id, tag, retries,
-- body, exempt}): overlap_decide, overlap_admit, overlap_forget, mark_hold.

local overlap = {
  space = "tidegate:gate:1:",
  relief = "tidegate:relief:1:",
  missing_ms = 500, -- so long a message may be nowhere: popped by a stock worker, which registers it afterwards
  searched = 20000, -- elements of a list that are searched
  ms_per_element = 0.00015,
  share = 0.01, -- of the server's time, for searches by all keys together
  share_replacing = 0.1, -- the same, for searches that put a newer payload in place
  glance_ms = 200,
  clocks_differ_s = 30,
  visibility_ms = 3600000, -- Kombu's default
  longest = 300, -- letters of a key or an id
}

function overlap.clock_ms()
  local now = redis.call("TIME")
  return tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
end

-- What one run of a script knows: names of keys, the time, and what workers said.
function overlap.look(prefix, now, more)
  more = more or {}
  local space = prefix .. overlap.space
  return {
    prefix = prefix, now = now or overlap.clock_ms(), claims = {},
    marks = space .. "marks", bodies = space .. "bodies", firings = space .. "firings", firing = space .. "firing:",
    worker = space .. "worker:", index = more.index or prefix .. "unacked_index",
    visibility_ms = tonumber(more.visibility_ms) or overlap.visibility_ms,
  }
end

-- Where spilled messages of that list wait: `spill`, `front`, and the hash `kept` of what is on a keeper's disk.
function overlap.beside(look, kind, list)
  return look.prefix .. overlap.space .. kind .. ":" .. string.sub(list, #look.prefix + 1)
end

-- The lists in which messages of that list wait while an act has its queue; none where there are none.
function overlap.set_aside(look, list)
  local name, lists = string.sub(list, #look.prefix + 1), {}
  for at, kind in ipairs({ "aside:", "later:", "back:" }) do lists[at] = look.prefix .. overlap.relief .. kind .. name end
  return redis.call("EXISTS", unpack(lists)) == 0 and {} or lists
end

function overlap.decoded(text)
  if not text then return nil end
  local ok, value = pcall(cjson.decode, text)
  return ok and type(value) == "table" and value or nil
end

-- What the header of a message says to the gate, as a `g`; nil where it says nothing, or not what we write.
function overlap.guard_of(headers, tag)
  local said = type(headers) == "table" and headers.tidegate
  if type(said) ~= "table" or type(headers.id) ~= "string" or type(tag) ~= "string" then return nil end
  local g = { id = headers.id, tag = tag, retries = tonumber(headers.retries) or 0, overlap = "allow_all", scope = "message" }
  for _, name in ipairs({ "key", "firing", "entry", "overlap", "scope" }) do
    local value = said[name]
    if value ~= nil then
      if type(value) ~= "string" or #value > overlap.longest then return nil end
      g[name] = value
    end
  end
  g.key, g.firing, g.entry = g.key or "", g.firing or "", g.entry or ""
  return g
end

function overlap.guard_in(element)
  if not string.find(element, '"tidegate"', 1, true) then return nil end
  local m = overlap.decoded(element)
  local properties = m and m.properties
  return m and overlap.guard_of(m.headers, type(properties) == "table" and properties.delivery_tag)
end

function overlap.is_guarded(g) return g.key ~= "" and g.overlap ~= "allow_all" end
function overlap.in_firing(g) return g.firing ~= "" and g.entry ~= "" end

-- Whether the mark of its key tells of it as long as it waits: then its firing need not.
function overlap.is_root(g, marked) return marked and g.scope == "firing" end

-- Workers

function overlap.claims(look, id)
  local known = look.claims[id]
  if known == nil then
    known = overlap.decoded(redis.call("GET", look.worker .. id)) or false
    look.claims[id] = known
  end
  return known
end

function overlap.names(list, wanted)
  for _, one in ipairs(type(list) == "table" and list or {}) do
    if one == wanted then return true end
  end
  return false
end

-- Whether the worker process that took `place` has it still: it lives, and of what it said later nothing is against it.
function overlap.lives(look, place)
  local id, session = string.match(place.who or "", "^([^/]+)/([^/]+)$")
  local said = id and overlap.claims(look, id)
  if not said then return false end
  if (tonumber(said.as_of) or 0) <= (place.changed or 0) then return true end
  if overlap.names(said.lost, place.tag) then return false end
  if place.state == "held" and overlap.names(said.sessions, session) then return true end
  return overlap.names(said.running, place.tag)
end

-- Lists

-- The element as stock Kombu writes it when it restores the message: flagged twice.
function overlap.flagged(element)
  local flag = ', "redelivered": true'
  local ends, from = nil, 1
  while true do
    local found = string.find(element, '}, "properties": {', from, true)
    if not found then break end
    ends, from = found, found + 1
  end
  local opens = ends and string.find(element, '"delivery_info": {', ends, true)
  local closes = opens and string.find(element, "}", opens, true)
  if not closes or string.find(string.sub(element, opens, closes), '"redelivered"', 1, true) then return nil end
  return string.sub(element, 1, ends - 1) .. flag .. string.sub(element, ends, closes - 1) .. flag
    .. string.sub(element, closes)
end

function overlap.position(list, element)
  local found = redis.call("LPOS", list, element)
  if found then return found end
  local flagged = overlap.flagged(element)
  return flagged and redis.call("LPOS", list, flagged)
end

function overlap.length(list)
  local length = redis.pcall("LLEN", list)
  return type(length) == "number" and length or 0
end

-- Whether it is too early to search for one key again, so that the searches for all keys keep to their share.
function overlap.too_early(look, since, length, share)
  if not since then return false end
  look.keys = look.keys or math.max(1, redis.call("HLEN", look.marks) + redis.call("HLEN", look.firings))
  local pause_ms = math.min(length, overlap.searched) * overlap.ms_per_element * look.keys / share
  return pause_ms >= 1 and look.now - since < pause_ms
end

-- Whether the oldest message of the list was published after `place`: first in, first out, so that one is gone. An
-- element that was replaced says when its payload came, not its place, so it says nothing here.
function overlap.overtaken(look, place, list)
  if place.glanced and look.now - place.glanced < overlap.glance_ms then return false end
  place.glanced, place.touched = look.now, true
  local oldest = redis.call("LINDEX", list, -1)
  local at = oldest and string.find(oldest, '"enqueued_at": ', 1, true)
  local stamp = at and tonumber(string.match(oldest, "^[%d.]+", at + 15))
  if not stamp or string.find(oldest, '"payload": "replace"', 1, true) then return false end
  local apart_s = string.find(oldest, '"enqueued_clock": "broker"', at, true) and 0 or overlap.clocks_differ_s
  return stamp - apart_s > place.at / 1000
end

function overlap.is_in(look, place, list, element)
  local length = overlap.length(list)
  if length == 0 or not element then return false end
  local overtaken = overlap.overtaken(look, place, list)
  if length > overlap.searched then return not overtaken end
  if not overtaken and overlap.too_early(look, place.seen, length, overlap.share) then return true end
  if look.budget_ms then
    if look.budget_ms <= 0 then return true end
    look.budget_ms = look.budget_ms - length * overlap.ms_per_element
  end
  local found = overlap.position(list, element)
  place.seen, place.touched = found and look.now or nil, true
  return found and true or false
end

-- Whether it waits in a list other than its own; what a search found there is kept apart from what one found in its list.
function overlap.is_apart(look, place, kind, list, element)
  if overlap.length(list) == 0 then return false end
  local apart = type(place[kind]) == "table" and place[kind] or { at = place.at }
  local found = overlap.is_in(look, apart, list, element)
  place[kind], place.touched, apart.touched = apart, place.touched or apart.touched, nil
  return found
end

-- Whether it waits beside its list, or where an act has set it aside. On a disk nobody can look: as long as any message
-- of the list is there, it may be it.
function overlap.is_beside(look, place, element)
  for _, kind in ipairs({ "front", "spill" }) do
    if overlap.is_apart(look, place, kind, overlap.beside(look, kind, place.list), element) then return true end
  end
  for _, list in ipairs(overlap.set_aside(look, place.list)) do
    if overlap.is_apart(look, place, "aside", list, element) then return true end
  end
  local said = redis.call("HMGET", overlap.beside(look, "kept", place.list), "taken", "fed", "forget")
  local back = math.max(tonumber(said[2] or "") or 0, tonumber(said[3] or "") or 0)
  return (tonumber(said[1] or "") or 0) > back
end

-- Judging

-- Taken by a worker: by the one that the place names, or by one that nothing is known of, whose time runs out.
function overlap.taken(look, place, score)
  if place.state == "held" and tonumber(score) == tonumber(place.score) then
    return overlap.lives(look, place) and "held" or "gone"
  end
  return look.now - tonumber(score) * 1000 < look.visibility_ms and "held" or "gone"
end

function overlap.nowhere(look, place)
  if not place.missing then place.missing, place.touched = look.now, true end
  return look.now - place.missing < overlap.missing_ms and "missing" or "gone"
end

-- Where the message of `place` is: waiting, held, running, missing (for a moment), or gone.
function overlap.where(look, place, element)
  if place.state == "running" then return overlap.lives(look, place) and "running" or "gone" end
  local score = redis.call("ZSCORE", look.index, place.tag)
  if score then return overlap.taken(look, place, score) end
  if overlap.is_in(look, place, place.list, element) or overlap.is_beside(look, place, element) then
    if place.state ~= "waiting" or place.missing then
      place.state, place.who, place.missing, place.touched = "waiting", nil, nil, true
    end
    return "waiting"
  end
  return overlap.nowhere(look, place)
end

-- Marks

function overlap.mark_of(look, key)
  local m = overlap.decoded(redis.call("HGET", look.marks, key))
  if m and type(m.tag) == "string" and type(m.id) == "string" and type(m.list) == "string" and tonumber(m.at) then
    return m
  end
  return nil
end

function overlap.keep(look, key, m)
  m.touched = nil
  redis.call("HSET", look.marks, key, cjson.encode(m))
end

function overlap.clear(look, key)
  redis.call("HDEL", look.marks, key)
  redis.call("HDEL", look.bodies, key)
end

-- Where the message of a mark is; what was learned on the way is kept.
function overlap.judged(look, key, m)
  local where = overlap.where(look, m, redis.call("HGET", look.bodies, key))
  if m.touched then overlap.keep(look, key, m) end
  return where
end

-- Whether the message of the mark is pending, for `skip` also whether it runs. What is missing may be so; `sure`: it is not.
function overlap.counts(g, where, sure)
  return where == "waiting" or where == "held" or (where == "missing" and not sure) or (where == "running" and g.overlap == "skip")
end

-- The mark of another message (or firing) that stands in the way of this one; nil where none does. `own_tag` is that of
-- a message that comes back: it is dropped only for what is surely there.
function overlap.in_the_way(look, g, own_tag)
  local m = overlap.mark_of(look, g.key)
  look.sure = own_tag ~= nil
  if m and m.tag ~= own_tag then
    local where = overlap.judged(look, g.key, m)
    if overlap.counts(g, where, look.sure) then return m, where end
  end
  if g.scope == "firing" and overlap.in_firing(g) then
    local root = overlap.open_in_the_way(look, g)
    if root then return { id = root } end
  end
  return nil
end

-- The new element with the old id in place of its own; nil where it is not written as Kombu writes it.
function overlap.renamed(element, new, old)
  local changed = false
  for _, name in ipairs({ "id", "root_id", "correlation_id", "firing" }) do
    local is, becomes = '"' .. name .. '": "' .. new .. '"', '"' .. name .. '": "' .. old .. '"'
    local from = 1
    while true do
      local at = string.find(element, is, from, true)
      if not at then break end
      element = string.sub(element, 1, at - 1) .. becomes .. string.sub(element, at + #is)
      from, changed = at + #becomes, changed or name == "id"
    end
  end
  return changed and element or nil
end

-- Puts the payload of `g` in the place of the waiting message of the mark, under its id; false where that can't be. An
-- act that has the queue decides on, and keeps a backup of, what it has read: nothing changes under its hands.
function overlap.replace(look, g, m)
  local length = overlap.length(m.list)
  if length == 0 or length > overlap.searched or #overlap.set_aside(look, m.list) > 0 then return false end
  if overlap.too_early(look, m.replaced, length, overlap.share_replacing) then return false end
  local element, was = overlap.renamed(g.body, g.id, m.id), redis.call("HGET", look.bodies, g.key)
  local at = element and was and overlap.position(m.list, was)
  if not at then return false end
  redis.call("LSET", m.list, at, element)
  m.tag, m.seen, m.replaced, m.missing = g.tag, look.now, look.now, nil
  overlap.keep(look, g.key, m)
  redis.call("HSET", look.bodies, g.key, element)
  return true
end

function overlap.set(look, g, list, element, at)
  local now = look.now
  local m = { tag = g.tag, id = g.id, list = list, at = at or now, state = "waiting", changed = now, seen = now }
  overlap.keep(look, g.key, m)
  redis.call("HSET", look.bodies, g.key, element)
end

-- For others

local function overlap_look(g, now_ms)
  return overlap.look(g.prefix or ARGV[2], now_ms, { index = g.index, visibility_ms = g.visibility_ms })
end

-- A retry, and what the script for admission is told to be exempt (ARGV[7]).
function overlap.must_enter(g)
  return g.retries > 0 or (g.exempt or ARGV[7] or "") ~= ""
end

-- nil where the message may enter, else the answer: {"overlap_skipped", id} or {"replaced", id} of the pending run.
local function overlap_decide(g, now_ms)
  if not overlap.is_guarded(g) or overlap.must_enter(g) then return nil end
  local look = overlap_look(g, now_ms)
  local m, where = overlap.in_the_way(look, g, nil)
  if not m then return nil end
  if where == "waiting" and g.payload_policy == "replace" and g.overlap == "buffer_one" and overlap.replace(look, g, m) then
    return { "replaced", m.id }
  end
  return { "overlap_skipped", m.id }
end

-- Notes the message that is about to be pushed to `list`: its mark, and its firing's count.
local function overlap_admit(g, list, now_ms)
  local look, marked = overlap_look(g, now_ms), false
  if overlap.is_guarded(g) then
    -- What may not be refused does not take the mark of another run that is pending.
    local m = overlap.must_enter(g) and overlap.mark_of(look, g.key)
    if not m or m.id == g.id or not overlap.counts(g, overlap.judged(look, g.key, m), true) then
      overlap.set(look, g, list, g.body)
      marked = true
    end
  end
  if overlap.in_firing(g) then overlap.join(look, g, list, not overlap.is_root(g, marked) and g.body or nil) end
end

-- A waiting message that was dropped by us: its mark and its place in a firing go with it.
local function overlap_forget(element, prefix)
  local g = overlap.guard_in(element)
  if not g then return end
  local look = overlap.look(prefix or ARGV[2])
  if overlap.is_guarded(g) then
    local m = overlap.mark_of(look, g.key)
    if m and m.tag == g.tag then overlap.clear(look, g.key) end
  end
  if overlap.in_firing(g) then overlap.leave(look, g) end
end

-- A guarded message is in `unacked` now, taken by `who`: "<worker>/<session>", or "" where that is not known.
function overlap.hold(look, g, who, list)
  local score = redis.call("ZSCORE", look.index, g.tag)
  if not score or who == "" then return end
  if overlap.is_guarded(g) then
    local m = overlap.mark_of(look, g.key) or { tag = g.tag, id = g.id, list = list or "", at = look.now }
    if m.tag == g.tag then
      m.state, m.who, m.score, m.changed, m.missing = "held", who, score, look.now, nil
      overlap.keep(look, g.key, m)
    end
  end
  if overlap.in_firing(g) then overlap.take(look, g, who, score) end
end

-- The same for an element that was just taken from a list and registered; cheap where it is not guarded.
local function mark_hold(prefix, element, tag, who, list)
  local g = who ~= "" and overlap.guard_in(element)
  if g and g.tag == tag then overlap.hold(overlap.look(prefix), g, who, list) end
end
