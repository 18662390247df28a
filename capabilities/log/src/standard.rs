//! `wasi:logging/logging`, for components that were not written for Terrace.

mod bindings {
    wasmtime::component::bindgen!({
        inline: "package wasi:logging@0.1.0-draft;
            interface logging {
                enum level { trace, debug, info, warn, error, critical }
                log: func(level: level, context: string, message: string);
            }
            world imports { import logging; }",
        world: "imports",
    });
}

pub(crate) use bindings::wasi::logging::logging::add_to_linker;
use bindings::wasi::logging::logging::{Host, Level as Given};
use terrace_compute_capability::Level;

use crate::Writer;

impl Host for Writer<'_> {
    fn log(&mut self, level: Given, context: String, message: String) {
        let level = match level {
            Given::Trace | Given::Debug => Level::Debug,
            Given::Info => Level::Info,
            Given::Warn => Level::Warn,
            Given::Error | Given::Critical => Level::Error,
        };
        if context.is_empty() {
            self.0.log_line(level, &message);
        } else {
            self.0.log_line(level, &format!("{context}: {message}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Instant};

    use terrace_compute_capability::{Capability as _, Guest, Invocation, Limits, Logs, Release, Shared, TenantFacts};
    use terrace_ground_ids::{ReleaseId, RequestId, TenantId};
    use wasmtime::{
        Engine, Store,
        component::{Component, Linker},
    };

    use super::*;
    use crate::Log;

    /// Says `hello` in the context `ctx`, as a warning.
    const COMPONENT: &str = r#"(component
        (import "wasi:logging/logging@0.1.0-draft" (instance $logging
            (type $given (enum "trace" "debug" "info" "warn" "error" "critical"))
            (export "level" (type $level (eq $given)))
            (export "log" (func (param "level" $level) (param "context" string) (param "message" string)))))
        (core module $memory (memory (export "memory") 1) (data (i32.const 0) "ctxhello"))
        (core instance $memory (instantiate $memory))
        (core func $log (canon lower (func $logging "log") (memory (core memory $memory "memory"))))
        (core module $guest
            (import "host" "log" (func $log (param i32 i32 i32 i32 i32)))
            (func (export "run")
                (call $log (i32.const 3) (i32.const 0) (i32.const 3) (i32.const 3) (i32.const 5))))
        (core instance $guest (instantiate $guest (with "host" (instance (export "log" (func $log))))))
        (func (export "run") (canon lift (core func $guest "run"))))"#;

    #[test]
    fn a_component_that_knows_wasi_logging_writes_to_its_services_log() {
        let engine = Engine::default();
        let mut linker = Linker::<Guest>::new(&engine);
        Log.link(&mut linker).unwrap();
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
        let release = Release {
            id,
            service: "tasks".parse().unwrap(),
            limits: Limits::default(),
            calls: Vec::new(),
            shared: Shared::default(),
        };
        let logs = Arc::new(Logs::default());
        let guest = Guest::new(Arc::new(release), Arc::new(invocation), logs.clone());
        let mut store = Store::new(&engine, guest);
        let component = Component::new(&engine, wat::parse_str(COMPONENT).unwrap()).unwrap();
        let instance = linker.instantiate(&mut store, &component).unwrap();
        let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
        run.call(&mut store, ()).unwrap();
        let lines = logs.after(0, Some(&"tasks".parse().unwrap()));
        assert_eq!((&*lines[0].message, lines[0].level), ("ctx: hello", Level::Warn));
    }
}
