//! The scripts. Each does all of its work in one step of the server.

use std::sync::LazyLock;

/// A script and the name under which the server keeps it.
#[derive(Debug)]
pub(in crate::redis) struct Script {
    pub(in crate::redis) text: String,
    pub(in crate::redis) hash: String,
}

/// The beginning of the scripts for logs: finds the epoch and the newest offset of a log.
///
/// - KEYS: the hash with `epoch`, `offset` and `reign`, the stream.
/// - ARGV\[1\]: the epoch of a log that begins now.
///
/// A reign is the time in which one process of a server is the master (`master_replid`). Redis replicates and writes to
/// disk after it has answered. So at the end of a reign, entries may be lost that were published and delivered, and
/// their offsets would be given a second time. The offset jumps there: no offset is used twice, and each node sees a
/// gap.
const FIND_LOG: &str = r"
local reign = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)') or ''
local known = redis.call('HMGET', KEYS[1], 'epoch', 'reign', 'offset')
local epoch, offset = known[1], known[3]
local is_new = not epoch
if is_new then
  epoch, offset = ARGV[1], '0'
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'reign', reign, 'offset', 0)
  redis.call('DEL', KEYS[2])
elseif known[2] ~= reign then
  offset = string.format('%.0f', redis.call('HINCRBY', KEYS[1], 'offset', '4294967296'))
  redis.call('HSET', KEYS[1], 'reign', reign)
end
";

/// ARGV behind the first: envelope, most entries, milliseconds until the log expires, until the epoch expires, command,
/// channel. Returns the epoch and the offset.
const APPEND: &str = r"
offset = string.format('%.0f', redis.call('HINCRBY', KEYS[1], 'offset', 1))
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[3], offset .. '-0', 'd', ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call(ARGV[6], ARGV[7], 'P' .. epoch .. ':' .. offset .. ':' .. ARGV[2])
return {epoch, offset}
";

/// ARGV behind the first: milliseconds until a new epoch expires, the epoch of the position or nothing, the id to begin
/// at, most entries. Returns the epoch, the newest offset, and the entries.
const READ: &str = r"
if is_new then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
local from = '-'
if ARGV[3] == epoch then from = ARGV[4] end
return {epoch, offset, redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', ARGV[5])}
";

/// The server's time in milliseconds. The nodes' clocks do not matter.
const NOW: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
";

/// KEYS: values by node, times of expiry by node. ARGV: node, milliseconds until it expires, value.
const SET_PRESENCE: &str = r"
for _, node in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now)) do
  redis.call('HDEL', KEYS[1], node)
  redis.call('ZREM', KEYS[2], node)
end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('ZREM', KEYS[2], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
  redis.call('ZADD', KEYS[2], string.format('%.0f', now + ARGV[2]), ARGV[1])
end
for _, key in ipairs(KEYS) do
  if redis.call('PTTL', key) < tonumber(ARGV[2]) then redis.call('PEXPIRE', key, ARGV[2]) end
end
return redis.status_reply('OK')
";

/// KEYS as above. Returns nodes and values in turn.
const GET_PRESENCE: &str = r"
local found = {}
for _, node in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. string.format('%.0f', now), '+inf')) do
  local value = redis.call('HGET', KEYS[1], node)
  if value then
    found[#found + 1] = node
    found[#found + 1] = value
  end
end
return found
";

/// KEYS: a key that does not exist. ARGV: command, channel, payload. Removing a key is a write: it fails on a server
/// that is not the master any more, where publishing alone would work. It does not fail on a server whose memory is
/// full.
const PROBE: &str = r"
redis.call('DEL', KEYS[1])
redis.call(ARGV[1], ARGV[2], ARGV[3])
return redis.status_reply('OK')
";

impl Script {
    fn new(parts: &[&str]) -> Self {
        let text = parts.concat();
        let hash = ::redis::Script::new(&text).get_hash().to_owned();
        Self { text, hash }
    }
}

pub(in crate::redis) static PUBLISH_LOGGED: LazyLock<Script> =
    LazyLock::new(|| Script::new(&[FIND_LOG, APPEND]));
pub(in crate::redis) static READ_LOG: LazyLock<Script> = LazyLock::new(|| Script::new(&[FIND_LOG, READ]));
pub(in crate::redis) static PRESENCE_SET: LazyLock<Script> =
    LazyLock::new(|| Script::new(&[NOW, SET_PRESENCE]));
pub(in crate::redis) static PRESENCE_GET: LazyLock<Script> =
    LazyLock::new(|| Script::new(&[NOW, GET_PRESENCE]));
pub(in crate::redis) static PROBING: LazyLock<Script> = LazyLock::new(|| Script::new(&[PROBE]));

/// All scripts. A new connection loads them, so that the first publication does not need a second try.
pub(super) fn all() -> [&'static Script; 5] {
    [&PUBLISH_LOGGED, &READ_LOG, &PRESENCE_SET, &PRESENCE_GET, &PROBING]
}
