//! The text of a key: `wbk_ID_SECRET`.

use sha2::{Digest, Sha256};

const PREFIX: &str = "wbk_";
/// 60 bits: names a key.
const ID: usize = 12;
/// 160 bits: proves it.
const SECRET: usize = 32;
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A key as its holder has it. Never logged: no `Debug`.
pub(crate) struct Secret {
    pub(crate) id: String,
    pub(crate) text: String,
}

impl Secret {
    pub(crate) fn random() -> Self {
        let mut bytes = [0u8; ID + SECRET];
        rand::fill(&mut bytes);
        let letters = bytes.map(|byte| char::from(ALPHABET[usize::from(byte & 31)]));
        let id: String = letters[..ID].iter().collect();
        let secret: String = letters[ID..].iter().collect();
        Self {
            text: format!("{PREFIX}{id}_{secret}"),
            id,
        }
    }

    /// `None`: it does not look like one of our keys.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let ours =
            |part: &str, len| part.len() == len && part.bytes().all(|b| ALPHABET.contains(&b));
        (ours(id, ID) && ours(secret, SECRET)).then(|| Self {
            id: id.to_owned(),
            text: text.to_owned(),
        })
    }

    pub(crate) fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.text).into()
    }
}

/// Takes the same time wherever they differ.
pub(crate) fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    a.iter()
        .zip(b)
        .fold(0, |differences, (a, b)| differences | (a ^ b))
        == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_form_is_parsed() {
        let secret = Secret::random();
        let parsed = Secret::parse(&secret.text).unwrap();
        assert!(same(&parsed.digest(), &secret.digest()));
        assert_eq!(parsed.id, secret.id);
        let upper = secret.text.to_uppercase();
        for wrong in ["", "wbk_", "wbk_a_b", &secret.text[1..], &upper] {
            assert!(Secret::parse(wrong).is_none(), "{wrong}");
        }
        assert!(!same(&secret.digest(), &Secret::random().digest()));
    }
}
