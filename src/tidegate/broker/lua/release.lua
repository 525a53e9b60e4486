-- A guarded message is acknowledged, or rejected for good: out of `unacked`, and its mark with it.
--
-- KEYS 1 unacked_index · 2 unacked
-- ARGV 1 prefix · 2 tag · 3 who · 4 "runs" where its run begins now and its end will be told, else "done"
--      5 … what its header says, see `guard_from`
-- Answer nil, or why the mark could not be cleared

redis.call("ZREM", KEYS[1], ARGV[2])
redis.call("HDEL", KEYS[2], ARGV[2])
return overlap.safely(function()
  local look, g = overlap.look(ARGV[1], nil, { index = KEYS[1] }), overlap.guard_from(2, 5)
  if ARGV[4] == "runs" then
    overlap.runs(look, g, ARGV[3])
  else
    overlap.done(look, g)
  end
end)
