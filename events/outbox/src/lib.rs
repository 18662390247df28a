//! Writes events in the transaction of the data that caused them.
//!
//! A capability collects [`NewEvent`]s while a service's transaction runs; at commit it hands
//! [`epilogue`] to the router, which sends it in the flight of COMMIT, and reads the new end of the
//! stream with [`last_seq`]. It never talks to a database itself, and it never says which tenant or
//! service publishes: the database derives both from the role of the transaction.

mod job;

use serde_json::Value as Json;
use terrace_data_router::{Rows, Trusted, Value};

pub use job::{DELAY_MAX_MS, JobError, NewJob, check_name};

/// Most events and jobs in one transaction.
pub const EFFECTS_MAX: usize = 1_000;
/// Longest JSON text of one event's data, in bytes.
pub const DATA_BYTES_MAX: usize = 64 * 1024;
/// Longest type (without the service's name) and longest topic, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// The SQLSTATE of a transaction whose delivery was already consumed by an earlier one. The data of
/// this transaction is rolled back: that is what makes an effect happen once.
pub const ALREADY_CONSUMED: &str = "TE001";

/// Why something is not an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The type is not two or more dotted words.
    #[error("`{0}` is not an event type: expected dotted words of `a-z`, `0-9` and `-`, like `task.created`")]
    Type(String),
    /// The topic is too long or has a control character.
    #[error("a topic is at most {NAME_BYTES_MAX} bytes without control characters, like `board/7`")]
    Topic,
    /// The data is not JSON that PostgreSQL's `jsonb` can hold.
    #[error("an event's data must be JSON: {0}")]
    Data(String),
    /// The data is over [`DATA_BYTES_MAX`].
    #[error("an event's data is at most {DATA_BYTES_MAX} bytes, and this has {0}")]
    TooLarge(usize),
}

/// A fact that is about to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    kind: String,
    topic: String,
    data: String,
}

impl NewEvent {
    /// Checks the three parts of an event.
    ///
    /// `kind` is the type *without* the service's name (`task.created`): the database puts the name
    /// of the publishing service in front, so the stream shows `tasks.task.created` and no service
    /// can speak as another. `topic` may be empty. `data` is JSON text.
    ///
    /// # Errors
    /// One variant of [`Error`] per part. What passes here cannot fail in the database later.
    pub fn new(kind: &str, topic: &str, data: &str) -> Result<Self, Error> {
        if kind.len() > NAME_BYTES_MAX || !kind.split('.').all(is_word) {
            return Err(Error::Type(kind.chars().take(64).collect()));
        }
        if topic.len() > NAME_BYTES_MAX || topic.chars().any(char::is_control) {
            return Err(Error::Topic);
        }
        if data.len() > DATA_BYTES_MAX {
            return Err(Error::TooLarge(data.len()));
        }
        let parsed: Json = serde_json::from_str(data).map_err(|error| Error::Data(error.to_string()))?;
        if has_nul(&parsed) {
            // jsonb cannot hold it, and at commit it would cost the whole transaction.
            return Err(Error::Data("the character U+0000 cannot be stored".to_owned()));
        }
        Ok(Self {
            kind: kind.to_owned(),
            topic: topic.to_owned(),
            data: data.to_owned(),
        })
    }

    /// The type without the service's name.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// What it is about.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The JSON text.
    pub fn data(&self) -> &str {
        &self.data
    }
}

fn is_word(word: &str) -> bool {
    !word.is_empty()
        && word
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn has_nul(value: &Json) -> bool {
    match value {
        Json::String(text) => text.contains('\0'),
        Json::Array(items) => items.iter().any(has_nul),
        Json::Object(fields) => fields.iter().any(|(name, field)| name.contains('\0') || has_nul(field)),
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
    }
}

/// What commits with a transaction beside its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A fact.
    Event(NewEvent),
    /// Work for later, or the taking back of such.
    Job(NewJob),
}

/// What must run in the flight of a commit: advance the consumer's cursor when the transaction is the
/// effect of delivery `consumed`, then write jobs, then events. Empty when there is nothing to do.
///
/// Publishing comes last, because it takes the tenant's counter row, and the shorter that is held,
/// the more transactions of one tenant can publish in a second.
pub fn epilogue(events: &[NewEvent], consumed: Option<u64>) -> Vec<Trusted> {
    let effects: Vec<Effect> = events.iter().cloned().map(Effect::Event).collect();
    epilogue_of(&effects, consumed)
}

