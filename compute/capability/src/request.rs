//! The interface `terrace:platform/request`: who asks. Granted to every service.

/// The generated types. `capabilities/token` shares `Caller` with them.
pub mod bindings {
    #![expect(missing_docs, reason = "generated from the WIT files, which are documented")]
    wasmtime::component::bindgen!({
        path: "../../contracts/wit",
        inline: "package terrace:capability; world request-host { import terrace:platform/request@0.1.0; }",
        world: "terrace:capability/request-host",
    });
}

use bindings::terrace::platform::request::{Caller, Host, Tenant, add_to_linker};
use wasmtime::component::{HasSelf, Linker};

use crate::{Capability, Guest};

/// The `request` interface. The engine links it into every release.
#[derive(Debug)]
pub struct Request;

impl Capability for Request {
    fn name(&self) -> &'static str {
        "request"
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &["terrace:platform/request"]
    }

    fn link(&self, linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
        add_to_linker::<_, HasSelf<_>>(linker, |guest: &mut Guest| guest)
    }
}

impl Host for Guest {
    fn get_tenant(&mut self) -> Tenant {
        let tenant = &self.invocation().tenant;
        Tenant {
            id: tenant.id.to_string(),
            slug: tenant.slug.to_string(),
            name: tenant.name.clone(),
            plan: tenant.plan.clone(),
        }
    }

    fn get_caller(&mut self) -> Option<Caller> {
        self.invocation().caller.as_deref().map(|caller| Caller {
            member: caller.member.clone(),
            name: caller.name.clone(),
            role: caller.role.clone(),
        })
    }

    fn id(&mut self) -> String {
        self.invocation().request.to_string()
    }
}
