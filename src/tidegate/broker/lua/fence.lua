-- A due time of beat on its way: the script that is put into `gate_decide` runs only where the beat that asks still leads
-- and nobody has decided on this due time. Joined behind `decided`, before `gate_decide` and `fenced`.
--
-- The claim's arguments stand behind those of the script, which does not see them:
-- ARGV   … base · token · entry · due (µs) · what the cursor holds before ("") · id of the run asked for ("") · label
-- Answer that of the script, or {"fenced", why}: `standby` another beat leads · `done` it was decided on, by the same
--        claim as far as anybody can tell · `moved` another due time was decided on meanwhile · `gone` the run that was
--        asked for was sent already

local claim = {}
local first = #ARGV - 7
for place, name in ipairs({ "base", "token", "entry", "due", "before", "ask", "label" }) do
  claim[name] = ARGV[first + place]
end
for place = #ARGV, first + 1, -1 do ARGV[place] = nil end

local asked

local function fence_asked()
  asked = redis.call("HGET", claim.base .. "asks", claim.entry)
  if not asked or not string.find(asked, claim.ask, 1, true) then return { "fenced", "gone" } end
  redis.call("HDEL", claim.base .. "asks", claim.entry)
end

local function fence()
  if not leads(claim.base, claim.token) then return { "fenced", "standby" } end
  if claim.ask ~= "" then return fence_asked() end
  local cursor = due_in(redis.call("HGET", claim.base .. "cursors", claim.entry))
  if cursor == claim.due then return { "fenced", "done" } end
  if cursor ~= claim.before then return { "fenced", "moved" } end
  redis.call("HSET", claim.base .. "cursors", claim.entry, claim.due)
end

local function fence_undo()
  if claim.ask ~= "" then
    redis.pcall("HSET", claim.base .. "asks", claim.entry, asked)
  elseif claim.before == "" then
    redis.pcall("HDEL", claim.base .. "cursors", claim.entry)
  else
    redis.pcall("HSET", claim.base .. "cursors", claim.entry, claim.before)
  end
end

-- Whether one of its key is open, so that a run which is let in under `buffer_one` waits behind it. ARGV of `admit`.
local function fence_waits()
  if ARGV[14] ~= "buffer_one" then return false end
  local gate = ARGV[2] .. "tidegate:gate:1:"
  return redis.call("HEXISTS", gate .. "marks", ARGV[13]) == 1
    or ARGV[18] ~= "" and redis.call("HEXISTS", gate .. "firings", ARGV[18]) == 1
end
