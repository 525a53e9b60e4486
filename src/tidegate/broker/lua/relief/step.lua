-- The oldest messages that are set aside are decided on. Joined behind `door`, `words`, `marks`, `firings`, `relief/words`.
--
-- ARGV 1 prefix · 2 id · 3 token · 4 list · 5 queue · 6 how many are aside · 7 flags, oldest first: "0" stays, "1" goes, "2" goes
--      and is guarded by the gate
--      8 the list that gets what goes ("" for none) · 9 bytes that go · 10 how many of them can't be read
--      11… what goes, as it is to be pushed to that list
-- Answer {"stepped", how many are aside, how many were in the list and are gone with it (0)} · {"changed", how many are aside} · {"gone"} · {"fenced", process}

local STAYS, GUARDED = 48, 50
local VANISHED = 1000 -- so many are not taken between two steps

local prefix, list, queue, expected, flags, target = ARGV[1], ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[7], ARGV[8]
local key, aside = relief.act(prefix, ARGV[2]), relief.hidden(prefix, "aside", list)
local other = relief.not_mine(key, ARGV[3])
if other then return other end
relief.lives(key) -- first: a full server refuses it, and then nothing has been done
local found = redis.call("LLEN", aside)
if found ~= expected or found < #flags then return { "changed", found } end

-- The mark of a message goes with it to its new list.
local function follow(element)
  local g = overlap.guard_in(element)
  local look = g and overlap.is_guarded(g) and overlap.look(prefix)
  local m = look and overlap.mark_of(look, g.key)
  if not m or m.tag ~= g.tag then return end
  m.list = target
  overlap.keep(look, g.key, m)
  redis.call("HSET", look.bodies, g.key, element)
end

local stay, guarded, gone = {}, {}, 0
for at, element in ipairs(relief.oldest(aside, #flags)) do
  local flag = string.byte(flags, at)
  if flag == STAYS then
    stay[#stay + 1] = element
  else
    gone = gone + 1
    if flag == GUARDED then guarded[#guarded + 1] = element end
  end
end
local held, missed = tonumber(redis.call("HGET", key, "held:" .. list) or "0"), 0
if held >= VANISHED and redis.call("EXISTS", list) == 0 then missed = held end
relief.append(prefix, key, list, stay)
redis.call("HSET", key, "held:" .. list, redis.call("LLEN", list))
if target ~= "" then
  local moved = {}
  for at = 11, #ARGV do moved[#moved + 1] = ARGV[at] end
  relief.push(target, moved)
  for _, element in ipairs(moved) do pcall(follow, element) end
else
  for _, element in ipairs(guarded) do pcall(overlap_forget, element, prefix) end
end
relief.drop_oldest(aside, #flags)
redis.call("HINCRBY", key, "kept:" .. list, #stay)
redis.call("HINCRBY", key, "removed", gone)
redis.call("HINCRBY", key, "removed_bytes", ARGV[9])
redis.call("HINCRBY", key, "undecodable", ARGV[10])
redis.call("HINCRBY", key, "done:" .. list, #flags)
if #stay > 0 then pcall(ring, prefix, queue) end
return { "stepped", found - #flags, missed }
