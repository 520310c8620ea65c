use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};

use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};

use super::settings::{self, SettingsError};

/// The ACL token in its file.
pub(super) struct Token {
    file: Option<PathBuf>,
    current: RwLock<Option<SecretString>>,
}

const WHAT: &str = "ACL token";

impl Token {
    pub(super) fn read(file: Option<PathBuf>) -> Result<Self, SettingsError> {
        let current = file.as_ref().map(|path| {
            let bytes = settings::read(WHAT, path)?;
            parse(&bytes).ok_or_else(|| SettingsError::Content { what: WHAT, path: path.clone() })
        });
        Ok(Self { current: RwLock::new(current.transpose()?), file })
    }

    /// The header's value; it is marked, so that nothing logs it.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let mut value = HeaderValue::from_str(current.as_ref()?.expose_secret()).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Read the file again; if it cannot be read, the token at hand stays.
    pub(super) async fn refresh(&self) {
        let Some(file) = &self.file else { return };
        let fresh = tokio::fs::read(file).await.ok().as_deref().and_then(parse);
        if fresh.is_some() {
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        }
    }

    pub(super) fn file(&self) -> Option<&PathBuf> {
        self.file.as_ref()
    }
}

/// A token is a word, whatever white space stands around it.
fn parse(bytes: &[u8]) -> Option<SecretString> {
    let text = str::from_utf8(bytes).ok()?.trim();
    let word = !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic());
    word.then(|| SecretString::from(text))
}
