//! The master key in a file.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    Key, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hmac::{Hmac, Mac};
use rand::{TryRng, rngs::SysRng};
use sha2::Sha256;
use waybill_messaging::{DataKey, EncryptionContext, Error, KeyRing, Result};
use zeroize::Zeroizing;

/// First line of the file; the second is the key in base64.
const HEADER: &str = "waybill master key, version 1";
/// More than a key file ever is.
const MAX_FILE: u64 = 1_024;
const KEY_LEN: usize = 32;
const NONCE_LEN: usize = 24;
/// First byte of what is wrapped: XChaCha20-Poly1305 under the key for [`WRAPPING`].
const VERSION: u8 = 1;
/// The master key never encrypts; each purpose has a key of its own, derived from it.
const WRAPPING: &[u8] = b"waybill: wrapping of data keys, version 1";

/// Why a master key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    #[error(
        "{path} can be read by others (mode {mode:o}); make it private: chmod 600 {path}",
        path = path.display()
    )]
    Exposed { path: PathBuf, mode: u32 },
    #[error(
        "{path} is not a master key: two lines, {HEADER:?} and 32 bytes in base64, are expected; \
         restore it from a backup, without it nothing that was encrypted can be read",
        path = path.display()
    )]
    Malformed { path: PathBuf },
    #[error("cannot use the master key in {path}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// A [`KeyRing`] whose master key is 32 bytes in a file of mode 0600.
///
/// What is wrapped is 73 bytes: a version, a random nonce (24), the key (32) and its tag (16). The
/// encryption context is authenticated with it.
pub struct LocalKeyRing {
    cipher: XChaCha20Poly1305,
}

impl LocalKeyRing {
    /// Opens the key in `path`. A missing file is created with a new key, whole or not at all; an
    /// existing one is never written.
    pub fn open(path: &Path) -> Result<Self, KeyFileError> {
        let io = |source| KeyFileError::Io {
            path: path.to_owned(),
            source,
        };
        let file = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                create(path).map_err(io)?;
                File::open(path).map_err(io)?
            }
            opened => opened.map_err(io)?,
        };
        let mode = file.metadata().map_err(io)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let path = path.to_owned();
            return Err(KeyFileError::Exposed { path, mode });
        }
        let mut text = Zeroizing::new(Vec::new());
        file.take(MAX_FILE).read_to_end(&mut text).map_err(io)?;
        let master = parse(&text).ok_or_else(|| KeyFileError::Malformed {
            path: path.to_owned(),
        })?;
        Ok(Self::new(&master))
    }

    fn new(master: &[u8; KEY_LEN]) -> Self {
        // HKDF-Expand (RFC 5869) of one block; the master key is uniform and needs no extraction.
        let mut expand = Hmac::<Sha256>::new_from_slice(master).expect("any length is a key");
        expand.update(WRAPPING);
        expand.update(&[1]);
        let derived = Zeroizing::new(<[u8; KEY_LEN]>::from(expand.finalize().into_bytes()));
        let cipher = XChaCha20Poly1305::new(&Key::from(*derived));
        Self { cipher }
    }
}

#[async_trait]
impl KeyRing for LocalKeyRing {
    async fn wrap(&self, key: &DataKey, context: &EncryptionContext) -> Result<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        SysRng
            .try_fill_bytes(&mut nonce)
            .map_err(|error| Error::unavailable("the system gives no random bytes", error))?;
        let payload = Payload {
            msg: &key.0,
            aad: &authenticated(context),
        };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| Error::broken("a data key cannot be wrapped", REFUSED))?;
        Ok([&[VERSION][..], &nonce, &sealed].concat())
    }

    async fn unwrap(&self, wrapped: &[u8], context: &EncryptionContext) -> Result<DataKey> {
        let refused = || Error::broken("a wrapped data key was refused", REFUSED);
        let (version, rest) = wrapped.split_first().ok_or_else(refused)?;
        if *version != VERSION {
            let cause = format!("its version is {version}, not {VERSION}");
            return Err(Error::broken("a wrapped data key was refused", cause));
        }
        let (nonce, sealed) = rest.split_first_chunk().ok_or_else(refused)?;
        let payload = Payload {
            msg: sealed,
            aad: &authenticated(context),
        };
        let opened = self
            .cipher
            .decrypt(&XNonce::from(*nonce), payload)
            .map(Zeroizing::new)
            .map_err(|_| refused())?;
        let key = <[u8; KEY_LEN]>::try_from(&opened[..]).map_err(|_| refused())?;
        Ok(DataKey(key))
    }
}

const REFUSED: &str = "another master key, another context, or altered bytes";

