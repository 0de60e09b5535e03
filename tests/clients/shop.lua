-- A shop's gateway plugin as they are written: Lua with LuaSocket (and LuaSec for https), JSON read by patterns, forms and
-- addresses put together by hand. Its database is a file of lines.
--   shop.lua request BASE API_KEY FILE FORM ORDER AMOUNT CALLBACK    FORM: form (encoded once) or raw (not at all)
--   shop.lua return  BASE API_KEY FILE FORM ORDER QUERY [BODY [READS]]  what the customer brought back
--   READS: query, body, bank_code (paid is what has a bank_code) or any
local http, ltn12 = require("socket.http"), require("ltn12")
local act, base, api_key, file, form, order = table.unpack(arg, 1, 6)

local function request_of(url)
  -- LuaSec has a request function of its own, which plugins choose by the address.
  if url:find("^https:") then return require("ssl.https").request end
  return http.request
end

local function escape(text)
  return (text:gsub("[^%w%-%._~]", function(char) return ("%%%02X"):format(char:byte()) end))
end

local function call(url, body)
  local parts = {}
  local headers = { ["content-type"] = "application/x-www-form-urlencoded", ["content-length"] = #body }
  http.TIMEOUT = 10
  local ok, code = request_of(url) {
    url = url, method = "POST", headers = headers, source = ltn12.source.string(body), sink = ltn12.sink.table(parts),
  }
  if not ok or code ~= 200 then return '{"status":0,"errorCode":-1}' end
  return table.concat(parts)
end

local function number(json, name) return tonumber(json:match('"' .. name .. '"%s*:%s*"?(%-?%d+)')) end
local function text(json, name) return json:match('"' .. name .. '"%s*:%s*"([^"]*)"') end

local orders = {}
for line in (io.open(file) or io.tmpfile()):lines() do
  local name, amount, key = line:match("^(%S+) (%d+) (%S+)$")
  orders[name] = { amount = tonumber(amount), key = key }
end

if act == "request" then
  local amount, callback = arg[7], arg[8]
  local return_url = ("%s?order=%s&_token=a%%20b"):format(callback, order)
  local sent = form == "raw" and return_url or escape(return_url)
  local said = call(base .. "/invoice/request", "api_key=" .. api_key .. "&amount=" .. amount .. "&return_url=" .. sent)
  if number(said, "status") == 1 then
    local key = text(said, "invoice_key")
    local database = assert(io.open(file, "a"))
    database:write(("%s %s %s\n"):format(order, amount, key))
    database:close()
    said = said:gsub("}%s*$", (',"pay_url":"%s/invoice/pay/%s"}'):format(base, key))
  end
  print(said)
  return
end

local query, body, reads = arg[7], arg[8] or "", arg[9] or "any"
local given = {}
for name, value in (({ query = query, body = body })[reads] or (body .. "&" .. query)):gmatch("([^&=]+)=([^&]*)") do
  given[name] = value
end

local function refuse(why) print(('{"credited":false,"why":%s}'):format(why)) end

if given.status and given.status ~= "0" then return refuse('"status"') end
if reads == "bank_code" and not given.bank_code then return refuse('"bank_code"') end
if given.invoice_key ~= orders[order].key then return refuse('"key"') end
-- The key goes into the address as it is, behind a base that has its slash already.
local said = call(base .. "//invoice/check/" .. orders[order].key, "api_key=" .. api_key)
if number(said, "status") ~= 1 then return refuse(number(said, "errorCode")) end
if number(said, "amount") ~= orders[order].amount then return refuse('"amount"') end
print(('{"credited":true,"bank_code":"%s"}'):format(text(said, "bank_code")))
