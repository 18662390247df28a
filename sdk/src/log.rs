//! Lines to the platform's log: `log::info!("moved task {id}")`. Each carries the tenant, the
//! service and the request's id; a request that logs too much is cut off, and the rest is counted.

use std::fmt;

use crate::host;

/// How loud a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For the author, while looking for something.
    Debug,
    /// Something happened that an operator may want to read later.
    Info,
    /// Something is wrong, and was dealt with.
    Warn,
    /// Something is wrong.
    Error,
}

/// Writes one line. The macros of this module are shorter.
pub fn write(level: Level, message: fmt::Arguments<'_>) {
    match message.as_str() {
        Some(text) => host::log(level, text),
        None => host::log(level, &message.to_string()),
    }
}

macro_rules! level {
    ($dollar:tt $name:ident, $hidden:ident, $level:ident, $doc:literal) => {
        #[doc(hidden)]
        #[macro_export]
        macro_rules! $hidden {
                    ($dollar($dollar argument:tt)*) => {
                        $crate::log::write($crate::log::Level::$level, ::core::format_args!($dollar($dollar argument)*))
                    };
                }
        #[doc = $doc]
        #[doc(inline)]
        pub use $hidden as $name;
    };
}

level!($ debug, __log_debug, Debug, "A line for the author.");
level!($ info, __log_info, Info, "A line for the operator.");
level!($ warn, __log_warn, Warn, "A line about something that is wrong and was dealt with.");
level!($ error, __log_error, Error, "A line about something that is wrong.");