/// One encoding per context: each text has its length in front, so none can run into the next.
fn authenticated(context: &EncryptionContext) -> Vec<u8> {
    let mut out = vec![VERSION];
    for text in context.iter().flat_map(|(name, value)| [name, value]) {
        out.extend((text.len() as u64).to_be_bytes());
        out.extend(text.as_bytes());
    }
    out
}

fn parse(text: &[u8]) -> Option<Zeroizing<[u8; KEY_LEN]>> {
    let (header, key) = std::str::from_utf8(text).ok()?.split_once('\n')?;
    if header.trim_end() != HEADER {
        return None;
    }
    let key = Zeroizing::new(STANDARD.decode(key.trim_end()).ok()?);
    key[..].try_into().ok().map(Zeroizing::new)
}

/// Writes a new key beside `path` and links it there: nobody ever sees half a file, and the loser
/// of a race uses the winner's key.
fn create(path: &Path) -> io::Result<()> {
    let mut random = Zeroizing::new([0; KEY_LEN]);
    let mut suffix = [0; 8];
    SysRng.try_fill_bytes(&mut *random)?;
    SysRng.try_fill_bytes(&mut suffix)?;
    let text = Zeroizing::new(format!(
        "{HEADER}\n{}\n",
        *Zeroizing::new(STANDARD.encode(*random))
    ));
    let draft = path.with_extension(format!("new-{:016x}", u64::from_be_bytes(suffix)));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
    let linked = written.and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    let removed = fs::remove_file(&draft);
    linked?;
    removed?;
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use waybill_testkit::contract::KeyRingFixture;

    use super::*;

    async fn fixture() -> KeyRingFixture {
        let directory = tempfile::tempdir().unwrap();
        let open = |name| Arc::new(LocalKeyRing::open(&directory.path().join(name)).unwrap());
        KeyRingFixture {
            ring: open("master-key"),
            stranger: open("another-key"),
            guard: Box::new(directory),
        }
    }

    mod contract {
        waybill_testkit::keyring_contract!(super::fixture);
    }

    #[tokio::test]
    async fn a_second_start_uses_the_same_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master-key");
        let context = EncryptionContext::new();
        let first = LocalKeyRing::open(&path).unwrap();
        let wrapped = first.wrap(&DataKey([7; 32]), &context).await.unwrap();
        assert_eq!(wrapped.len(), 73);
        let second = LocalKeyRing::open(&path).unwrap();
        assert!(second.unwrap(&wrapped, &context).await.unwrap() == DataKey([7; 32]));
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(
            fs::read_dir(directory.path()).unwrap().count(),
            1,
            "a draft was left"
        );
    }

    /// What was wrapped by an earlier version must open for ever.
    #[tokio::test]
    async fn an_old_wrapping_still_opens() {
        let ring = LocalKeyRing::new(&[42; 32]);
        let context = EncryptionContext::from([("tenant".to_owned(), "acme".to_owned())]);
        let wrapped = STANDARD.decode(OLD).unwrap();
        assert!(ring.unwrap(&wrapped, &context).await.unwrap() == DataKey([7; 32]));
    }

    /// Made with libsodium from nonce 0, 1, .. 23 and the key that HMAC-SHA256 gives.
    const OLD: &str = "AQABAgMEBQYHCAkKCwwNDg8QERITFBUWF1bO4QxDOs8R4lr2zOajVT3AdBn7hoipgUkTO4gLP4C5\
                       Wuv/JSIZDGrh+q+ZzwWwtg==";

    #[test]
    fn starts_at_once_agree_on_one_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master-key");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| LocalKeyRing::open(&path).unwrap());
            }
        });
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master-key");
        LocalKeyRing::open(&path).unwrap();
        for mode in [0o640, 0o604, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = LocalKeyRing::open(&path).err().unwrap().to_string();
            assert!(error.contains("chmod 600") && error.contains(&format!("{mode:o}")));
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        LocalKeyRing::open(&path).unwrap();
    }

    #[test]
    fn a_file_that_holds_no_key_is_refused_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master-key");
        let short = format!("{HEADER}\n{}\n", STANDARD.encode([1; 31]));
        let bare = STANDARD.encode([1; 32]);
        let bodies = ["", "\n", HEADER, &short, &bare, &"x".repeat(10_000)];
        for body in bodies {
            let options = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&path);
            options.unwrap().write_all(body.as_bytes()).unwrap();
            let error = LocalKeyRing::open(&path).err().unwrap();
            assert!(matches!(error, KeyFileError::Malformed { .. }), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), body);
        }
        let missing = directory.path().join("no-directory").join("master-key");
        assert!(matches!(
            LocalKeyRing::open(&missing),
            Err(KeyFileError::Io { .. })
        ));
    }
}
