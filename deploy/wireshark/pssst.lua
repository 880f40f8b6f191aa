-- PSSST (Packet Security for Stateless Server Transactions) for Wireshark and tshark 4: the outer fields, which need no key.
--
-- Put this file into the folder of personal Lua plugins (Help, About, Folders), or: tshark -X lua_script:pssst.lua
-- docs/inspect.md tells what the fields mean; the rules in brackets are those of docs/specification.md.
--
-- There is no heuristic. All that could be recognized are the first four bytes, everything after them looks random, and the most
-- usual of them, 00 00 00 01, begin datagrams of many other protocols. Choose the port in the preferences, or by "Decode As".

local OVERHEAD = 52
local AUTHENTICATED_OVERHEAD = 116
local HEADER_LEN = 4
local VALUE_LEN = 32
local TAG_LEN = 16
local DEFAULT_PORT = 45678
-- Packets that are remembered of each transaction, requests and replies by themselves.
local MAX_PACKETS = 8

-- [R-04]
local SUITES = { [0x0001] = "X25519_AESGCM128", [0xf001] = "X25519_AES128GCMSIV" }
local SUITE_1 = 0x0001

local pssst = Proto("pssst", "PSSST, Packet Security for Stateless Server Transactions")

local f = {
  kind = ProtoField.string("pssst.kind", "Kind", base.ASCII, "request or reply"),
  flags = ProtoField.uint16("pssst.flags", "Flags", base.HEX),
  reply = ProtoField.bool("pssst.flags.reply", "Reply", 16, nil, 0x8000),
  client_auth = ProtoField.bool("pssst.flags.client_auth", "Client authentication", 16, nil, 0x4000),
  reserved = ProtoField.uint16("pssst.flags.reserved", "Reserved", base.HEX, nil, 0x3fff),
  suite = ProtoField.uint16("pssst.suite", "Suite", base.HEX, SUITES),
  value = ProtoField.bytes("pssst.exchange_value", "Exchange value"),
  ciphertext = ProtoField.bytes("pssst.ciphertext", "Ciphertext"),
  ciphertext_length = ProtoField.uint32("pssst.ciphertext.length", "Length of the ciphertext", base.DEC),
  tag = ProtoField.bytes("pssst.tag", "Authentication tag"),
  overhead = ProtoField.uint32("pssst.overhead", "Bytes around the message", base.DEC),
  message_length = ProtoField.uint32("pssst.message_length", "Length of the message", base.DEC),
  request_in = ProtoField.framenum("pssst.request_in", "Request in", base.NONE, frametype.REQUEST),
  response_in = ProtoField.framenum("pssst.response_in", "Reply in", base.NONE, frametype.RESPONSE),
  time = ProtoField.relative_time("pssst.time", "Time since the request"),
  repeats = ProtoField.framenum("pssst.repeats", "Same bytes as in", base.NONE, frametype.RETRANS_PREV),
  differs = ProtoField.framenum("pssst.differs", "Differs from", base.NONE, frametype.NONE),
}
pssst.fields = f

