-- Before `restore`: a message of a dead worker that somebody else has taken meanwhile is none of it any more.
--
-- ARGV 15 the score that it was taken with

if tonumber(redis.call("ZSCORE", KEYS[1], ARGV[2]) or "") ~= tonumber(ARGV[15]) then return { "gone" } end
