//! A service in preview 3 of WASI, as one standard `wasi:http` component: the last segment of the path
//! says what it does. Nothing of Terrace is in it. The laws deploy it; like `tests/gauntlet`, it means harm
//! where its name says so.

#[cfg(target_family = "wasm")]
mod answer;
#[cfg(target_family = "wasm")]
mod attacks;
#[cfg(target_family = "wasm")]
mod mirror;
#[cfg(target_family = "wasm")]
mod outgoing;

#[cfg(target_family = "wasm")]
mod component {
    //! The handler: finds what is asked for, and does it.

    use wasip3::http::types::{ErrorCode, Request, Response};

    use crate::{answer, attacks, mirror, outgoing};

    struct Service;

    impl wasip3::exports::http::handler::Guest for Service {
        async fn handle(request: Request) -> Result<Response, ErrorCode> {
            let path = request.get_path_with_query().unwrap_or_default();
            let path = path.split('?').next().unwrap_or_default();
            match path.rsplit('/').next().unwrap_or_default() {
                "hello" => Ok(answer::text("hello")),
                "mirror" => Ok(mirror::run(request)),
                "uses" => Ok(answer::text(&answer::uses().to_string())),
                "pass-through" => Ok(mirror::pass_through(request)),
                "outgoing" => Ok(outgoing::run().await),
                name => attacks::run(name).await,
            }
        }
    }

    wasip3::http::service::export!(Service);
}
