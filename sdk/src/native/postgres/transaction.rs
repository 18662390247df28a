//! A transaction of the native host.

use std::{collections::VecDeque, sync::PoisonError, time::Duration};

use async_trait::async_trait;
use deadpool_postgres::Object;

use super::{Postgres, Published, Scheduled, from_postgres, other, run};
use crate::{
    db::{Error, Rows, Value},
    native::HostTransaction,
};

/// An open transaction. Its connection leaves the pool when it is dropped half-way: closing it is
/// the one rollback that needs no answer.
pub(super) struct Transaction {
    client: Option<Object>,
    host: Postgres,
    events: Vec<Published>,
    /// A job, or the name and key of one that is taken back.
    jobs: Vec<Result<Scheduled, (String, String)>>,
    /// How many events and jobs there were at each savepoint.
    marks: Vec<(usize, usize)>,
    scans: Vec<VecDeque<Rows>>,
}

impl Transaction {
    pub(super) fn new(client: Object, host: &Postgres) -> Self {
        Self {
            client: Some(client),
            host: host.clone(),
            events: Vec::new(),
            jobs: Vec::new(),
            marks: Vec::new(),
            scans: Vec::new(),
        }
    }

    fn client(&self) -> Result<&Object, Error> {
        self.client
            .as_ref()
            .ok_or_else(|| Error::bad_value("the transaction is over"))
    }

    async fn utility(&self, sql: &str) -> Result<(), Error> {
        self.client()?.batch_execute(sql).await.map_err(from_postgres)
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            drop(Object::take(client));
        }
    }
}

#[async_trait]
impl HostTransaction for Transaction {
    async fn query(&mut self, statement: &str, params: Vec<Value>) -> Result<Rows, Error> {
        self.host.record(statement);
        run(self.client()?, statement, &params).await
    }

    async fn savepoint(&mut self) -> Result<u32, Error> {
        let number = u32::try_from(self.marks.len() + 1).map_err(other)?;
        self.utility(&format!("SAVEPOINT s{number}")).await?;
        self.marks.push((self.events.len(), self.jobs.len()));
        Ok(number)
    }

    async fn rollback_to(&mut self, savepoint: u32) -> Result<(), Error> {
        self.utility(&format!("ROLLBACK TO SAVEPOINT s{savepoint}")).await?;
        let mark = usize::try_from(savepoint)
            .ok()
            .and_then(|number| self.marks.get(number.checked_sub(1)?));
        if let Some((events, jobs)) = mark.copied() {
            self.events.truncate(events);
            self.jobs.truncate(jobs);
        }
        Ok(())
    }

    async fn release(&mut self, savepoint: u32) -> Result<(), Error> {
        self.utility(&format!("RELEASE SAVEPOINT s{savepoint}")).await
    }

    // This host holds the whole result: what a test sees is the same, what it costs is not.
    async fn scan(&mut self, statement: &str, params: Vec<Value>) -> Result<u32, Error> {
        let rows = self.query(statement, params).await?;
        self.scans.push(rows.batches(8));
        u32::try_from(self.scans.len()).map_err(other)
    }

    async fn next(&mut self, scan: u32) -> Result<Option<Rows>, Error> {
        let scan = usize::try_from(scan)
            .ok()
            .and_then(|number| self.scans.get_mut(number.checked_sub(1)?));
        Ok(scan.and_then(VecDeque::pop_front))
    }

    fn close(&mut self, scan: u32) {
        let scan = usize::try_from(scan)
            .ok()
            .and_then(|number| self.scans.get_mut(number.checked_sub(1)?));
        if let Some(scan) = scan {
            scan.clear();
        }
    }

    fn publish(&mut self, kind: &str, topic: &str, data: String) -> Result<(), Error> {
        let data = serde_json::from_str(&data).map_err(|error| Error::bad_value(error.to_string()))?;
        self.events.push(Published {
            kind: kind.to_owned(),
            topic: topic.to_owned(),
            data,
        });
        Ok(())
    }

    fn after(&mut self, name: &str, key: &str, payload: String, delay_ms: u64) -> Result<(), Error> {
        let payload = serde_json::from_str(&payload).map_err(|error| Error::bad_value(error.to_string()))?;
        self.jobs.push(Ok(Scheduled {
            name: name.to_owned(),
            key: key.to_owned(),
            payload,
            delay: Duration::from_millis(delay_ms),
        }));
        Ok(())
    }

    fn cancel(&mut self, name: &str, key: &str) -> Result<(), Error> {
        self.jobs.push(Err((name.to_owned(), key.to_owned())));
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<(), Error> {
        self.client()?.batch_execute("COMMIT").await.map_err(from_postgres)?;
        drop(self.client.take());
        let events = std::mem::take(&mut self.events);
        self.host
            .published
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(events);
        let jobs = std::mem::take(&mut self.jobs);
        let mut scheduled = self.host.scheduled.lock().unwrap_or_else(PoisonError::into_inner);
        for job in jobs {
            let (name, key) = match &job {
                Ok(job) => (job.name.as_str(), job.key.as_str()),
                Err((name, key)) => (name.as_str(), key.as_str()),
            };
            scheduled.retain(|known| key.is_empty() || known.name != name || known.key != key);
            scheduled.extend(job.ok());
        }
        Ok(())
    }

    async fn rollback(mut self: Box<Self>) {
        if let Some(client) = self.client.take()
            && client.batch_execute("ROLLBACK").await.is_err()
        {
            drop(Object::take(client));
        }
    }
}
