//! The capability `schedule`: work for later, which commits with the data that asks for it.
//!
//! `after` and `cancel` only buffer. What they ask for goes out in the flight of the transaction's
//! COMMIT, which the `sql` capability sends; a rollback forgets it. `events/schedule` brings the jobs.

mod bindings {
    wasmtime::component::bindgen!({
        path: "../../contracts/wit",
        inline: "package terrace:capability; world schedule-host { import terrace:platform/schedule@0.1.0; }",
        world: "terrace:capability/schedule-host",
        require_store_data_send: true,
        imports: { default: trappable },
        with: { "terrace:platform/sql": terrace_capabilities_sql::bindings::terrace::platform::sql },
    });
}

use bindings::terrace::platform::schedule::{self, Job, add_to_linker};
use terrace_capabilities_sql::{
    TransactionHandle,
    bindings::terrace::platform::sql::{Error, ErrorKind},
    buffer,
};
use terrace_compute_capability::{Capability, Guest};
use terrace_events_outbox::{Effect, JobError, NewJob};
use wasmtime::component::{HasData, Linker, Resource};

/// The `schedule` capability. A release that lists it lists `sql` too: a job needs a transaction.
#[derive(Debug)]
pub struct Schedule;

impl Capability for Schedule {
    fn name(&self) -> &'static str {
        "schedule"
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &["terrace:platform/schedule"]
    }

    fn link(&self, linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
        add_to_linker::<_, Self>(linker, |guest: &mut Guest| Planner(guest))
    }
}

impl HasData for Schedule {
    type Data<'a> = Planner<'a>;
}

/// Host state of the interface: the guest that schedules.
pub struct Planner<'a>(&'a mut Guest);

impl Planner<'_> {
    fn add(
        &mut self,
        within: &Resource<TransactionHandle>,
        effect: Result<Effect, JobError>,
    ) -> wasmtime::Result<Result<(), Error>> {
        match effect {
            Ok(effect) => buffer(self.0, within, effect),
            Err(refused) => Ok(Err(Error {
                kind: ErrorKind::BadValue,
                message: refused.to_string(),
                sqlstate: None,
                constraint: None,
            })),
        }
    }
}

impl schedule::Host for Planner<'_> {
    fn after(
        &mut self,
        within: Resource<TransactionHandle>,
        job: Job,
        delay_ms: u64,
    ) -> wasmtime::Result<Result<(), Error>> {
        let job = NewJob::new(&job.name, &job.key, &job.payload, delay_ms);
        self.add(&within, job.map(Effect::Job))
    }

    fn cancel(
        &mut self,
        within: Resource<TransactionHandle>,
        name: String,
        key: String,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.add(&within, NewJob::cancel(&name, &key).map(Effect::Job))
    }
}
