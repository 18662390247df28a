//! The capability `events`: facts that commit with the data that caused them.
//!
//! `publish` only buffers. The events go out in the flight of the transaction's COMMIT, which the
//! `sql` capability sends; a rollback forgets them.

mod bindings {
    wasmtime::component::bindgen!({
        path: "../../contracts/wit",
        inline: "package terrace:capability; world events-host { import terrace:platform/events@0.1.0; }",
        world: "terrace:capability/events-host",
        require_store_data_send: true,
        imports: { default: trappable },
        with: { "terrace:platform/sql": terrace_capabilities_sql::bindings::terrace::platform::sql },
    });
}

use bindings::terrace::platform::events::{self, Event, add_to_linker};
use terrace_capabilities_sql::{
    TransactionHandle,
    bindings::terrace::platform::sql::{Error, ErrorKind},
    buffer,
};
use terrace_compute_capability::{Capability, Guest};
use terrace_events_outbox::{Effect, NewEvent};
use wasmtime::component::{HasData, Linker, Resource};

/// The `events` capability. A release that lists it lists `sql` too: an event needs a transaction.
#[derive(Debug)]
pub struct Events;

impl Capability for Events {
    fn name(&self) -> &'static str {
        "events"
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &["terrace:platform/events"]
    }

    fn link(&self, linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
        add_to_linker::<_, Self>(linker, |guest: &mut Guest| Publisher(guest))
    }
}

impl HasData for Events {
    type Data<'a> = Publisher<'a>;
}

/// Host state of the interface: the guest that publishes.
pub struct Publisher<'a>(&'a mut Guest);

impl events::Host for Publisher<'_> {
    fn publish(&mut self, within: Resource<TransactionHandle>, event: Event) -> wasmtime::Result<Result<(), Error>> {
        match NewEvent::new(&event.type_, &event.topic, &event.data) {
            Ok(event) => buffer(self.0, &within, Effect::Event(event)),
            Err(refused) => Ok(Err(Error {
                kind: ErrorKind::BadValue,
                message: refused.to_string(),
                sqlstate: None,
                constraint: None,
            })),
        }
    }
}
