//! Sealing: what lies in the directory is of no use without the key, and in no other place.
//!
//! XChaCha20-Poly1305 with a random nonce of 24 bytes, so that no counter has to be kept. A sealed
//! value is one byte (1, the form), the nonce, and the ciphertext with its tag. Whose secret it is, is
//! authenticated with it: a row that somebody copies to another tenant, service or name does not open.

use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use terrace_ground_ids::{ServiceName, SettingName, TenantId};

use crate::Secret;

/// The form of what is sealed.
const FORM: u8 = 1;
const NONCE_BYTES: usize = 24;

/// Why a value cannot be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Another key, another place, or a changed byte.
    #[error("it was sealed with another key or for another place; is `secrets/sealing` the one that it was set with?")]
    Foreign,
    /// The operating system gave no randomness.
    #[error("no randomness")]
    NoRandomness,
}

/// Where a secret belongs.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The service.
    pub service: &'a ServiceName,
    /// The tenant; none for the secret of all tenants.
    pub tenant: Option<&'a TenantId>,
    /// Its name.
    pub name: &'a SettingName,
}

/// Seals and opens secrets.
pub struct Sealer(XChaCha20Poly1305);

impl Sealer {
    /// With a key of 32 random bytes. Every node of an installation needs the same.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(XChaCha20Poly1305::new(key.into()))
    }

    /// What may lie in a database.
    ///
    /// # Errors
    /// [`SealError::NoRandomness`].
    pub fn seal(&self, place: Place<'_>, value: &str) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0_u8; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| SealError::NoRandomness)?;
        let payload = Payload {
            msg: value.as_bytes(),
            aad: &place.bytes(),
        };
        let text = self
            .0
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| SealError::Foreign)?;
        let mut sealed = vec![FORM];
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&text);
        Ok(sealed)
    }

    /// The value.
    ///
    /// # Errors
    /// [`SealError::Foreign`].
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Secret, SealError> {
        let (form, rest) = sealed.split_first().ok_or(SealError::Foreign)?;
        let (nonce, text) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::Foreign)?;
        if *form != FORM {
            return Err(SealError::Foreign);
        }
        let payload = Payload {
            msg: text,
            aad: &place.bytes(),
        };
        let value = self
            .0
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| SealError::Foreign)?;
        String::from_utf8(value)
            .map(Secret::new)
            .map_err(|_| SealError::Foreign)
    }
}

impl Place<'_> {
    /// None of the parts can hold a zero byte, so no two places are written alike.
    fn bytes(&self) -> Vec<u8> {
        let tenant = self.tenant.map_or("", TenantId::as_str);
        ["terrace secret", self.service.as_str(), tenant, self.name.as_str()]
            .join("\0")
            .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_opens_with_its_key_in_its_place_and_nowhere_else() {
        let (service, other): (ServiceName, ServiceName) = ("tasks".parse().unwrap(), "billing".parse().unwrap());
        let (name, tenant): (SettingName, _) = ("stripe-key".parse().unwrap(), TenantId::random());
        let place = Place {
            service: &service,
            tenant: None,
            name: &name,
        };
        let sealer = Sealer::new(&[7; 32]);
        let sealed = sealer.seal(place, "sk_live_1").unwrap();
        assert_eq!(sealer.open(place, &sealed).unwrap().reveal(), "sk_live_1");
        assert!(!sealed.windows(9).any(|window| window == b"sk_live_1"));
        assert_ne!(
            sealer.seal(place, "sk_live_1").unwrap(),
            sealed,
            "the same value never looks the same"
        );

        let elsewhere = [
            Place {
                service: &other,
                ..place
            },
            Place {
                tenant: Some(&tenant),
                ..place
            },
        ];
        for place in elsewhere {
            assert_eq!(sealer.open(place, &sealed).err(), Some(SealError::Foreign));
        }
        assert_eq!(
            Sealer::new(&[8; 32]).open(place, &sealed).err(),
            Some(SealError::Foreign)
        );
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(
                sealer.open(place, &changed).err(),
                Some(SealError::Foreign),
                "byte {at}"
            );
        }
        for length in 0..sealed.len() {
            assert_eq!(sealer.open(place, &sealed[..length]).err(), Some(SealError::Foreign));
        }
        assert_eq!(format!("{:?}", sealer.open(place, &sealed).unwrap()), "(secret)");
    }
}