local e = {
  truncated = ProtoExpert.new("pssst.truncated", "Too short for a packet (truncated)",
    expert.group.MALFORMED, expert.severity.ERROR),
  no_proof = ProtoExpert.new("pssst.no_proof", "Too short for an authenticated request, which has a proof of 64 bytes",
    expert.group.MALFORMED, expert.severity.ERROR),
  reserved = ProtoExpert.new("pssst.reserved_flags", "Reserved flags are set (reserved_flags)",
    expert.group.PROTOCOL, expert.severity.ERROR),
  suite = ProtoExpert.new("pssst.unknown_suite", "Unknown suite (unsupported_suite)",
    expert.group.PROTOCOL, expert.severity.ERROR),
  cut = ProtoExpert.new("pssst.cut", "The capture does not have all of the packet",
    expert.group.UNDECODED, expert.severity.NOTE),
  repeated_request = ProtoExpert.new("pssst.repeated_request", "The same request again",
    expert.group.SEQUENCE, expert.severity.NOTE),
  repeated_reply = ProtoExpert.new("pssst.repeated_reply", "The same reply again",
    expert.group.SEQUENCE, expert.severity.NOTE),
  other_request = ProtoExpert.new("pssst.other_request", "Another request with the same exchange value: changed, or made up",
    expert.group.SECURITY, expert.severity.WARN),
  no_request = ProtoExpert.new("pssst.no_request", "A reply to no request before it",
    expert.group.SEQUENCE, expert.severity.NOTE),
  different = ProtoExpert.new("pssst.different_replies",
    "DANGER: two different replies to one request under suite 1; unless one was made up, whoever saw both can forge a third",
    expert.group.SECURITY, expert.severity.ERROR),
  different_safe = ProtoExpert.new("pssst.different_replies.safe",
    "Two different replies to one request, which is harmless under this suite",
    expert.group.SEQUENCE, expert.severity.NOTE),
}
pssst.experts = {
  e.truncated, e.no_proof, e.reserved, e.suite, e.cut, e.repeated_request, e.repeated_reply, e.other_request, e.no_request,
  e.different, e.different_safe,
}

pssst.prefs.port = Pref.uint("UDP port", DEFAULT_PORT, "The server's UDP port; 0 for none")

-- What belongs together, found when a frame is first visited: transactions by exchange value, and what became of each packet,
-- by its frame and its place in it.
local transactions = {}
local relations = {}

function pssst.init()
  transactions = {}
  relations = {}
end

-- Finds the packets before this one that it belongs to.
local function relate(packet)
  local relation = {}
  local transaction = transactions[packet.value]
  if not transaction then
    transaction = { requests = {}, replies = {} }
    transactions[packet.value] = transaction
  end
  local earlier = packet.is_reply and transaction.replies or transaction.requests
  local other
  for _, seen in ipairs(earlier) do
    -- Of a packet that is not whole, nothing can be said.
    if packet.bytes and seen.bytes then
      if seen.bytes == packet.bytes then
        relation.repeats = relation.repeats or seen.frame
      elseif seen.suite == packet.suite then
        other = other or seen.frame
      end
    end
  end
  -- A repetition tells nothing new.
  if not relation.repeats then
    relation.differs = other
  end
  if packet.is_reply then
    for _, request in ipairs(transaction.requests) do
      if request.client_port == packet.client_port and request.server_port == packet.server_port then
        relation.request = request
        request.relation.response_in = request.relation.response_in or packet.frame
        break
      end
    end
  end
  packet.relation = relation
  if #earlier < MAX_PACKETS then
    table.insert(earlier, packet)
  end
  return relation
end

local function show_relation(tree, packet, relation)
  if relation.request then
    tree:add(f.request_in, relation.request.frame):set_generated()
    local nanoseconds = math.floor((packet.time - relation.request.time) * 1e9 + 0.5)
    local seconds = math.floor(nanoseconds / 1e9)
    tree:add(f.time, NSTime.new(seconds, math.floor(nanoseconds - seconds * 1e9))):set_generated()
  elseif packet.is_reply then
    tree:add_proto_expert_info(e.no_request)
  end
  if relation.response_in then
    tree:add(f.response_in, relation.response_in):set_generated()
  end
  if relation.repeats then
    tree:add(f.repeats, relation.repeats):set_generated()
    tree:add_proto_expert_info(packet.is_reply and e.repeated_reply or e.repeated_request)
  end
  if relation.differs then
    tree:add(f.differs, relation.differs):set_generated()
    if not packet.is_reply then
      tree:add_proto_expert_info(e.other_request)
    else
      tree:add_proto_expert_info(packet.suite == SUITE_1 and e.different or e.different_safe)
    end
  end
end

