-- A due time whose message goes another way than through the gate: it is claimed, and published afterwards.

return { "admitted" }
