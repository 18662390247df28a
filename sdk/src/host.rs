//! The seam between what a service calls and who answers: the platform's host in a component, a
//! [`crate::native::Host`] in a native process. Nothing else in this crate asks which it is.

#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::native::seam::{
    Transaction, begin, blob_delete, blob_get, blob_link, blob_list, blob_put, blob_stat, cache_delete, cache_get,
    cache_set, call, caller, config, fetch, hash, log, now, query, random, random_bytes, random_text, request_id,
    secret, sign, tenant, verify,
};
#[cfg(target_family = "wasm")]
pub(crate) use crate::wasm::{
    Transaction, begin, blob_delete, blob_get, blob_link, blob_list, blob_put, blob_stat, cache_delete, cache_get,
    cache_set, call, caller, config, fetch, hash, log, now, query, random, random_bytes, random_text, request_id,
    secret, sign, tenant, verify,
};
