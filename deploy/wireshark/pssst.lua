-- PSSST (Packet Security for Stateless Server Transactions) for Wireshark and tshark 4: the outer
-- fields, which need no key.
--
-- Put this file into the folder of personal Lua plugins (Help, About, Folders), or:
-- tshark -X lua_script:pssst.lua
-- docs/inspect.md explains the fields; the rules in brackets are those of docs/specification.md.
--
-- There is no heuristic. Only the first four bytes could be recognized, everything after them looks
-- random, and 00 00 00 01 begins datagrams of many other protocols. Choose the port in the
-- preferences, or by "Decode As".

local HEADER_LEN = 4
local VALUE_LEN = 32
-- A reply repeats so many bytes of the exchange value, under all suites but suite 1.
local SHORT_VALUE_LEN = 8
local KEM_CIPHERTEXT_LEN = 1088
local PROOF_LEN = 64
local MASKED_KEY_LEN = 32
local KEY_CHECK_LEN = 8
local TAG_LEN = 16
local DEFAULT_PORT = 45678
-- Packets that are remembered of each transaction, requests and replies by themselves.
local MAX_PACKETS = 8

-- [R-04]
local SUITE_1 = 0x0001
local SUITE_XWING = 0xf003
local SUITE_ENROLMENT = 0xf0e1
local SUITES = {
  [SUITE_1] = "X25519_AESGCM128",
  [0xf002] = "X25519_AES256GCMSIV",
  [SUITE_XWING] = "XWING_AES256GCMSIV",
  [SUITE_ENROLMENT] = "X25519_AES256GCMSIV_ENROLMENT",
}

-- [R-02]
local REPLY = 0x8000
local CLIENT_AUTH = 0x4000
local PADDED = 0x2000
local PRE_SHARED_KEY = 0x1000
local FRESH_REPLY = 0x0800

-- Without the operators on bits, which Lua has since 5.3.
local function is_set(flags, flag)
  return math.floor(flags / flag) % 2 == 1
end

local pssst = Proto("pssst", "PSSST, Packet Security for Stateless Server Transactions")

