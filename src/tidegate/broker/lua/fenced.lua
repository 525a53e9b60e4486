-- The end of a fenced script: asks the fence, then the script, and writes what became of the due time.

local OUTCOMES = { spilled = "buffered", dead_lettered = "queue_full" }
local LET_IN = { admitted = true, dropped_head = true }

local answer = fence()
if answer then return answer end
local known, waits = pcall(fence_waits)
answer = gate_decide()
local word = type(answer) == "table" and answer[1] or "admitted"
local outcome = OUTCOMES[word] or word
if LET_IN[word] then outcome = known and waits and "buffered" or claim.label end
pcall(decided, claim.base, claim.entry, outcome, 1, "")
if outcome == "buffered" and word ~= "spilled" then return { "buffered" } end
return answer
