//! RSA-OAEP and AES-CBC as the classic protocol uses them (`specs/containers.md` 2.2, 2.3). Legacy by nature: no
//! authentication of the server or of the packets, no forward secrecy. Everything is from one C library.

use std::{fs, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use aws_lc_rs::{
    cipher::{
        AES_256, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey,
        PaddedBlockEncryptingKey, UnboundCipherKey,
    },
    encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der},
    iv::FixedLength,
    rsa::{
        KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
        PrivateDecryptingKey, PublicEncryptingKey,
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize as _;

use leitstand_kit::words::hex;

/// Bytes of an initialisation vector.
pub const IV_BYTES: usize = 16;
/// What travels under RSA: an AES-256 key and the first vector.
pub const SECRET_BYTES: usize = 32 + IV_BYTES;

/// Something does not decrypt, parse or fit. On purpose there is one reason only: a peer learns nothing from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cryptography refused")]
pub struct Refused;

/// Key and current vector of a connection.
#[derive(Clone)]
pub struct Secret {
    key: [u8; 32],
    iv: [u8; IV_BYTES],
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.key.zeroize();
        self.iv.zeroize();
    }
}

impl Secret {
    /// From what RSA carried; only AES-256 is accepted.
    ///
    /// # Errors
    /// Not 48 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Refused> {
        if bytes.len() != SECRET_BYTES {
            return Err(Refused);
        }
        let (key, iv) = bytes.split_at(32);
        Ok(Self {
            key: key.try_into().map_err(|_| Refused)?,
            iv: iv.try_into().map_err(|_| Refused)?,
        })
    }

    /// The 48 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; SECRET_BYTES] {
        let mut bytes = [0; SECRET_BYTES];
        bytes[..32].copy_from_slice(&self.key);
        bytes[32..].copy_from_slice(&self.iv);
        bytes
    }

    /// Takes the vector for what follows.
    pub fn set_iv(&mut self, iv: [u8; IV_BYTES]) {
        self.iv = iv;
    }

    /// AES-256-CBC with PKCS#7 padding under the present vector.
    ///
    /// # Errors
    /// The library failed.
    pub fn encrypt(&self, plain: &[u8]) -> Result<Vec<u8>, Refused> {
        let key = UnboundCipherKey::new(&AES_256, &self.key).map_err(|_| Refused)?;
        let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).map_err(|_| Refused)?;
        let mut bytes = plain.to_vec();
        let iv = EncryptionContext::Iv128(FixedLength::from(self.iv));
        key.less_safe_encrypt(&mut bytes, iv).map_err(|_| Refused)?;
        Ok(bytes)
    }

    /// The inverse.
    ///
    /// # Errors
    /// Not a multiple of 16 bytes, or the padding is wrong.
    pub fn decrypt(&self, cipher: &[u8]) -> Result<Vec<u8>, Refused> {
        if cipher.is_empty() || !cipher.len().is_multiple_of(16) {
            return Err(Refused);
        }
        let key = UnboundCipherKey::new(&AES_256, &self.key).map_err(|_| Refused)?;
        let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).map_err(|_| Refused)?;
        let mut bytes = cipher.to_vec();
        let iv = DecryptionContext::Iv128(FixedLength::from(self.iv));
        let plain = key.decrypt(&mut bytes, iv).map_err(|_| Refused)?;
        Ok(plain.to_vec())
    }
}

/// The public key of the other side.
pub struct PeerKey(OaepPublicEncryptingKey);

impl PeerKey {
    /// Reads a PEM "PUBLIC KEY" of RSA 2048 to 8192 bits.
    ///
    /// # Errors
    /// Another label, junk around it, another algorithm, or another size.
    pub fn from_pem(pem: &[u8]) -> Result<Self, Refused> {
        let der = from_pem("PUBLIC KEY", pem)?;
        let key = PublicEncryptingKey::from_der(&der).map_err(|_| Refused)?;
        if !(2048..=8192).contains(&key.key_size_bits()) {
            return Err(Refused);
        }
        OaepPublicEncryptingKey::new(key)
            .map(Self)
            .map_err(|_| Refused)
    }

