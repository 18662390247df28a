//! Who asks: the session token of a request, verified once and remembered until it ends.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use http::{HeaderMap, header};
use lru::LruCache;
use sha2::{Digest, Sha256};
use terrace_compute_capability::Caller;
use terrace_ground_error::Code;
use terrace_ground_token::{Claims, Error, Keys};

/// The cookie that carries a member's token. `__Host-`: only this host set it, over a secure channel.
pub const SESSION_COOKIE: &str = "__Host-session";

/// What a token says, and the caller that services are told.
type Verified = (Arc<Claims>, Arc<Caller>);

/// Verified tokens by the digest of their text. A signature check costs some 50 µs of CPU, which
/// would be the largest single cost of a small request.
pub(crate) struct Callers {
    keys: Keys,
    verified: Mutex<LruCache<[u8; 32], Verified>>,
}

impl Callers {
    pub(crate) fn new(keys: Keys, remembered: NonZeroUsize) -> Self {
        Self {
            keys,
            verified: Mutex::new(LruCache::new(remembered)),
        }
    }

    /// The member whose token the request carries; None when it carries none.
    pub(crate) fn identify(&self, headers: &HeaderMap, audience: &str, now: i64) -> Result<Option<Arc<Caller>>, Code> {
        let Some(token) = bearer_or_cookie(headers) else {
            return Ok(None);
        };
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let known = self
            .verified
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&digest)
            .cloned();
        let caller = match known {
            // For whom and until when are asked every time; only the signature is remembered.
            Some((claims, caller)) => claims.check(audience, now).map(|()| caller),
            None => self
                .keys
                .verify(token, audience, now)
                .map(|claims| self.remember(digest, claims)),
        };
        caller.map(Some).map_err(|error| match error {
            Error::Invalid => Code::TokenInvalid,
            Error::Expired => Code::TokenExpired,
            Error::Foreign => Code::TokenForeign,
        })
    }

    fn remember(&self, digest: [u8; 32], claims: Claims) -> Arc<Caller> {
        let caller = Arc::new(Caller {
            member: claims.sub.clone(),
            name: claims.name.clone(),
            role: claims.role.clone(),
        });
        let entry = (Arc::new(claims), caller.clone());
        self.verified
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .put(digest, entry);
        caller
    }
}

/// The token in `Authorization: Bearer`, or else in the session cookie.
pub fn bearer_or_cookie(headers: &HeaderMap) -> Option<&str> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        return value.to_str().ok()?.strip_prefix("Bearer ").map(str::trim);
    }
    headers.get_all(header::COOKIE).iter().find_map(|line| {
        line.to_str()
            .ok()?
            .split(';')
            .find_map(|pair| pair.trim().strip_prefix(SESSION_COOKIE)?.strip_prefix('='))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use terrace_ground_token::Member;

    fn with(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn a_remembered_token_is_still_refused_for_another_tenant_and_after_its_end() {
        let keys = Keys::from_seed(&[1; 32]);
        let token = keys.sign(
            "t_aaaaaaaa",
            &Member {
                id: "m",
                name: "Ada",
                role: "owner",
            },
            100,
            60,
        );
        let callers = Callers::new(keys, NonZeroUsize::MIN);
        let headers = with(header::COOKIE, &format!("other=1; {SESSION_COOKIE}={token}"));
        assert_eq!(
            callers.identify(&headers, "t_aaaaaaaa", 101).unwrap().unwrap().member,
            "m"
        );
        assert_eq!(
            callers.identify(&headers, "t_bbbbbbbb", 101).unwrap_err(),
            Code::TokenForeign
        );
        assert_eq!(
            callers.identify(&headers, "t_aaaaaaaa", 160).unwrap_err(),
            Code::TokenExpired
        );
    }

    #[test]
    fn a_header_wins_over_a_cookie_and_nothing_is_nobody() {
        let callers = Callers::new(Keys::from_seed(&[1; 32]), NonZeroUsize::MIN);
        assert_eq!(callers.identify(&HeaderMap::new(), "t_aaaaaaaa", 0).unwrap(), None);
        assert_eq!(
            callers
                .identify(&with(header::AUTHORIZATION, "Bearer x.y.z"), "t_aaaaaaaa", 0)
                .unwrap_err(),
            Code::TokenInvalid
        );
    }
}