/// The same with jobs among the events.
pub fn epilogue_of(effects: &[Effect], consumed: Option<u64>) -> Vec<Trusted> {
    let mut statements = Vec::new();
    if let Some(seq) = consumed {
        let seq = i64::try_from(seq).unwrap_or(i64::MAX);
        statements.push(Trusted {
            sql: "SELECT terrace_events.consume($1) AS consumed",
            params: vec![Value::Integer(seq)],
        });
    }
    let (mut events, mut jobs) = (Vec::new(), Vec::new());
    for effect in effects {
        match effect {
            Effect::Event(event) => events.push(event),
            Effect::Job(job) => jobs.push(job.to_json()),
        }
    }
    if !jobs.is_empty() {
        statements.push(Trusted {
            sql: "SELECT terrace_events.schedule($1) AS scheduled",
            params: vec![Value::Json(format!("[{}]", jobs.join(",")))],
        });
    }
    if !events.is_empty() {
        statements.push(Trusted {
            sql: "SELECT terrace_events.publish($1) AS published",
            params: vec![Value::Json(to_json(&events))],
        });
    }
    statements
}

/// `[{"type":..,"topic":..,"data":..}]`. The data goes in as the service wrote it: reading it into a
/// tree and writing it again would round its numbers.
fn to_json(events: &[&NewEvent]) -> String {
    let mut text = String::with_capacity(events.iter().map(|event| event.data.len() + 64).sum());
    for (index, event) in events.iter().enumerate() {
        text.push(if index == 0 { '[' } else { ',' });
        text.push_str(&format!(
            "{{\"type\":{},\"topic\":{},\"data\":{}}}",
            Json::from(event.kind.as_str()),
            Json::from(event.topic.as_str()),
            event.data
        ));
    }
    text.push(']');
    text
}

/// The tenant's newest sequence number after a commit with events, from the results of the epilogue.
/// The caller rings the bell of the tenant's stream with it. `None` when nothing was published.
pub fn last_seq(results: &[Rows]) -> Option<u64> {
    let rows = results
        .iter()
        .find(|rows| rows.columns.first().is_some_and(|name| name == "published"))?;
    match rows.rows.first()?.first()? {
        Value::Integer(seq) => u64::try_from(*seq).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishing_is_the_last_statement_of_a_commit() {
        let event = NewEvent::new("task.created", "board/7", r#"{"id":12345678901234567890123}"#).unwrap();
        let job = |job: Result<NewJob, JobError>| Effect::Job(job.unwrap());
        let effects = [
            Effect::Event(event.clone()),
            job(NewJob::new("reminder.send", "7", "{\"a\":1.10}", 60_000)),
            Effect::Event(event),
            job(NewJob::cancel("reminder.send", "8")),
        ];
        let statements = epilogue_of(&effects, Some(7));
        assert_eq!(statements.len(), 3);
        assert!(statements[0].sql.contains("consume"));
        assert_eq!(
            statements[1].params,
            vec![Value::Json(
                r#"[{"name":"reminder.send","key":"7","delay_ms":60000,"payload":{"a":1.10}},{"name":"reminder.send","key":"8"}]"#.into()
            )]
        );
        assert_eq!(
            statements[2].params,
            vec![Value::Json(
                r#"[{"type":"task.created","topic":"board/7","data":{"id":12345678901234567890123}},{"type":"task.created","topic":"board/7","data":{"id":12345678901234567890123}}]"#.into()
            )]
        );
        assert!(epilogue(&[], None).is_empty());
    }

    #[test]
    fn what_the_database_could_not_store_is_refused_before_the_commit() {
        for (kind, topic, data) in [
            ("Task.created", "", "{}"),
            ("", "", "{}"),
            ("task..created", "", "{}"),
            ("task.created", "board\n7", "{}"),
            ("task.created", "", "{"),
            ("task.created", "", r#"{"a":"\u0000"}"#),
            ("task.created", "", r#"{"a\u0000":1}"#),
            ("task.created", "", r#""\ud800""#),
        ] {
            assert!(NewEvent::new(kind, topic, data).is_err(), "{kind} {topic} {data}");
        }
        assert!(matches!(
            NewEvent::new("a.b", "", &format!("\"{}\"", "x".repeat(DATA_BYTES_MAX))),
            Err(Error::TooLarge(_))
        ));
    }

    #[test]
    fn the_new_end_of_the_stream_is_found_among_the_results() {
        let rows = |name: &str, seq| Rows {
            columns: vec![name.into()],
            types: vec![20],
            rows: vec![vec![Value::Integer(seq)]],
            affected: 1,
        };
        assert_eq!(last_seq(&[rows("consumed", 3), rows("published", 9)]), Some(9));
        assert_eq!(last_seq(&[rows("consumed", 3)]), None);
    }
}
