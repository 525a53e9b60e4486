-- Everything that waits beside the lists of a queue goes with them. Joined behind `spill`.
--
-- ARGV 1 prefix · 2… the lists, behind the prefix as well
-- Answer how many messages went; the keeper takes those off its disk that `forget` names

local went = 0
for at = 2, #ARGV do
  for _, kind in ipairs({ "front", "spill" }) do
    local key = beside(ARGV[1], kind, ARGV[at])
    local length = redis.pcall("LLEN", key)
    -- What is no list of ours stays.
    if type(length) == "number" then went = went + length; redis.call("DEL", key) end
  end
  local good, many = pcall(on_disk, ARGV[1], ARGV[at])
  if good and many > 0 then
    local kept = beside(ARGV[1], "kept", ARGV[at])
    local taken = redis.call("HGET", kept, "taken")
    -- `fed` as well: a keeper that looked before the purge would bring back what it has read, and so compares in vain.
    redis.call("HSET", kept, "forget", taken, "fed", taken)
    went = went + many
  end
end
return went
