-- A guarded message was taken: registered as stock Kombu does it, and by whom it is held.
--
-- KEYS 1 unacked_index · 2 unacked
-- ARGV 1 prefix · 2 tag · 3 score · 4 entry of `unacked` · 5 who · 6 … what its header says, see `guard_from`
-- Answer nil, or why the mark could not be kept

redis.call("ZADD", KEYS[1], ARGV[3], ARGV[2])
redis.call("HSET", KEYS[2], ARGV[2], ARGV[4])
return overlap.safely(function()
  overlap.hold(overlap.look(ARGV[1], nil, { index = KEYS[1] }), overlap.guard_from(2, 6), ARGV[5])
end)
