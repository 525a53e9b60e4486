-- One act of an operator on an entry of the schedule: written, counted and journaled together, or not at all.
--
-- KEYS: the hash (orders or asks), the edition, the journal.
-- ARGV: the entry, what its field held when it was read ("" for nothing), what it is to hold ("" for nothing), and the
-- fields of the journal's line. The answer: {1, edition}, or {0, what it holds by now} where somebody was faster.

local JOURNAL_LENGTH = 10000

local entry, before, after = ARGV[1], ARGV[2], ARGV[3]
local holds = redis.call("HGET", KEYS[1], entry) or ""
if holds ~= before then
  return { 0, holds }
end
-- The journal first: where it can't be written, nothing is changed.
redis.call("XADD", KEYS[3], "MAXLEN", "~", JOURNAL_LENGTH, "*", unpack(ARGV, 4))
if after == "" then
  redis.call("HDEL", KEYS[1], entry)
else
  redis.call("HSET", KEYS[1], entry, after)
end
return { 1, redis.call("INCR", KEYS[2]) }
