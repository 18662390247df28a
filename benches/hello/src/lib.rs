//! The smallest axum component: standard `wasi:http`, nothing of Terrace. What the sandbox itself
//! costs, on a component that `wasmtime serve` runs too.

#[cfg(target_family = "wasm")]
mod component {
    //! The handler.

    use axum::{Router, routing::get};

    #[wstd_axum::http_server]
    fn main() -> Router {
        Router::new().route("/api/hello/ping", get(async || "hello"))
    }
}
