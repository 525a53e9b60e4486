-- A write that a full server allows, before a script of an act: a script that has written is not stopped in the middle, so
-- the act is on record from its first moment, however full the server. Joined behind `relief/words`.

redis.call("PERSIST", relief.act(ARGV[1], ARGV[2]))