    /// OAEP with SHA-256, MGF1 with SHA-256, empty label.
    ///
    /// # Errors
    /// The library failed.
    pub fn seal(&self, secret: &Secret) -> Result<Vec<u8>, Refused> {
        let mut out = vec![0; self.0.ciphertext_size()];
        let mut plain = secret.to_bytes();
        let sealed = self
            .0
            .encrypt(&OAEP_SHA256_MGF1SHA256, &plain, &mut out, None);
        plain.zeroize();
        let length = sealed.map_err(|_| Refused)?.len();
        out.truncate(length);
        Ok(out)
    }
}

/// Our own key pair.
pub struct OwnKey {
    private: OaepPrivateDecryptingKey,
    pkcs8: Vec<u8>,
    public_pem: Vec<u8>,
}

impl OwnKey {
    /// A fresh one. 4096 bits take from a third of a second to several.
    ///
    /// # Errors
    /// The library failed, or the size is none of 2048, 3072, 4096, 8192.
    pub fn generate(bits: u16) -> Result<Self, Refused> {
        let size = match bits {
            2048 => KeySize::Rsa2048,
            3072 => KeySize::Rsa3072,
            4096 => KeySize::Rsa4096,
            8192 => KeySize::Rsa8192,
            _ => return Err(Refused),
        };
        Self::new(PrivateDecryptingKey::generate(size).map_err(|_| Refused)?)
    }

    fn new(private: PrivateDecryptingKey) -> Result<Self, Refused> {
        let pkcs8: Pkcs8V1Der<'_> = private.as_der().map_err(|_| Refused)?;
        let public: PublicKeyX509Der<'_> = private.public_key().as_der().map_err(|_| Refused)?;
        Ok(Self {
            pkcs8: pkcs8.as_ref().to_vec(),
            public_pem: to_pem("PUBLIC KEY", public.as_ref()),
            private: OaepPrivateDecryptingKey::new(private).map_err(|_| Refused)?,
        })
    }

    /// Reads `path` (PKCS#8 PEM), or makes a key and writes it there for its owner only.
    ///
    /// # Errors
    /// The file is there but is no such key, or cannot be written.
    pub fn load_or_generate(path: &Path, bits: u16) -> std::io::Result<Self> {
        let unusable = |what: &str| std::io::Error::other(format!("{}: {what}", path.display()));
        match fs::read(path) {
            Ok(pem) => {
                let der =
                    from_pem("PRIVATE KEY", &pem).map_err(|_| unusable("not a PKCS#8 PEM"))?;
                PrivateDecryptingKey::from_pkcs8(&der)
                    .map_err(|_| Refused)
                    .and_then(Self::new)
                    .map_err(|_| unusable("not an RSA key"))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key = Self::generate(bits).map_err(|_| unusable("no key could be made"))?;
                let mut file = fs::OpenOptions::new()
                    .create_new(true)
                    .write(true)
                    .mode(0o600)
                    .open(path)?;
                file.write_all(&to_pem("PRIVATE KEY", &key.pkcs8))?;
                file.sync_all()?;
                Ok(key)
            }
            Err(error) => Err(error),
        }
    }

    /// The public half as it goes over the wire.
    #[must_use]
    pub fn public_pem(&self) -> &[u8] {
        &self.public_pem
    }

    /// Bytes of a ciphertext under this key.
    #[must_use]
    pub fn size(&self) -> usize {
        self.private.key_size_bytes()
    }

    /// SHA-256 of the public PEM in hex: what a careful client compares.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex(&Sha256::digest(&self.public_pem))
    }

    /// Opens what was sealed for us. Milliseconds of CPU: not for an async thread.
    ///
    /// # Errors
    /// Not for us, damaged, or not an AES-256 key with its vector.
    pub fn unseal(&self, cipher: &[u8]) -> Result<Secret, Refused> {
        let mut out = vec![0; self.private.min_output_size()];
        let plain = self
            .private
            .decrypt(&OAEP_SHA256_MGF1SHA256, cipher, &mut out, None);
        let secret = plain
            .map_err(|_| Refused)
            .and_then(|plain| Secret::from_bytes(plain));
        out.zeroize();
        secret
    }
}

