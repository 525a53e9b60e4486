-- The door bell of a queue: whoever puts a message in rings it, and one of the workers that sleep for it wakes.
--
-- A worker sleeps in BLPOP on the bells of its queues, so a token wakes one and only one. A token that stays in the
-- bell found nobody waiting: the next one who lies down wakes at once, and until then no other is needed.

local ASLEEP_MS = 60000
local BELL_MS = 60000

local function bell_of(prefix, queue)
  return prefix .. 'tidegate:gate:1:bell:' .. queue
end

local function asleep_of(prefix, queue)
  return prefix .. 'tidegate:gate:1:asleep:' .. queue
end

-- Never raises: a message that nobody rang for is found when the sleep is over.
local function ring(prefix, queue)
  if redis.pcall('EXISTS', asleep_of(prefix, queue)) ~= 1 then
    return
  end
  local bell = bell_of(prefix, queue)
  if redis.pcall('LLEN', bell) == 0 then
    redis.pcall('LPUSH', bell, '1')
    redis.pcall('PEXPIRE', bell, BELL_MS)
  end
end

-- Says that somebody is about to sleep for these queues, whose lists were just seen empty: what their bells hold is
-- stale. The note is renewed when half its time is over, so that an idle fleet hardly writes.
local function lie_down(prefix, queues)
  local bells = {}
  for index, queue in ipairs(queues) do
    bells[index] = bell_of(prefix, queue)
    local asleep = asleep_of(prefix, queue)
    if redis.call('PTTL', asleep) < ASLEEP_MS / 2 then
      redis.pcall('SET', asleep, '1', 'PX', ASLEEP_MS) -- a full server refuses: then the sleep is only over by itself
    end
  end
  if #bells > 0 then
    redis.call('DEL', unpack(bells))
  end
end
