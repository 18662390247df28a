//! The capability `token`: signs short session tokens for the request's tenant, and makes values
//! that nobody can guess. The key never enters a guest.
//!
//! A guest chooses the member, name and role of a token, so only the service that keeps the members
//! (identity) should list this capability. It cannot choose the tenant or the purpose.

mod bindings {
    wasmtime::component::bindgen!({
        path: "../../contracts/wit",
        inline: "package terrace:capability; world token-host { import terrace:platform/token@0.1.0; }",
        world: "terrace:capability/token-host",
        imports: { default: trappable },
        with: { "terrace:platform/request": terrace_compute_capability::request::bindings::terrace::platform::request },
    });
}

use std::sync::Arc;

use bindings::terrace::platform::token::{self, add_to_linker};
use data_encoding::BASE64URL_NOPAD;
use terrace_compute_capability::{Capability, Guest, Shared, request::bindings::terrace::platform::request::Caller};
use terrace_ground_token::{Keys, Member};
use wasmtime::component::{HasData, Linker};

/// The longest life of a token, in seconds: an hour. Longer sessions are refreshed.
const LIFETIME_SECONDS_MAX: u32 = 3_600;

/// The `token` capability.
pub struct Token {
    keys: Arc<Keys>,
}

impl Token {
    /// Signs with `keys`.
    pub fn new(keys: Arc<Keys>) -> Self {
        Self { keys }
    }
}

impl Capability for Token {
    fn name(&self) -> &'static str {
        "token"
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &["terrace:platform/token"]
    }

    fn link(&self, linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
        add_to_linker::<_, Self>(linker, |guest: &mut Guest| Signer(guest))
    }

    fn share(&self, shared: &mut Shared) {
        shared.insert(self.keys.clone());
    }
}

impl HasData for Token {
    type Data<'a> = Signer<'a>;
}

/// Host state of the interface: the guest for whose tenant is signed.
pub struct Signer<'a>(&'a mut Guest);

impl token::Host for Signer<'_> {
    fn sign(&mut self, caller: Caller, lifetime_seconds: u32) -> wasmtime::Result<String> {
        let keys = self.0.shared::<Keys>()?;
        let tenant = self.0.invocation().tenant.id.as_str();
        let member = Member {
            id: &caller.member,
            name: &caller.name,
            role: &caller.role,
        };
        let now = jiff::Timestamp::now().as_second();
        Ok(keys.sign(tenant, &member, now, lifetime_seconds.min(LIFETIME_SECONDS_MAX)))
    }

    fn random(&mut self) -> wasmtime::Result<String> {
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes)
            .map_err(|error| wasmtime::Error::msg(format!("operating system randomness: {error}")))?;
        Ok(BASE64URL_NOPAD.encode(&bytes))
    }
}
