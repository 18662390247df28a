//! The capability `random`: randomness of the operating system, as bytes and as text.

mod bindings {
    wasmtime::component::bindgen!({
        path: "../../contracts/wit",
        inline: "package terrace:capability; world random-host { import terrace:platform/random@0.1.0; }",
        world: "terrace:capability/random-host",
        imports: { default: trappable },
    });
}

use bindings::terrace::platform::random::{self, add_to_linker};
use data_encoding::BASE64URL_NOPAD;
use terrace_compute_capability::{Capability, Guest};
use wasmtime::component::{HasData, Linker};

/// Bytes of one call. Said in the WIT file too.
const BYTES_MAX: u32 = 65_536;

/// The `random` capability.
#[derive(Debug)]
pub struct Random;

impl Capability for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &["terrace:platform/random"]
    }

    fn link(&self, linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
        add_to_linker::<_, Self>(linker, |_guest: &mut Guest| Source)
    }
}

impl HasData for Random {
    type Data<'a> = Source;
}

/// Host state of the interface: none. Randomness belongs to no request.
#[derive(Debug)]
pub struct Source;

impl random::Host for Source {
    fn bytes(&mut self, count: u32) -> wasmtime::Result<Vec<u8>> {
        // Fewer than asked for would be a short key that nobody notices.
        if count > BYTES_MAX {
            return Err(wasmtime::Error::msg(format!(
                "random.bytes: {count} bytes were asked for, and one call gives at most {BYTES_MAX}"
            )));
        }
        let mut bytes = vec![0; count as usize];
        fill(&mut bytes)?;
        Ok(bytes)
    }

    fn text(&mut self) -> wasmtime::Result<String> {
        let mut bytes = [0_u8; 32];
        fill(&mut bytes)?;
        Ok(BASE64URL_NOPAD.encode(&bytes))
    }
}

fn fill(bytes: &mut [u8]) -> wasmtime::Result<()> {
    getrandom::fill(bytes).map_err(|error| wasmtime::Error::msg(format!("operating system randomness: {error}")))
}

#[cfg(test)]
mod tests {
    use super::{random::Host as _, *};

    #[test]
    fn a_call_gives_what_was_asked_for_or_fails() {
        assert_eq!(Source.bytes(0).unwrap().len(), 0);
        assert_eq!(Source.bytes(BYTES_MAX).unwrap().len(), 65_536);
        assert!(Source.bytes(BYTES_MAX + 1).is_err());
        assert_eq!(Source.text().unwrap().len(), 43);
        assert_ne!(Source.text().unwrap(), Source.text().unwrap());
    }
}
