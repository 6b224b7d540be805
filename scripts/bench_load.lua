-- The requests that wrk sends for scripts/bench: each with a number of its own in target and content, so that no two
-- are equal; and one line of figures at the end. Arguments: METHOD TARGET-PREFIX HOST CLOSE(0|1) FIRST-NUMBER OF [FILE];
-- after OF numbers they begin again with 0, unless it is 0.
local before, after, parts, number, of

function init(args)
  local body = ""
  if args[7] then
    local file = assert(io.open(args[7], "rb"))
    body = file:read("*a")
    file:close()
  end
  local fields = "\r\nHost: " .. args[3] .. "\r\nUser-Agent: bench\r\nAccept: application/scim+json\r\n"
    .. "Authorization: Bearer 0123456789abcdef\r\n"
  if args[4] == "1" then fields = fields .. "Connection: close\r\n" end
  if body ~= "" then
    fields = fields .. "Content-Type: application/scim+json\r\nContent-Length: " .. #body .. "\r\n"
  end
  before = args[1] .. " " .. args[2]
  after = " HTTP/1.1" .. fields .. "\r\n" .. body
  number = tonumber(args[5])
  of = tonumber(args[6])
  parts = {}
  for part in (after .. "000000000000"):gmatch("(.-)000000000000") do parts[#parts + 1] = part end
end

function request()
  number = number + 1
  if of > 0 then number = number % of end
  local own = string.format("%012d", number)
  return before .. own .. table.concat(parts, own)
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'BENCH {"requests": %d, "seconds": %.6f, "bytes": %.0f, "p50_ms": %.4f, "p99_ms": %.4f, "errors": %d}\n',
    summary.requests, summary.duration / 1e6, summary.bytes, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
