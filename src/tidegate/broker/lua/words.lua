-- What the gate says of itself: its counts and its journal. No failure here may reach a message.
--
-- Keys, behind the prefix (`global_keyprefix`):
--   tidegate:gate:1:counts   hash    "<outcome>|<queue>" → how often
--   tidegate:journal         stream  what was done to which message and why, the newest 10,000 or a few more

local OUR_KEYS = "tidegate:gate:1:"
local JOURNAL_LENGTH = 10000

-- Milliseconds of the server's clock.
local function gate_clock_ms()
  local now = redis.call("TIME")
  return tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
end

local function gate_count(prefix, outcome, queue, many)
  redis.pcall("HINCRBY", prefix .. OUR_KEYS .. "counts", outcome .. "|" .. queue, many)
end

-- One line of the journal; `m` says which message: its task, id and key.
local function gate_note(prefix, outcome, queue, m, why)
  gate_count(prefix, outcome, queue, 1)
  redis.pcall("XADD", prefix .. "tidegate:journal", "MAXLEN", "~", JOURNAL_LENGTH, "*",
    "at", string.format("%.3f", gate_clock_ms() / 1000), "act", "gate", "what", outcome, "queue", queue,
    "task", m.task or "", "id", m.id or "", "key", m.key or "", "why", why)
end
