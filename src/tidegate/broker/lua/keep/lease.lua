-- The one keeper that acts: taken where nobody is, renewed by whoever is it. Joined behind `keep/words`.
--
-- ARGV 1 prefix · 2 token · 3 what it says of itself, the token in it · 4 ms until it is taken for dead
--      5 what a dead keeper of this machine said ("" for none)
-- Answer {"acts"} · {"waits", what the other says of itself}

local key = ARGV[1] .. keep.space .. "keeper"
local said = redis.call("GET", key)
if said and string.find(said, ARGV[2], 1, true) then
  redis.call("PEXPIRE", key, ARGV[4]) -- which a full server allows as well
  return { "acts" }
end
if said and said ~= ARGV[5] then return { "waits", said } end
redis.call("SET", key, ARGV[3], "PX", ARGV[4])
return { "acts" }
