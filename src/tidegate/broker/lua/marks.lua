-- Stand-in until the marks are there: nothing is held back, nothing is noted.
local function overlap_decide(g, now_ms) return nil end
local function overlap_admit(g, list, now_ms) end
local function overlap_forget(payload) end
