-- stub
local function mark_hold(prefix, raw, tag, holder) end
