//! Who may knock, where something stands before the door.

use std::{fmt, str::FromStr};

use anyhow::{Result, ensure};
use http::HeaderMap;
use subtle::ConstantTimeEq as _;

/// Bears the secret. What stands before the door sets it, whatever a client has sent.
const HEADER: &str = "x-waybill-origin";

/// Known to the door and to what stands before it, such as CloudFront with a web ACL: whoever else
/// finds the door's own address is turned away. Never shown.
#[derive(Clone)]
pub(crate) struct OriginSecret(String);

impl OriginSecret {
    pub(crate) fn admits(&self, headers: &HeaderMap) -> bool {
        let told = headers.get(HEADER).map(http::HeaderValue::as_bytes);
        told.is_some_and(|told| told.ct_eq(self.0.as_bytes()).into())
    }
}

impl FromStr for OriginSecret {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        ensure!(!text.is_empty(), "it is empty");
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for OriginSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OriginSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn only_who_knows_the_secret_is_admitted() {
        let secret: OriginSecret = "s3cret".parse().unwrap();
        let told = |value| {
            let value = HeaderValue::from_static(value);
            HeaderMap::from_iter([(HeaderName::from_static(HEADER), value)])
        };
        assert!(secret.admits(&told("s3cret")));
        for wrong in ["", "s3cre", "s3cret2", "S3cret"] {
            assert!(!secret.admits(&told(wrong)), "{wrong:?}");
        }
        assert!(!secret.admits(&HeaderMap::new()));
        assert!("".parse::<OriginSecret>().is_err());
        assert!(!format!("{secret:?}").contains("s3cret"));
    }
}
