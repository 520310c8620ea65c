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

    /// Read the file again; whether there is another token in it.
    pub(super) async fn refresh(&self) -> bool {
        let Some(file) = &self.file else {
            return false;
        };
        let Ok(bytes) = tokio::fs::read(file).await else {
            return false;
        };
        let Some(fresh) = parse(&bytes) else {
            return false;
        };
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let known =
            current.as_ref().is_some_and(|known| known.expose_secret() == fresh.expose_secret());
        *current = Some(fresh);
        !known
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
