//! Session tokens: a JWS in compact form (RFC 7515) with EdDSA (RFC 8037), and nothing else.
//!
//! The gateway verifies, `capabilities/token` and the control plane sign. The header is one
//! constant: a token with any other header is refused before its signature is looked at, so there
//! is no algorithm to confuse, no `kid` to traverse and no embedded key to trust.

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

/// `{"alg":"EdDSA","typ":"JWT"}` in base64url.
const HEADER: &str = "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9";

/// No token of ours is longer; a longer one is refused unread.
pub const LENGTH_MAX: usize = 2048;

/// The audience of operators' tokens, where a member's token has the tenant's id.
pub const CONTROL_AUDIENCE: &str = "control";

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// Always `terrace`.
    pub iss: String,
    /// The tenant's id, or [`CONTROL_AUDIENCE`].
    pub aud: String,
    /// The member's id.
    pub sub: String,
    /// The member's name, to show.
    pub name: String,
    /// The member's role: `owner`, `member` or `operator`.
    pub role: String,
    /// Always `session`: a token made for one purpose is refused for another.
    pub purpose: String,
    /// When it was made, in seconds since 1970.
    pub iat: i64,
    /// When it ends, in seconds since 1970.
    pub exp: i64,
}

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a token of ours: its shape, header, signature, issuer or purpose.
    #[error("the token is not valid")]
    Invalid,
    /// Ours, but over.
    #[error("the token has expired")]
    Expired,
    /// Ours, but for another tenant.
    #[error("the token belongs to another tenant")]
    Foreign,
}

/// The platform's key pair for tokens.
#[derive(Clone)]
pub struct Keys {
    signing: SigningKey,
    verifying: VerifyingKey,
}

impl Keys {
    /// From a seed of 32 bytes, which only the platform's own store may know.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let signing = SigningKey::from_bytes(seed);
        Self {
            verifying: signing.verifying_key(),
            signing,
        }
    }

    /// A token that lasts `lifetime_seconds` from `now` (seconds since 1970).
    pub fn sign(&self, audience: &str, member: &Member<'_>, now: i64, lifetime_seconds: u32) -> String {
        let claims = Claims {
            iss: "terrace".to_owned(),
            aud: audience.to_owned(),
            sub: member.id.to_owned(),
            name: member.name.to_owned(),
            role: member.role.to_owned(),
            purpose: "session".to_owned(),
            iat: now,
            exp: now.saturating_add(i64::from(lifetime_seconds)),
        };
        let payload = serde_json::to_vec(&claims).unwrap_or_default();
        let mut token = format!("{HEADER}.{}", BASE64URL_NOPAD.encode(&payload));
        let signature = self.signing.sign(token.as_bytes());
        token.push('.');
        token.push_str(&BASE64URL_NOPAD.encode(&signature.to_bytes()));
        token
    }

    /// The claims, if the token is ours, meant for `audience` and not over at `now`.
    ///
    /// # Errors
    /// [`Error::Invalid`] before anything else is trusted, then [`Error::Foreign`], then
    /// [`Error::Expired`].
    pub fn verify(&self, token: &str, audience: &str, now: i64) -> Result<Claims, Error> {
        if token.len() > LENGTH_MAX {
            return Err(Error::Invalid);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Error::Invalid)?;
        let (header, payload) = signed.split_once('.').ok_or(Error::Invalid)?;
        if header != HEADER {
            return Err(Error::Invalid);
        }
        let signature = BASE64URL_NOPAD
            .decode(signature.as_bytes())
            .map_err(|_| Error::Invalid)?;
        let signature = Signature::from_slice(&signature).map_err(|_| Error::Invalid)?;
        // Strict: refuses the small-order keys and malleable encodings that RFC 8032 leaves open.
        self.verifying
            .verify_strict(signed.as_bytes(), &signature)
            .map_err(|_| Error::Invalid)?;
        let payload = BASE64URL_NOPAD.decode(payload.as_bytes()).map_err(|_| Error::Invalid)?;
        let claims: Claims = serde_json::from_slice(&payload).map_err(|_| Error::Invalid)?;
        if claims.iss != "terrace" || claims.purpose != "session" {
            return Err(Error::Invalid);
        }
        claims.check(audience, now)?;
        Ok(claims)
    }
}

impl Claims {
    /// What can change between two uses of one token: whom it is for, and whether it is over.
    ///
    /// # Errors
    /// [`Error::Foreign`] and [`Error::Expired`].
    pub fn check(&self, audience: &str, now: i64) -> Result<(), Error> {
        if self.aud != audience {
            return Err(Error::Foreign);
        }
        if self.exp <= now || self.iat > now.saturating_add(60) {
            return Err(Error::Expired);
        }
        Ok(())
    }
}

/// Whom a token is for.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// The member's id.
    pub id: &'a str,
    /// The member's name.
    pub name: &'a str,
    /// The member's role.
    pub role: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBER: Member<'static> = Member {
        id: "m1",
        name: "Ada",
        role: "owner",
    };

    #[test]
    fn a_token_is_good_for_its_tenant_until_it_ends() {
        let keys = Keys::from_seed(&[7; 32]);
        let token = keys.sign("t_7f3k9q2m", &MEMBER, 1000, 60);
        assert_eq!(keys.verify(&token, "t_7f3k9q2m", 1059).unwrap().sub, "m1");
        assert_eq!(keys.verify(&token, "t_7f3k9q2m", 1060), Err(Error::Expired));
        assert_eq!(keys.verify(&token, "t_aaaaaaaa", 1001), Err(Error::Foreign));
        assert_eq!(
            Keys::from_seed(&[8; 32]).verify(&token, "t_7f3k9q2m", 1001),
            Err(Error::Invalid)
        );
    }

    #[test]
    fn no_single_changed_character_is_accepted() {
        let keys = Keys::from_seed(&[7; 32]);
        let token = keys.sign("t_7f3k9q2m", &MEMBER, 1000, 60);
        for at in 0..token.len() {
            let mut forged = token.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            assert_eq!(keys.verify(&forged, "t_7f3k9q2m", 1001), Err(Error::Invalid), "at {at}");
        }
    }

    #[test]
    fn another_algorithm_is_refused_before_its_signature_is_read() {
        let keys = Keys::from_seed(&[7; 32]);
        let token = keys.sign("t_7f3k9q2m", &MEMBER, 1000, 60);
        let payload = token.split('.').nth(1).unwrap();
        for header in [
            r#"{"alg":"none"}"#,
            r#"{"alg":"HS256","typ":"JWT"}"#,
            r#"{"alg":"EdDSA","typ":"JWT","kid":"../../key"}"#,
        ] {
            let forged = format!("{}.{payload}.", BASE64URL_NOPAD.encode(header.as_bytes()));
            assert_eq!(keys.verify(&forged, "t_7f3k9q2m", 1001), Err(Error::Invalid));
        }
    }
}
