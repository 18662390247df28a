//! The lines that services wrote, as the control plane shows them.

use jiff::Timestamp;
use terrace_compute_capability as capability;
use terrace_compute_engine::Logs;
use terrace_control::{Error, LogFilter, LogLevel, LogLine, LogLines, TenantRef};
use terrace_data_tenancy::Directory;
use tokio::time::{Instant, timeout_at};

/// What `filter` asks for: at once if there is a line, or when one comes, or when the wait is over.
pub(crate) async fn read(logs: &Logs, directory: &Directory, filter: &LogFilter) -> Result<LogLines, Error> {
    let deadline = Instant::now() + filter.wait;
    let mut written = logs.last();
    loop {
        // Before the lines are read: one that comes in between is read again rather than missed.
        let last = *written.borrow_and_update();
        let items = matching(logs, directory, filter)?;
        if !items.is_empty() || timeout_at(deadline, written.changed()).await.is_err() {
            let last = items.last().map_or(last, |line| line.number.max(last));
            return Ok(LogLines { items, last });
        }
    }
}

fn matching(logs: &Logs, directory: &Directory, filter: &LogFilter) -> Result<Vec<LogLine>, Error> {
    let view = directory.tenants();
    let tenant = match &filter.tenant {
        None => None,
        Some(reference) => {
            let found = match reference {
                TenantRef::Id(id) => view.by_id(id),
                TenantRef::Slug(slug) => view.by_slug(slug),
            };
            let found = found.ok_or_else(|| Error::NotFound(format!("There is no tenant `{reference}`.")))?;
            Some(found.id.clone())
        }
    };
    let mut lines: Vec<_> = logs
        .after(filter.after, filter.service.as_ref())
        .into_iter()
        .filter(|line| level(line.level) >= filter.level && tenant.as_ref().is_none_or(|tenant| *tenant == line.tenant))
        .collect();
    lines.drain(..lines.len().saturating_sub(filter.limit));
    let shown = lines.into_iter().map(|line| LogLine {
        number: line.number,
        at: Timestamp::from_microsecond(line.at_micros).unwrap_or_default(),
        service: line.service,
        slug: view.by_id(&line.tenant).map(|tenant| tenant.slug.clone()),
        tenant: line.tenant,
        request_id: line.request,
        level: level(line.level),
        message: line.message.as_ref().to_owned(),
    });
    Ok(shown.collect())
}

fn level(level: capability::Level) -> LogLevel {
    match level {
        capability::Level::Debug => LogLevel::Debug,
        capability::Level::Info => LogLevel::Info,
        capability::Level::Warn => LogLevel::Warn,
        capability::Level::Error => LogLevel::Error,
    }
}
