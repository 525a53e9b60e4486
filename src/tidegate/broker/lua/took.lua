-- What a worker took last, so that it can be given back at once should that worker die. Nothing is written when a message
-- is acknowledged: an entry says nothing of a tag that is in `unacked_index` no more, or with another score.
--
-- Keys, behind the prefix:
--   tidegate:gate:1:took:<worker>   list   "<score> <tag> <list>", newest first, a thousand or a few more; expires a day after the worker

local MOST_TOOK, MORE_TOOK, TOOK_S = 1000, 100, 86400

-- Never raises.
local function note_took(prefix, holder, score, tag, list)
  local worker = string.match(holder, '^([^/]+)/')
  if not worker then
    return
  end
  local key = prefix .. 'tidegate:gate:1:took:' .. worker
  local many = redis.pcall('LPUSH', key, score .. ' ' .. tag .. ' ' .. list)
  if many == 1 then
    redis.pcall('EXPIRE', key, TOOK_S)
  elseif type(many) == 'number' and many >= MOST_TOOK + MORE_TOOK then
    redis.pcall('RPOP', key, MORE_TOOK)
  end
end
