-- A list is set aside, and the oldest messages that stay are in their place at once. Joined behind `door` and `relief/words`.
--
-- ARGV 1 prefix · 2 id · 3 token · 4 list · 5 queue · 6 how many of the oldest were decided on
--      7 their SHA-1, those that stay and those that go: "<40 hex>1" goes, "<40 hex>0" stays, joined
-- Answer {"swapped", how many are aside, how many stay} · {"empty"} · {"taken"}: something is set aside already
--        {"gone"} · {"fenced", process}

local prefix, list, queue = ARGV[1], ARGV[4], ARGV[5]
local key, aside = relief.act(prefix, ARGV[2]), relief.hidden(prefix, "aside", list)
local other = relief.not_mine(key, ARGV[3])
if other then return other end
relief.lives(key) -- first: a full server refuses it, and then nothing has been done
if redis.call("EXISTS", aside) == 1 then return { "taken" } end
if redis.call("EXISTS", list) == 0 then return { "empty" } end

local goes = {}
for at = 1, #ARGV[7], 41 do goes[string.sub(ARGV[7], at, at + 39)] = string.sub(ARGV[7], at + 40, at + 40) == "1" end

-- What nobody has decided on came back from a worker meanwhile, or was not reached: from there on all waits its turn.
local stay, wait, known = {}, {}, true
local oldest = relief.oldest(list, tonumber(ARGV[6]))
for _, element in ipairs(oldest) do
  local decided = known and goes[redis.sha1hex(element)]
  if decided == nil then known = false end
  if decided == false and known then stay[#stay + 1] = element else wait[#wait + 1] = element end
end
redis.call("RENAME", list, aside)
relief.push(list, stay)
if #stay > 0 then
  -- Those that wait for their turn go back to the end that is taken from, the oldest last.
  relief.drop_oldest(aside, #oldest)
  for at = #wait, 1, -1 do redis.call("RPUSH", aside, wait[at]) end
end
-- Where the act begins anew with this list, what stays is counted anew; places go on.
redis.call("HSET", key, "at:" .. list, "filter", "kept:" .. list, #stay, "marker:" .. list, stay[#stay] or "")
redis.call("HINCRBY", key, "done:" .. list, #stay)
if #stay > 0 then pcall(ring, prefix, queue) end
return { "swapped", redis.call("LLEN", aside), #stay }
