-- A guarded message goes back into its queue: from a dead worker, from one that ends, or because it was rejected. It
-- takes its mark again; where a newer run of its key is pending already, it is dropped instead, for two must not be.
--
-- KEYS 1 unacked_index · 2 unacked · 3 … the lists to push to
-- ARGV 1 prefix · 2 tag · 3 element · 4 "newest" where it goes behind what waits, else "oldest" · 5 queue
--      6 visibility timeout in ms · 7 task · 8 … what its header says, see `guard_from`
-- Answer {"restored"} · {"restored", "open", why} · {"superseded", id of the newer one} · {"gone"}: another one did it

local tag, newest = ARGV[2], ARGV[4] == "newest"
local way

local function in_the_way()
  local look = overlap.look(ARGV[1], nil, { index = KEYS[1], visibility_ms = ARGV[6] })
  local g = overlap.guard_from(2, 8)
  way = { look = look, g = g }
  if overlap.is_guarded(g) and g.retries == 0 then way.by = overlap.in_the_way(look, g, tag) end
end

local function supersede()
  overlap.done(way.look, way.g)
  gate_note(ARGV[1], "superseded", ARGV[5], { task = ARGV[7], id = way.g.id, key = way.g.key }, way.by.id)
end

local function come_back()
  for at = 3, #KEYS do overlap.come_back_to(way.look, way.g, KEYS[at], ARGV[3], newest) end
end

if redis.call("HEXISTS", KEYS[2], tag) == 0 then return { "gone" } end
local why = overlap.safely(in_the_way)
if not (way and way.by) then
  for at = 3, #KEYS do redis.call(newest and "LPUSH" or "RPUSH", KEYS[at], ARGV[3]) end
end
redis.call("ZREM", KEYS[1], tag)
redis.call("HDEL", KEYS[2], tag)
if way and way.by then
  overlap.safely(supersede)
  return { "superseded", way.by.id }
end
why = why or overlap.safely(come_back)
return why and { "restored", "open", why } or { "restored" }
