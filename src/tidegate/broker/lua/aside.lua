-- What an act of relief has set aside of a queue: it waits as well, and counts for what the queue may hold.
--
-- Keys, behind the prefix:
--   tidegate:relief:1:queue:<queue>   string   the act that has the queue
--   tidegate:relief:1:aside:<list>    list     and later: and back: what is not in the list meanwhile

local function is_set_aside(prefix, queue)
  return redis.pcall("EXISTS", prefix .. "tidegate:relief:1:queue:" .. queue) == 1
end

-- All lists in which messages of the queue wait; one command where no act has the queue.
local function waiting_in(prefix, queue, lists)
  if not is_set_aside(prefix, queue) then return lists end
  local all = {}
  for _, list in ipairs(lists) do
    all[#all + 1] = list
    for _, kind in ipairs({ "aside:", "later:", "back:" }) do
      all[#all + 1] = prefix .. "tidegate:relief:1:" .. kind .. string.sub(list, #prefix + 1)
    end
  end
  return all
end
