//! `wasi:config/store`, for components that were not written for Terrace. Two drafts are in use, which
//! differ in nothing but their version.

/// The host's side of one version of the interface.
macro_rules! version {
    ($module:ident, $wit:literal) => {
        mod $module {
            mod bindings {
                wasmtime::component::bindgen!({
                    inline: $wit,
                    world: "imports",
                    imports: { default: async | trappable },
                });
            }

            pub(super) use bindings::wasi::config::store::add_to_linker;
            pub(super) use bindings::wasi::config::store::{Error, Host};

            use crate::{Reader, Unavailable};

            impl Host for Reader<'_> {
                async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, Error>> {
                    // A name that the manifest does not list is a name that nobody has set.
                    Ok(self.find(&key).await?.map_err(failed))
                }

                async fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, Error>> {
                    let mut all = Vec::new();
                    for name in self.listed() {
                        match self.find(name.as_str()).await? {
                            Ok(Some(value)) => all.push((name.to_string(), value)),
                            Ok(None) => {}
                            Err(error) => return Ok(Err(failed(error))),
                        }
                    }
                    Ok(Ok(all))
                }
            }

            fn failed(error: Unavailable) -> Error {
                Error::Io(error.0)
            }
        }
    };
}

version!(
    draft,
    "package wasi:config@0.2.0-draft-2024-09-27;
    interface store {
        variant error { upstream(string), io(string) }
        get: func(key: string) -> result<option<string>, error>;
        get-all: func() -> result<list<tuple<string, string>>, error>;
    }
    world imports { import store; }"
);
version!(
    candidate,
    "package wasi:config@0.2.0-rc.1;
    interface store {
        variant error { upstream(string), io(string) }
        get: func(key: string) -> result<option<string>, error>;
        get-all: func() -> result<list<tuple<string, string>>, error>;
    }
    world imports { import store; }"
);

use terrace_compute_capability::Guest;
use wasmtime::component::Linker;

use crate::{Config, Reader};

/// Adds both versions.
pub(crate) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    draft::add_to_linker::<_, Config>(linker, |guest: &mut Guest| Reader(guest))?;
    candidate::add_to_linker::<_, Config>(linker, |guest: &mut Guest| Reader(guest))
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Instant};

    use async_trait::async_trait;
    use terrace_compute_capability::{Capability as _, Invocation, Limits, Logs, Release, Shared, TenantFacts};
    use terrace_ground_ids::{ReleaseId, RequestId, ServiceName, SettingName, TenantId};
    use wasmtime::{
        Engine,
        component::{Component, Linker},
    };

    use super::*;
    use crate::{Names, Unavailable, Values};

    /// Imports the interface, as a component that was made for it does.
    fn component(version: &str) -> String {
        format!(
            r#"(component
                (import "wasi:config/store@{version}" (instance
                    (type $given (variant (case "upstream" string) (case "io" string)))
                    (export "error" (type $error (eq $given)))
                    (export "get" (func (param "key" string) (result (result (option string) (error $error)))))
                    (export "get-all" (func (result (result (list (tuple string string)) (error $error))))))))"#
        )
    }

    struct Fixed;

    #[async_trait]
    impl Values for Fixed {
        async fn value(
            &self,
            _: &TenantId,
            _: &ServiceName,
            name: &SettingName,
        ) -> Result<Option<String>, Unavailable> {
            match name.as_str() {
                "greeting" => Ok(Some("Hello".to_owned())),
                "unset" => Ok(None),
                _ => Err(Unavailable("never asked for".to_owned())),
            }
        }
    }

    #[tokio::test]
    async fn a_component_that_knows_wasi_config_reads_what_the_manifest_lists() {
        let engine = Engine::default();
        let mut linker = Linker::<Guest>::new(&engine);
        let (config, mut shared) = (Config::new(Arc::new(Fixed)), Shared::default());
        config.link(&mut linker).unwrap();
        config.share(&mut shared);
        for version in ["0.2.0-draft-2024-09-27", "0.2.0-rc.1"] {
            let component = Component::new(&engine, wat::parse_str(component(version)).unwrap()).unwrap();
            assert!(linker.instantiate_pre(&component).is_ok(), "{version}");
        }

        let names = ["greeting", "unset"].map(|name| name.parse().unwrap());
        shared.insert(Arc::new(Names(names.into())));
        let mut guest = guest(shared);
        let mut reader = Reader(&mut guest);
        for (name, expected) in [("greeting", Some("Hello")), ("unset", None), ("unlisted", None)] {
            let answer = candidate::Host::get(&mut reader, name.to_owned())
                .await
                .unwrap()
                .unwrap();
            assert_eq!(answer.as_deref(), expected, "{name}");
        }
        let all = draft::Host::get_all(&mut reader).await.unwrap().unwrap();
        assert_eq!(all, [("greeting".to_owned(), "Hello".to_owned())]);
    }

    fn guest(shared: Shared) -> Guest {
        let tenant = TenantFacts {
            id: TenantId::random(),
            slug: "acme".parse().unwrap(),
            name: "Acme".into(),
            plan: "free".into(),
        };
        let id = ReleaseId::random();
        let invocation = Invocation {
            tenant: Arc::new(tenant),
            service: "tasks".parse().unwrap(),
            release: id.clone(),
            caller: None,
            request: RequestId::random(),
            deadline: Instant::now(),
            depth: 0,
            delivery: None,
        };
        let service = "tasks".parse().unwrap();
        let release = Release {
            id,
            service,
            limits: Limits::default(),
            calls: Vec::new(),
            shared,
        };
        Guest::new(Arc::new(release), Arc::new(invocation), Arc::new(Logs::default()))
    }
}
