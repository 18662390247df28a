//! Gives a component what its manifest lists, and nothing else.

use std::sync::Arc;

use terrace_compute_capability::{Capability, Guest, Shared, request::Request};
use wasmtime::component::{Component, InstancePre, Linker};

use crate::{Error, preview::Preview};

/// What the granted capabilities leave for their host functions, and what the manifest grants to them.
pub(crate) fn share(granted: &[String], grants: &Shared, known: &[Arc<dyn Capability>]) -> Result<Shared, Error> {
    let mut shared = grants.clone();
    for name in granted {
        find(name, known)?.share(&mut shared);
    }
    Ok(shared)
}

/// Links a component. Done once per load of a release, never per request.
pub(crate) fn link(
    component: &Component,
    preview: Preview,
    granted: &[String],
    known: &[Arc<dyn Capability>],
) -> Result<InstancePre<Guest>, Error> {
    let engine = component.engine();
    let mut linker = Linker::<Guest>::new(engine);
    let failed = |error: wasmtime::Error| Error::Link(format!("{error:#}"));

    wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(failed)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker).map_err(failed)?;
    if preview == Preview::Three {
        // Beside those of preview 2, which a language's own library imports for a while longer.
        wasmtime_wasi::p3::add_to_linker(&mut linker).map_err(failed)?;
        wasmtime_wasi_http::p3::add_to_linker(&mut linker).map_err(failed)?;
    }
    Request.link(&mut linker).map_err(failed)?;
    for name in granted {
        find(name, known)?.link(&mut linker).map_err(failed)?;
    }

    for (import, _) in component.component_type().imports(engine) {
        let interface = import.split('@').next().unwrap_or(import);
        let provider = known
            .iter()
            .find(|capability| capability.interfaces().contains(&interface));
        if let Some(provider) = provider
            && !granted.iter().any(|name| name == provider.name())
        {
            return Err(Error::NotGranted {
                import: interface.to_owned(),
                capability: provider.name(),
            });
        }
    }
    linker.instantiate_pre(component).map_err(failed)
}

fn find<'a>(name: &str, known: &'a [Arc<dyn Capability>]) -> Result<&'a Arc<dyn Capability>, Error> {
    let found = known.iter().find(|capability| capability.name() == name);
    found.ok_or_else(|| Error::UnknownCapability {
        name: name.to_owned(),
        nearest: nearest(name, known),
    })
}

/// The known word that a typing error is most likely to have come from.
fn nearest(name: &str, known: &[Arc<dyn Capability>]) -> Option<&'static str> {
    known
        .iter()
        .map(|capability| (strsim::damerau_levenshtein(name, capability.name()), capability.name()))
        .min()
        .filter(|(distance, _)| *distance <= 2)
        .map(|(_, nearest)| nearest)
}
