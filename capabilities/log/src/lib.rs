//! The capability `log`: structured lines of a service, bounded per request.
//!
//! The lines go where a guest's stdout goes too: to the platform's log, with tenant, service and
//! request, and into the ring that the engine keeps per service.

mod bindings {
    wasmtime::component::bindgen!({
        path: "../../contracts/wit",
        inline: "package terrace:capability; world log-host { import terrace:platform/log@0.1.0; }",
        world: "terrace:capability/log-host",
    });
}

mod standard;

use bindings::terrace::platform::log::{self, add_to_linker};
use terrace_compute_capability::{Capability, Guest, Level};
use wasmtime::component::{HasData, Linker};

/// The `log` capability.
#[derive(Debug)]
pub struct Log;

impl Capability for Log {
    fn name(&self) -> &'static str {
        "log"
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &["terrace:platform/log", "wasi:logging/logging"]
    }

    fn link(&self, linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
        add_to_linker::<_, Self>(linker, |guest: &mut Guest| Writer(guest))?;
        standard::add_to_linker::<_, Self>(linker, |guest: &mut Guest| Writer(guest))
    }
}

impl HasData for Log {
    type Data<'a> = Writer<'a>;
}

/// Host state of the interface: the guest whose log is written.
pub struct Writer<'a>(&'a mut Guest);

impl log::Host for Writer<'_> {
    fn write(&mut self, level: log::Level, message: String) {
        let level = match level {
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        self.0.log_line(level, &message);
    }
}
