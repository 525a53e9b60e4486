-- The keeper goes, and another one may act at once. Joined behind `keep/words`.
--
-- ARGV 1 prefix · 2 token

if keep.acts(ARGV[1], ARGV[2]) then return redis.call("DEL", ARGV[1] .. keep.space .. "keeper") end
return 0
