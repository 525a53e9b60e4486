-- The process that runs a guarded message says that the run has started (where the acknowledgement comes at its end),
-- or has ended (where that came at its start).
--
-- KEYS 1 unacked_index
-- ARGV 1 prefix · 2 tag · 3 "started" or "ended" · 4 … what its header says, see `guard_from`

local look, g = overlap.look(ARGV[1], nil, { index = KEYS[1] }), overlap.guard_from(2, 4)
if ARGV[3] == "ended" then
  overlap.done(look, g)
else
  overlap.started(look, g)
end
