//! Attacks on the sandbox, as one standard `wasi:http` component: the last segment of the path says
//! which. Nothing of Terrace is in it, so that a peer can run it too. What needs more than standard
//! WASI (SQL, calls between services) is in `tests/hostile`; growing a table, which Rust cannot say,
//! is in `table.wat`.

#[cfg(target_family = "wasm")]
mod answer;
#[cfg(target_family = "wasm")]
mod attacks;
#[cfg(target_family = "wasm")]
mod mirror;

#[cfg(target_family = "wasm")]
mod component {
    //! The handler: finds the attack, and runs it.

    use wasip2::http::types::{IncomingRequest, ResponseOutparam};

    use crate::{answer, attacks, mirror};

    struct Gauntlet;

    impl wasip2::exports::http::incoming_handler::Guest for Gauntlet {
        fn handle(request: IncomingRequest, outparam: ResponseOutparam) {
            let path = request.path_with_query().unwrap_or_default();
            let path = path.split('?').next().unwrap_or_default();
            let name = path.rsplit('/').next().unwrap_or_default();
            if name == "mirror" {
                return mirror::run(request, outparam);
            }
            match attacks::named(name) {
                Some(attack) => attack(outparam),
                None => answer::status(outparam, 404),
            }
        }
    }

    wasip2::http::proxy::export!(Gauntlet);
}
