//! The capability `clock`: the time, in the host's words.

mod bindings {
    wasmtime::component::bindgen!({
        path: "../../contracts/wit",
        inline: "package terrace:capability; world clock-host { import terrace:platform/clock@0.1.0; }",
        world: "terrace:capability/clock-host",
    });
}

use bindings::terrace::platform::clock::{self, add_to_linker};
use terrace_compute_capability::{Capability, Guest};
use wasmtime::component::{HasData, Linker};

/// The `clock` capability.
#[derive(Debug)]
pub struct Clock;

impl Capability for Clock {
    fn name(&self) -> &'static str {
        "clock"
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &["terrace:platform/clock"]
    }

    fn link(&self, linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
        add_to_linker::<_, Self>(linker, |_guest: &mut Guest| Now)
    }
}

impl HasData for Clock {
    type Data<'a> = Now;
}

/// Host state of the interface: none. A guest's clock needs nothing of its request.
#[derive(Debug)]
pub struct Now;

impl clock::Host for Now {
    fn now(&mut self) -> i64 {
        jiff::Timestamp::now().as_microsecond()
    }
}
