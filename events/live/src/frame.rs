//! The text of server-sent events, as the HTML standard's section 9.2 reads it.

use bytes::Bytes;
use terrace_events_log::Event;

/// An event of the stream. The `id` is what comes back as `Last-Event-ID`.
pub(crate) fn event(event: &Event) -> Bytes {
    // JSON text has no line break outside of strings, and inside they are escaped; PostgreSQL's
    // jsonb prints none either. So one `data:` line is always enough.
    format!("event: event\nid: {}\ndata: {}\n\n", event.seq, event.to_json()).into()
}

/// The stream is current. Its `id` lets a client that saw no event resume from here.
pub(crate) fn caught_up(seq: u64) -> Bytes {
    format!("event: caught-up\nid: {seq}\ndata: {{\"seq\":{seq}}}\n\n").into()
}

/// The cursor cannot be honoured: the client must read everything again, then go on from `seq`.
pub(crate) fn reset(reason: &str, seq: u64) -> Bytes {
    format!("event: reset\nid: {seq}\ndata: {{\"reason\":\"{reason}\",\"seq\":{seq}}}\n\n").into()
}

/// The server is about to close. `retry` also sets the delay of a browser's own `EventSource`.
pub(crate) fn bye(retry_ms: u64) -> Bytes {
    format!("event: bye\nretry: {retry_ms}\ndata: {{\"retry_ms\":{retry_ms}}}\n\n").into()
}

/// Keeps proxies from closing a silent stream. A block without data is no event to a client, but its
/// `id` moves the cursor past events that its topics left out.
pub(crate) fn heartbeat(seq: u64) -> Bytes {
    format!(": heartbeat\nid: {seq}\n\n").into()
}
