//! A trap in words that the author of the service can use: what happened, and in which functions.

use rustc_demangle::demangle;
use wasmtime::{Error, Trap, WasmBacktrace};

/// Functions that are named; the rest of a deep stack says little more.
const FUNCTIONS_MAX: usize = 8;
/// Where panics and allocation failures pass through: true of every one, and the author's of none.
const RUNTIME: [&str; 8] = [
    "std::", "core::", "alloc::", "__rust", "rust_", "_rust", "dlmalloc", "abort",
];

/// One line: the trap, and the functions from the innermost outwards, without addresses.
pub(crate) fn describe(error: &Error) -> String {
    let what = error
        .downcast_ref::<Trap>()
        .map_or_else(|| error.root_cause().to_string(), ToString::to_string);
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else {
        return what;
    };
    let names = backtrace.frames().iter().filter_map(|frame| frame.func_name());
    let functions = readable(names);
    if functions.is_empty() {
        return what;
    }
    format!("{what}, in {}", functions.join(" < "))
}

/// The author's functions, each once in a row: recursion is one line, not hundreds.
fn readable<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut functions: Vec<String> = names
        .map(|name| format!("{:#}", demangle(name)))
        .filter(|name| {
            !RUNTIME
                .iter()
                .any(|runtime| name.trim_start_matches('<').starts_with(runtime))
        })
        .collect();
    functions.dedup();
    functions.truncate(FUNCTIONS_MAX);
    functions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_named_as_their_author_wrote_them_without_the_runtime() {
        let names = [
            "_ZN3std9panicking20rust_panic_with_hook17h0123456789abcdefE",
            "_ZN4core9panicking5panic17h0123456789abcdefE",
            "_ZN5tasks6boards6create17h0123456789abcdefE",
            "_ZN5tasks6boards6create17h0123456789abcdefE",
            "handle",
        ];
        assert_eq!(readable(names.into_iter()), ["tasks::boards::create", "handle"]);
    }
}
