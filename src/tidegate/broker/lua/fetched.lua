-- The end of `fetch.lua` for a guarded message: its mark gets to know who holds it. Joined behind `marks`, `firings`.

local function hold()
  local g = overlap.guard_in(taken[2])
  if g and g.tag == taken[3] then
    overlap.hold(overlap.look(prefix, nil, { index = KEYS[1] }), g, holder, KEYS[2 + taken[1]])
  end
end

if holder ~= '' and taken[3] ~= '' then
  pcall(hold)
end
return taken
