//! Session tokens: signed in the host, bound to this request's tenant.

use sha2::{Digest as _, Sha256};

use crate::{Caller, host};

/// A token that says who the caller is, for so many seconds. The gateway reads it; nobody else can
/// make one.
pub fn sign(caller: &Caller, lifetime_seconds: u32) -> String {
    host::sign(caller, lifetime_seconds)
}

/// 32 random bytes in base64url: a refresh token, an id that nobody can guess.
pub fn random() -> String {
    host::random()
}

/// SHA-256 of a token: what a service keeps of one, so that who reads its table cannot use it.
/// Right for [`random`] tokens only: a password has too little randomness for it.
pub fn digest(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}
