-- 200 bytes of JSON; what came back that was not 202 is counted and printed at the end.
local n, me = 0, 0
local threads = {}
function setup(thread) thread:set("me", #threads); table.insert(threads, thread) end
function init() math.randomseed(os.time() + me * 7919); bad = 0; n = math.random(1, 1000000) end
function request()
  n = n + 1
  local head = string.format('{"customer":"c-%d","number":%d,"total":12.50,"items":[{"sku":"A-100","n":2}],"note":"', n % 997, n)
  local body = head .. string.rep("x", 200 - #head - 2) .. '"}'
  return wrk.format("POST", "/events/orders", { ["Content-Type"] = "application/json" }, body)
end
function response(status) if status ~= 202 then bad = bad + 1 end end
function done(summary, latency)
  local bad = 0
  for _, t in ipairs(threads) do bad = bad + t:get("bad") end
  io.write(string.format('RESULT {"requests":%d,"seconds":%f,"p50":%f,"p99":%f,"not_202":%d,"errors":%d}\n', summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, bad, summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
