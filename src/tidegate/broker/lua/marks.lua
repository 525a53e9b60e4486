-- stub
local function mark_hold(prefix, element, tag, who, list) end
