//! The seam between what a service calls and who answers: the platform's host in a component, a
//! [`crate::native::Host`] in a native process. Nothing else in this crate asks which it is.

#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::native::seam::{
    Transaction, begin, call, caller, hash, log, now, query, random, request_id, sign, tenant, verify,
};
#[cfg(target_family = "wasm")]
pub(crate) use crate::wasm::{
    Transaction, begin, call, caller, hash, log, now, query, random, request_id, sign, tenant, verify,
};