-- Whether the packet is a reply, and whether client authentication is set. [R-02]
local function show_flags(tree, buffer)
  local subtree = tree:add(f.flags, buffer)
  subtree:add(f.reply, buffer)
  subtree:add(f.client_auth, buffer)
  local reserved = subtree:add(f.reserved, buffer)
  -- [R-03]
  if buffer:bitfield(2, 14) ~= 0 then
    reserved:add_proto_expert_info(e.reserved)
  end
  return buffer:bitfield(0, 1) == 1, buffer:bitfield(1, 1) == 1
end

function pssst.dissector(buffer, pinfo, root)
  local length = buffer:reported_len()
  local captured = buffer:captured_len()
  pinfo.cols.protocol = "PSSST"
  local tree = root:add(pssst, buffer())
  if captured < length then
    tree:add_proto_expert_info(e.cut)
  end
  local suite, is_reply, authenticated
  if captured >= HEADER_LEN then
    is_reply, authenticated = show_flags(tree, buffer(0, 2))
    suite = buffer(2, 2):uint()
    local item = tree:add(f.suite, buffer(2, 2))
    if not SUITES[suite] then
      item:add_proto_expert_info(e.suite)
    end
    tree:add(f.kind, buffer(0, 2), is_reply and "reply" or "request"):set_generated()
  end
  -- [R-05]
  if length < OVERHEAD then
    tree:add_proto_expert_info(e.truncated)
    pinfo.cols.info = string.format("Too short: %d bytes", length)
    return captured
  end
  if not suite then
    pinfo.cols.info = "Cut by the capture"
    return captured
  end

  local body = HEADER_LEN + VALUE_LEN
  local ciphertext_length = length - OVERHEAD
  local overhead = (authenticated and not is_reply) and AUTHENTICATED_OVERHEAD or OVERHEAD
  if captured >= body then
    tree:add(f.value, buffer(HEADER_LEN, VALUE_LEN))
  end
  if ciphertext_length > 0 and captured >= body + ciphertext_length then
    tree:add(f.ciphertext, buffer(body, ciphertext_length))
  end
  tree:add(f.ciphertext_length, ciphertext_length):set_generated()
  if captured >= length then
    tree:add(f.tag, buffer(length - TAG_LEN, TAG_LEN))
  end
  tree:add(f.overhead, overhead):set_generated()
  -- [R-17]
  if length >= overhead then
    tree:add(f.message_length, length - overhead):set_generated()
  else
    tree:add_proto_expert_info(e.no_proof)
  end

  local whose = authenticated and "authenticated" or "anonymous"
  local info = (is_reply and "Reply to an " or "") .. whose .. " request"
  pinfo.cols.info = string.format("%s, suite 0x%04x, %d bytes", info:sub(1, 1):upper() .. info:sub(2), suite, length)

  if captured >= body then
    local packet = {
      frame = pinfo.number,
      time = pinfo.rel_ts,
      is_reply = is_reply,
      suite = suite,
      value = buffer(HEADER_LEN, VALUE_LEN):bytes():raw(),
      bytes = captured >= length and buffer():bytes():raw() or nil,
      client_port = is_reply and pinfo.dst_port or pinfo.src_port,
      server_port = is_reply and pinfo.src_port or pinfo.dst_port,
    }
    local id = pinfo.number .. "/" .. buffer:offset()
    if not pinfo.visited then
      relations[id] = relate(packet)
    end
    show_relation(tree, packet, relations[id] or {})
    if relations[id] and relations[id].differs and is_reply and suite == SUITE_1 then
      pinfo.cols.info:append(" [DANGER: two different replies]")
    end
  end
  return captured
end

-- The port of the preferences, and "Decode As" for any other.
local udp = DissectorTable.get("udp.port")
local port = 0

local function use_port(wanted)
  if port ~= 0 then
    udp:remove(port, pssst)
  end
  port = wanted
  if port ~= 0 then
    udp:add(port, pssst)
  end
end

function pssst.prefs_changed()
  if pssst.prefs.port ~= port then
    use_port(pssst.prefs.port)
  end
end

udp:add_for_decode_as(pssst)
use_port(pssst.prefs.port)
