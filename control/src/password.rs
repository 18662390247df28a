//! Operators' passwords: argon2id on threads of their own, few at a time, and the same time for an
//! address that nobody has.

use std::sync::LazyLock;

use argon2::{Argon2, PasswordHash, PasswordHasher as _, PasswordVerifier as _};
use data_encoding::BASE32_NOPAD;

use crate::{State, platform::Secret, refusal::Refusal};

/// No password of ours is longer; a longer one is wrong without being hashed.
pub(crate) const LENGTH_MAX: usize = 256;

/// What is checked when there is no such operator: a hash with the parameters of a real one.
static NOBODY: LazyLock<Secret> = LazyLock::new(|| Secret::new(hash(&generate()).unwrap_or_default()));

/// The hash of a password in PHC form: argon2id, 19 MiB, two passes, one lane (OWASP's minimum).
/// It takes some 20 ms of one core; call it where that does no harm.
///
/// # Errors
/// Without randomness for the salt, or without memory.
pub fn hash(password: &str) -> Result<String, argon2::password_hash::Error> {
    Ok(Argon2::default().hash_password(password.as_bytes())?.to_string())
}

/// Whether `password` has `hash`; without a hash the answer is no, after the same time.
pub(crate) async fn verify(state: &State, password: String, hash: Option<Secret>) -> Result<bool, Refusal> {
    let (waiting, running) = state.sign_ins();
    let busy = || Refusal::busy("Too many sign-ins at once; try again in a moment.", 1);
    let _waiting = waiting.clone().try_acquire_owned().map_err(|_| busy())?;
    let running = running.clone().acquire_owned().await.map_err(Refusal::internal)?;
    tokio::task::spawn_blocking(move || {
        let _running = running;
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| NOBODY.clone());
        let matches = PasswordHash::new(hash.reveal())
            .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
        known && matches
    })
    .await
    .map_err(Refusal::internal)
}

/// A password that nobody chose: 100 bits in five groups of four letters and digits.
pub(crate) fn generate() -> String {
    let mut bytes = [0_u8; 13];
    #[expect(
        clippy::expect_used,
        reason = "without randomness no password may be made, and nothing can go on"
    )]
    getrandom::fill(&mut bytes).expect("operating system randomness");
    let text = BASE32_NOPAD.encode(&bytes).to_ascii_lowercase();
    let groups: Vec<&str> = (0..5).filter_map(|group| text.get(group * 4..group * 4 + 4)).collect();
    groups.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_password_is_long_enough_and_never_the_same() {
        let (a, b) = (generate(), generate());
        assert_eq!(a.len(), 24, "{a}");
        assert_ne!(a, b);
    }
}
