-- What is set aside goes back behind what the list holds: what waits undecided first, then what was published since.
-- Joined behind `door` and `relief/words`.
--
-- ARGV 1 prefix · 2 id · 3 token · 4 list · 5 queue · 6 how many at most
--      7 what the act says of the list when it is whole again
-- Answer {"spliced", how many are left} · {"gone"} · {"fenced", process}
-- Where none are left, the list is whole again, in the order of age.

local prefix, list, queue, most = ARGV[1], ARGV[4], ARGV[5], tonumber(ARGV[6])
local key = relief.act(prefix, ARGV[2])
local aside, later = relief.hidden(prefix, "aside", list), relief.hidden(prefix, "later", list)
local other = relief.not_mine(key, ARGV[3])
if other then return other end
relief.lives(key) -- first: a full server refuses it, and then nothing has been done

local function left() return redis.call("LLEN", aside) + redis.call("LLEN", later) end

if left() > 0 then
  for _, from in ipairs({ aside, later }) do
    -- Arrivals go behind `later` first, so that the second round finds them there.
    local elements = relief.oldest(from, most)
    relief.append(prefix, key, list, elements)
    relief.drop_oldest(from, #elements)
    most = most - #elements
    if most <= 0 then break end
  end
  pcall(ring, prefix, queue)
end
if left() == 0 then redis.call("HSET", key, "at:" .. list, ARGV[7]) end
return { "spliced", left() }
