-- Messages of a dead worker go back to the end of their lists that is consumed, each only if it is held as it was.
-- Joined behind `door`.
--
-- KEYS 1 unacked_index · 2 unacked
-- ARGV 1 prefix · then five for each message, the newest first: tag, score, list, queue, element
-- Answer for each 1, or 0 where somebody else was faster

local prefix, back = ARGV[1], {}
for at = 2, #ARGV, 5 do
  local tag, list, element = ARGV[at], ARGV[at + 2], ARGV[at + 4]
  local score = redis.call("ZSCORE", KEYS[1], tag)
  local same = score and tonumber(score) == tonumber(ARGV[at + 1]) and redis.call("HEXISTS", KEYS[2], tag) == 1
  if same then
    redis.call("RPUSH", list, element) -- first: a full server refuses it, and then nothing has been done
    redis.call("ZREM", KEYS[1], tag)
    redis.call("HDEL", KEYS[2], tag)
    pcall(ring, prefix, ARGV[at + 3])
  end
  back[#back + 1] = same and 1 or 0
end
return back
