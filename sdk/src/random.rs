//! Randomness that nobody can guess: for keys, for ids, for a link in an e-mail.

use crate::host;

/// Bytes of one call to the platform.
const CALL_MAX: usize = 65_536;

/// So many random bytes: `let key: [u8; 32] = random::array();`
pub fn array<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

/// Fills a slice with random bytes.
pub fn fill(bytes: &mut [u8]) {
    for part in bytes.chunks_mut(CALL_MAX) {
        // The platform gives as many as it is asked for, or ends the request.
        let given = host::random_bytes(part.len());
        assert_eq!(given.len(), part.len(), "as many bytes as were asked for");
        part.copy_from_slice(&given);
    }
}

/// 32 random bytes in base64url: 43 characters.
pub fn text() -> String {
    host::random_text()
}
