//! Who asks: the session token of a request, verified once and remembered until it ends.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};

use http::{HeaderMap, HeaderValue, header};
use lru::LruCache;
use sha2::{Digest, Sha256};
use terrace_compute_capability::Caller;
use terrace_ground_error::Code;
use terrace_ground_token::{Claims, Error, Keys};

/// The cookie that carries a member's token. `__Host-`: only this host set it, over a secure channel.
pub const SESSION_COOKIE: &str = "__Host-session";
/// The one that carries what gets a new token.
const REFRESH_COOKIE: &str = "__Host-refresh";

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

/// Takes the tokens out of what a service sees: it is told who asks, and could be them with their token.
/// The refresh token stays for the one that gives tokens out (`keeps_refresh`), a bearer that is not
/// ours (`is_known`: somebody was found by it) for whoever it is meant for.
pub(crate) fn hide_tokens(headers: &mut HeaderMap, is_known: bool, keeps_refresh: bool) {
    let is_bearer = |value: &HeaderValue| value.as_bytes().starts_with(b"Bearer ");
    if is_known && headers.get(header::AUTHORIZATION).is_some_and(is_bearer) {
        headers.remove(header::AUTHORIZATION);
    }
    let is_hidden = |pair: &str| {
        let name = pair.split('=').next().unwrap_or_default().trim();
        name == SESSION_COOKIE || (name == REFRESH_COOKIE && !keeps_refresh)
    };
    let header::Entry::Occupied(mut lines) = headers.entry(header::COOKIE) else {
        return;
    };
    let mut kept = Vec::new();
    for line in lines.iter() {
        // What is no text holds no token of ours, and nothing that a service could read.
        let pairs = line.to_str().unwrap_or_default().split(';');
        kept.extend(
            pairs
                .filter(|pair| !is_hidden(pair) && !pair.trim().is_empty())
                .map(str::trim),
        );
    }
    let kept = (!kept.is_empty()).then(|| HeaderValue::from_str(&kept.join("; ")));
    match kept {
        Some(Ok(kept)) => drop(lines.insert(kept)),
        _ => drop(lines.remove_entry_mult()),
    }
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
    fn a_service_sees_no_token_and_everything_else() {
        let seen = |cookies: &[&str], authorization: Option<&str>, is_known, keeps_refresh| {
            let mut headers = HeaderMap::new();
            for line in cookies {
                headers.append(header::COOKIE, line.parse().unwrap());
            }
            if let Some(value) = authorization {
                headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            }
            hide_tokens(&mut headers, is_known, keeps_refresh);
            let text = |name| {
                let values = headers.get_all(name).iter();
                values
                    .map(|value| value.to_str().unwrap().to_owned())
                    .collect::<Vec<_>>()
            };
            (text(header::COOKIE), text(header::AUTHORIZATION))
        };
        let all = "theme=dark; __Host-session=a.b.c;__Host-refresh=r; lang=de";
        assert_eq!(seen(&[all], None, true, false).0, ["theme=dark; lang=de"]);
        assert_eq!(
            seen(&[all], None, false, true).0,
            ["theme=dark; __Host-refresh=r; lang=de"]
        );
        assert_eq!(
            seen(&["__Host-session=a", " __Host-session = b", "x=1"], None, true, false).0,
            ["x=1"]
        );
        assert_eq!(seen(&["__Host-session=a"], None, true, false).0, [""; 0]);
        // A webhook's own key is for the service; a token that says who asks is not.
        assert_eq!(seen(&[], Some("Bearer own"), false, false).1, ["Bearer own"]);
        assert_eq!(seen(&[], Some("Bearer ours"), true, false).1, [""; 0]);
        assert_eq!(seen(&[], Some("Basic eDp5"), true, false).1, ["Basic eDp5"]);
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