/// 64 columns, `\n`, a final `\n`.
fn to_pem(label: &str, der: &[u8]) -> Vec<u8> {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|b| char::from(*b)));
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem.into_bytes()
}

/// Exactly one block of this label; `\r\n` is taken, anything before or after it is not.
fn from_pem(label: &str, pem: &[u8]) -> Result<Vec<u8>, Refused> {
    let text = std::str::from_utf8(pem).map_err(|_| Refused)?;
    let body = text
        .strip_prefix(&format!("-----BEGIN {label}-----"))
        .ok_or(Refused)?
        .trim_end()
        .strip_suffix(&format!("-----END {label}-----"))
        .ok_or(Refused)?;
    let body: String = body.split(['\r', '\n']).collect();
    STANDARD.decode(body).map_err(|_| Refused)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn secret() -> Secret {
        let bytes: Vec<u8> = (0..32).chain(0xa0..0xb0).collect();
        Secret::from_bytes(&bytes).unwrap()
    }

    #[test]
    fn golden_c2_known_answer_vectors() {
        let mut s = secret();
        let request = s.encrypt(br#"{"verb": "STAT", "parameters": {}}"#).unwrap();
        assert_eq!(
            hex(&request),
            "e7cc1c24acbbdcd0b5bd36f464a48cf474b7caa3240346b84533ef3475755d4bf41f034f046621ca03e839f9a367b0c5"
        );
        assert_eq!(
            hex(&s.encrypt(b"64").unwrap()),
            "a3b241b0d4374e53991e82ff646b3a61"
        );
        assert_eq!(
            s.decrypt(&request).unwrap(),
            br#"{"verb": "STAT", "parameters": {}}"#
        );
        s.set_iv(std::array::from_fn(|i| 0xb0 + i as u8));
        let response = s
            .encrypt(br#"{"success": true, "message": "OK", "data": {}}"#)
            .unwrap();
        assert_eq!(
            hex(&response),
            "8f95530fb675e747e32600ab6c3c288cc0fa0f45f875aac96c0ac331e5eb842c4cb79cd69fdd3af5ef53b264d5a4df83"
        );
        assert_eq!(
            hex(&s.encrypt(b"64").unwrap()),
            "0e5dac00096a70abeafb37c4dd071acd"
        );
    }

    #[test]
    fn a_key_survives_its_file_which_is_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        let made = OwnKey::load_or_generate(&path, 2048).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let read = OwnKey::load_or_generate(&path, 2048).unwrap();
        assert_eq!(made.fingerprint(), read.fingerprint());
        let sealed = PeerKey::from_pem(made.public_pem())
            .unwrap()
            .seal(&secret())
            .unwrap();
        assert_eq!(
            read.unseal(&sealed).unwrap().to_bytes(),
            secret().to_bytes()
        );
        fs::write(&path, "junk").unwrap();
        assert!(OwnKey::load_or_generate(&path, 2048).is_err());
    }

    #[test]
    fn pem_lengths_are_those_of_the_original() {
        assert_eq!(OwnKey::generate(2048).unwrap().public_pem().len(), 451);
        assert!(OwnKey::generate(1024).is_err());
    }

    #[test]
    fn junk_around_a_key_is_refused() {
        let pem = OwnKey::generate(2048).unwrap().public_pem().to_vec();
        assert!(PeerKey::from_pem(&pem).is_ok());
        let with = |before: &[u8], after: &[u8]| [before, &pem, after].concat();
        assert!(PeerKey::from_pem(&with(b"x", b"")).is_err());
        assert!(PeerKey::from_pem(&with(b"", b"junk")).is_err());
        assert!(PeerKey::from_pem(b"").is_err());
    }
}