local f = {
  kind = ProtoField.string("pssst.kind", "Kind", base.ASCII, "request or reply"),
  flags = ProtoField.uint16("pssst.flags", "Flags", base.HEX),
  reply = ProtoField.bool("pssst.flags.reply", "Reply", 16, nil, REPLY),
  client_auth = ProtoField.bool("pssst.flags.client_auth", "Client authentication", 16, nil, CLIENT_AUTH),
  padded = ProtoField.bool("pssst.flags.padded", "Padded", 16, nil, PADDED),
  pre_shared_key = ProtoField.bool("pssst.flags.pre_shared_key", "Pre-shared key", 16, nil, PRE_SHARED_KEY),
  fresh_reply = ProtoField.bool("pssst.flags.fresh_reply", "Fresh reply", 16, nil, FRESH_REPLY),
  -- Without a mask, since the suite decides which flags are reserved.
  reserved = ProtoField.uint16("pssst.flags.reserved", "Reserved flags that are set", base.HEX),
  suite = ProtoField.uint16("pssst.suite", "Suite", base.HEX, SUITES),
  value = ProtoField.bytes("pssst.exchange_value", "Exchange value",
    base.NONE, "under all suites but 0x0001, a reply has its first 8 bytes"),
  kem_ciphertext = ProtoField.bytes("pssst.kem_ciphertext", "ML-KEM ciphertext"),
  masked_key = ProtoField.bytes("pssst.masked_client_key", "Masked client key"),
  key_check = ProtoField.bytes("pssst.client_key_check", "Check of the client key"),
  reply_value = ProtoField.bytes("pssst.reply_exchange_value", "Exchange value of the reply"),
  ciphertext = ProtoField.bytes("pssst.ciphertext", "Ciphertext"),
  ciphertext_length = ProtoField.uint32("pssst.ciphertext.length", "Length of the ciphertext", base.DEC),
  tag = ProtoField.bytes("pssst.tag", "Authentication tag"),
  data = ProtoField.bytes("pssst.data", "Bytes after the header"),
  overhead = ProtoField.uint32("pssst.overhead", "Bytes around the message", base.DEC),
  message_length = ProtoField.uint32("pssst.message_length", "Length of the message", base.DEC, nil, nil,
    "absent when the packet is padded"),
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
  no_padding = ProtoExpert.new("pssst.no_padding", "Marked as padded, without room for padding (bad_padding)",
    expert.group.MALFORMED, expert.severity.ERROR),
  reserved = ProtoExpert.new("pssst.reserved_flags", "Reserved flags are set (reserved_flags)",
    expert.group.PROTOCOL, expert.severity.ERROR),
  suite = ProtoExpert.new("pssst.unknown_suite", "Unknown suite (unsupported_suite)",
    expert.group.PROTOCOL, expert.severity.ERROR),
  enrolment = ProtoExpert.new("pssst.enrolment_suite",
    "The suite of enrolment over HTTPS, which every UDP server refuses (unsupported_suite)",
    expert.group.PROTOCOL, expert.severity.WARN),
  cut = ProtoExpert.new("pssst.cut", "The capture does not have all of the packet",
    expert.group.UNDECODED, expert.severity.NOTE),
  repeated_request = ProtoExpert.new("pssst.repeated_request", "The same request again",
    expert.group.SEQUENCE, expert.severity.NOTE),
  repeated_reply = ProtoExpert.new("pssst.repeated_reply", "The same reply again",
    expert.group.SEQUENCE, expert.severity.NOTE),
  other_request = ProtoExpert.new("pssst.other_request",
    "Another request with the same exchange value, or its first 8 bytes: changed, or made up",
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
  e.truncated, e.no_padding, e.reserved, e.suite, e.enrolment, e.cut, e.repeated_request, e.repeated_reply,
  e.other_request, e.no_request, e.different, e.different_safe,
}

pssst.prefs.port = Pref.uint("UDP port", DEFAULT_PORT, "The server's UDP port; 0 for none")

-- Relations, found when a frame is first visited: transactions by suite and exchange value, and the
-- relations of each packet by its frame and its place in it.
local transactions = {}
local relations = {}

function pssst.init()
  transactions = {}
  relations = {}
end

-- Finds the packets before this one that it belongs to.
local function relate(packet)
  local relation = {}
  local transaction = transactions[packet.transaction]
  if not transaction then
    transaction = { requests = {}, replies = {} }
    transactions[packet.transaction] = transaction
  end
  local earlier = packet.is_reply and transaction.replies or transaction.requests
  local other
  for _, seen in ipairs(earlier) do
    -- Of a packet that is not whole, nothing can be said.
    if packet.bytes and seen.bytes then
      if seen.bytes == packet.bytes then
        relation.repeats = relation.repeats or seen.frame
      else
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

-- The flags that are set and must not be. An unknown suite is judged like the newer ones. [R-03]
local function reserved_flags(flags, suite)
  if suite == SUITE_1 then
    return flags % CLIENT_AUTH
  end
  local reserved = flags % FRESH_REPLY
  if is_set(flags, PRE_SHARED_KEY) and (not is_set(flags, CLIENT_AUTH) or suite == SUITE_ENROLMENT) then
    reserved = reserved + PRE_SHARED_KEY
  end
  return reserved
end

local function show_flags(tree, buffer, flags, suite)
  local subtree = tree:add(f.flags, buffer)
  subtree:add(f.reply, buffer)
  subtree:add(f.client_auth, buffer)
  if suite ~= SUITE_1 then
    subtree:add(f.padded, buffer)
    subtree:add(f.pre_shared_key, buffer)
    subtree:add(f.fresh_reply, buffer)
  end
  local reserved = reserved_flags(flags, suite)
  local item = subtree:add(f.reserved, buffer, reserved)
  if reserved ~= 0 then
    item:add_proto_expert_info(e.reserved)
  end
end

-- The fields between header and ciphertext, and the bytes of a proof in the ciphertext; nothing for
-- an unknown suite. [R-01]
local function layout(flags, suite)
  local is_reply = is_set(flags, REPLY)
  local is_authenticated_request = not is_reply and is_set(flags, CLIENT_AUTH)
  if not SUITES[suite] then
    return nil
  end
  if suite == SUITE_1 then
    return { { f.value, VALUE_LEN } }, is_authenticated_request and PROOF_LEN or 0
  end
  local fields = { { f.value, is_reply and SHORT_VALUE_LEN or VALUE_LEN } }
  if is_reply and is_set(flags, FRESH_REPLY) then
    table.insert(fields, { f.reply_value, VALUE_LEN })
  end
  if not is_reply and suite == SUITE_XWING then
    table.insert(fields, { f.kem_ciphertext, KEM_CIPHERTEXT_LEN })
  end
  if is_authenticated_request then
    table.insert(fields, { f.masked_key, MASKED_KEY_LEN })
    table.insert(fields, { f.key_check, KEY_CHECK_LEN })
  end
  return fields, 0
end

-- The shortest packet of an unknown suite, or with an unknown header (no flags).
local function least_length(flags)
  local is_request = flags and not is_set(flags, REPLY)
  return HEADER_LEN + (is_request and VALUE_LEN or SHORT_VALUE_LEN) + TAG_LEN
end

local function show_data(tree, buffer)
  if buffer:captured_len() > HEADER_LEN then
    tree:add(f.data, buffer(HEADER_LEN))
  end
end

local function describe(flags, suite, length)
  local is_reply = is_set(flags, REPLY)
  local whose = is_set(flags, CLIENT_AUTH) and "authenticated" or "anonymous"
  local text = (is_reply and "Reply to an " or "") .. whose .. " request"
  text = text:sub(1, 1):upper() .. text:sub(2)
  if suite ~= SUITE_1 then
    text = text .. (is_set(flags, PRE_SHARED_KEY) and ", pre-shared key" or "")
      .. (is_set(flags, FRESH_REPLY) and ", fresh reply" or "")
      .. (is_set(flags, PADDED) and ", padded" or "")
  end
  return string.format("%s, suite 0x%04x, %d bytes", text, suite, length)
end

-- The fields of a packet that is long enough for them. Returns the number of bytes before the
-- ciphertext.
local function show_fields(tree, buffer, fields, proof_len, is_padded)
  local length = buffer:reported_len()
  local captured = buffer:captured_len()
  local place = HEADER_LEN
  for _, field in ipairs(fields) do
    if captured >= place + field[2] then
      tree:add(field[1], buffer(place, field[2]))
    end
    place = place + field[2]
  end
  local ciphertext_length = length - place - TAG_LEN
  if ciphertext_length > 0 and captured >= place + ciphertext_length then
    tree:add(f.ciphertext, buffer(place, ciphertext_length))
  end
  tree:add(f.ciphertext_length, ciphertext_length):set_generated()
  if captured >= length then
    tree:add(f.tag, buffer(length - TAG_LEN, TAG_LEN))
  end
  local overhead = place + proof_len + TAG_LEN
  tree:add(f.overhead, overhead):set_generated()
  if not is_padded then
    tree:add(f.message_length, length - overhead):set_generated()
  elseif ciphertext_length == 0 then
    tree:add_proto_expert_info(e.no_padding)
  end
end

function pssst.dissector(buffer, pinfo, root)
  local length = buffer:reported_len()
  local captured = buffer:captured_len()
  pinfo.cols.protocol = "PSSST"
  local tree = root:add(pssst, buffer())
  if captured < length then
    tree:add_proto_expert_info(e.cut)
  end
  local flags, suite, fields, proof_len
  local minimum = least_length(nil)
  if captured >= HEADER_LEN then
    flags = buffer(0, 2):uint()
    suite = buffer(2, 2):uint()
    show_flags(tree, buffer(0, 2), flags, suite)
    local item = tree:add(f.suite, buffer(2, 2))
    if not SUITES[suite] then
      item:add_proto_expert_info(e.suite)
    elseif suite == SUITE_ENROLMENT then
      item:add_proto_expert_info(e.enrolment)
    end
    tree:add(f.kind, buffer(0, 2), is_set(flags, REPLY) and "reply" or "request"):set_generated()
    fields, proof_len = layout(flags, suite)
    minimum = least_length(flags)
    if fields then
      minimum = HEADER_LEN + proof_len + TAG_LEN
      for _, field in ipairs(fields) do
        minimum = minimum + field[2]
      end
    end
  end
  -- [R-05]
  if length < minimum then
    tree:add_proto_expert_info(e.truncated)
    show_data(tree, buffer)
    pinfo.cols.info = string.format("Too short: %d bytes", length)
    return captured
  end
  if not suite then
    pinfo.cols.info = "Cut by the capture"
    return captured
  end
  pinfo.cols.info = describe(flags, suite, length)
  if not fields then
    show_data(tree, buffer)
    return captured
  end
  show_fields(tree, buffer, fields, proof_len, suite ~= SUITE_1 and is_set(flags, PADDED))

  local value_len = fields[1][2]
  if captured >= HEADER_LEN + value_len then
    local is_reply = is_set(flags, REPLY)
    -- Under suite 1 all of the exchange value is in both packets.
    local shared_len = suite == SUITE_1 and VALUE_LEN or SHORT_VALUE_LEN
    local packet = {
      frame = pinfo.number,
      time = pinfo.rel_ts,
      is_reply = is_reply,
      suite = suite,
      transaction = buffer(2, 2 + shared_len):bytes():raw(),
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
