-- Pipelining, and exact counts instead of rounded ones: wrk ... -s counts.lua URL -- DEPTH
local depth = 1
local block

function init(args)
  depth = tonumber(args[1]) or 1
  local requests = {}
  for i = 1, depth do
    requests[i] = wrk.format()
  end
  block = table.concat(requests)
end

function request()
  return block
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'counts {"requests": %d, "duration_us": %d, "status": %d, "connect": %d, "read": %d, ' ..
    '"write": %d, "timeout": %d}\n',
    summary.requests, summary.duration, e.status, e.connect, e.read, e.write, e.timeout))
end
