//! One value under a data key of its own.

use base64::{Engine, engine::general_purpose::STANDARD};
use chacha20poly1305::{Key, KeyInit, XChaCha20Poly1305, XNonce, aead::Aead};
use rand::{TryRng, rngs::SysRng};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use waybill_messaging::{DataKey, EncryptionContext, Error, KeyRing, Result};
use zeroize::Zeroizing;

const NONCE_LEN: usize = 24;
/// First byte of what is sealed: XChaCha20-Poly1305, the nonce in front.
const VERSION: u8 = 1;
const REFUSED: &str = "another key, or altered bytes";

/// A value, and the wrapped key that opens it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Sealed {
    #[serde(serialize_with = "encode", deserialize_with = "decode")]
    key: Vec<u8>,
    /// The version, the nonce (24), and the ciphertext with its tag (16).
    #[serde(serialize_with = "encode", deserialize_with = "decode")]
    value: Vec<u8>,
}

impl Sealed {
    /// Opens under the same `context` only.
    pub(crate) async fn seal(
        value: &[u8],
        context: &EncryptionContext,
        keyring: &dyn KeyRing,
    ) -> Result<Self> {
        let mut key = DataKey([0; 32]);
        let mut nonce = [0; NONCE_LEN];
        SysRng
            .try_fill_bytes(&mut key.0)
            .and_then(|()| SysRng.try_fill_bytes(&mut nonce))
            .map_err(|error| Error::unavailable("the system gives no random bytes", error))?;
        let sealed = cipher(&key).encrypt(&XNonce::from(nonce), value);
        let sealed = sealed.map_err(|_| Error::broken("a secret cannot be sealed", REFUSED))?;
        Ok(Self {
            key: keyring.wrap(&key, context).await?,
            value: [&[VERSION][..], &nonce, &sealed].concat(),
        })
    }

    pub(crate) async fn open(
        &self,
        context: &EncryptionContext,
        keyring: &dyn KeyRing,
    ) -> Result<Zeroizing<Vec<u8>>> {
        let refused = || Error::broken("a secret does not open", REFUSED);
        let (version, rest) = self.value.split_first().ok_or_else(refused)?;
        if *version != VERSION {
            let cause = format!("its version is {version}, not {VERSION}");
            return Err(Error::broken("a secret does not open", cause));
        }
        let (nonce, sealed) = rest.split_first_chunk().ok_or_else(refused)?;
        let key = keyring.unwrap(&self.key, context).await?;
        let opened = cipher(&key).decrypt(&XNonce::from(*nonce), sealed);
        opened.map(Zeroizing::new).map_err(|_| refused())
    }
}

fn cipher(key: &DataKey) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&Key::from(key.0))
}

fn encode<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

fn decode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map_err(D::Error::custom)
}
