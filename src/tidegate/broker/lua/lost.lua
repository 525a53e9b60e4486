-- Which messages were registered at these very moments: what a fetch took whose answer never came.
-- KEYS: unacked_index. ARGV: the moments, as the fetches gave them. Answer: tags.

local tags = {}
for _, moment in ipairs(ARGV) do
  for _, tag in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], moment, moment)) do
    tags[#tags + 1] = tag
  end
end
return tags
