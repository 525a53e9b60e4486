-- The spill keeper: what its scripts share. Joined before them. Keys: broker/spilled.py.

local keep = { space = "tidegate:gate:1:" }

function keep.beside(prefix, kind, list) return prefix .. keep.space .. kind .. ":" .. string.sub(list, #prefix + 1) end

-- Whether the keeper with this token is the one that acts.
function keep.acts(prefix, token)
  local said = redis.call("GET", prefix .. keep.space .. "keeper")
  return said and string.find(said, token, 1, true) ~= nil
end

-- Whether the disk that a list's messages are on is this store; also where there is none yet.
function keep.is_ours(kept, store)
  local has = redis.call("HGET", kept, "store")
  return not has or has == store
end
