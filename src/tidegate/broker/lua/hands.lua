-- What workers do with guarded messages, for their marks and firings: joined behind `marks` and `firings`.

-- What went wrong in `call`, or nil: what a message needs of stock is done before, or goes on after.
function overlap.safely(call)
  local ok, why = pcall(call)
  if ok then return nil end
  return type(why) == "table" and tostring(why.err) or tostring(why)
end

-- A `g` of ARGV: the tag at one place; from another on: key, overlap, scope, firing, entry, id, retries.
function overlap.guard_from(tag, first)
  return {
    tag = ARGV[tag], key = ARGV[first], overlap = ARGV[first + 1], scope = ARGV[first + 2], firing = ARGV[first + 3],
    entry = ARGV[first + 4], id = ARGV[first + 5], retries = tonumber(ARGV[first + 6]) or 0,
  }
end

-- The mark where it is this message's own.
function overlap.own_mark(look, g)
  local m = overlap.is_guarded(g) and overlap.mark_of(look, g.key)
  return m and m.tag == g.tag and m or nil
end

-- It is over: acknowledged at its end, rejected, or its run has ended.
function overlap.done(look, g)
  if overlap.own_mark(look, g) then overlap.clear(look, g.key) end
  if overlap.in_firing(g) then overlap.leave(look, g) end
end

-- It is acknowledged, and its run begins: no longer pending. A run that was told to have ended already is not brought back.
function overlap.runs(look, g, who)
  local m = overlap.own_mark(look, g)
  if m and g.overlap == "skip" and g.scope == "message" then
    m.state, m.who, m.score, m.changed, m.missing = "running", who, nil, look.now, nil
    overlap.keep(look, g.key, m)
    redis.call("HDEL", look.bodies, g.key)
  elseif m then
    overlap.clear(look, g.key)
  end
  if overlap.in_firing(g) then overlap.run(look, g, who) end
end

-- Its run has begun, and it is acknowledged at the end.
function overlap.started(look, g)
  if g.overlap == "buffer_one" and overlap.own_mark(look, g) then overlap.clear(look, g.key) end
end

-- Takes the mark again, unless another message that is pending has it; whether it has it now.
function overlap.take_mark_again(look, g, list, element, newest)
  if not overlap.is_guarded(g) then return false end
  local m = overlap.mark_of(look, g.key)
  local own = m and m.tag == g.tag
  if m and not own and overlap.counts(g, overlap.judged(look, g.key, m), true) then return false end
  overlap.set(look, g, list, element, own and not newest and m.at or nil)
  return true
end

-- It is back in `list`, at the end that is consumed next, or (`newest`) at the other.
function overlap.come_back_to(look, g, list, element, newest)
  local marked = overlap.take_mark_again(look, g, list, element, newest)
  if overlap.in_firing(g) then
    overlap.come_back(look, g, list, not overlap.is_root(g, marked) and element or nil, newest)
  end
end
