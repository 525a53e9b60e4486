-- Rings for one queue. Joined behind `door`. ARGV: 1 prefix · 2 queue

ring(ARGV[1], ARGV[2])
