use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A reference to an image as people write it: `[host[:port]/]path[:tag][@digest]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageRef {
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
}

impl ImageRef {
    /// Host and path, without tag and digest.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if one was written.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest (`sha256:…`), if one was written.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// The registry of images that holds it: what stands before the first `/` when it has a dot, a
    /// port, or is `localhost`; Docker Hub otherwise.
    #[must_use]
    pub fn registry(&self) -> &str {
        match self.repository.split_once('/') {
            Some((host, _)) if host.contains('.') || host.contains(':') || host == "localhost" => {
                host
            }
            _ => "docker.io",
        }
    }

    /// The same image pinned to `digest`.
    #[must_use]
    pub fn pin(&self, digest: &str) -> PinnedImage {
        PinnedImage {
            repository: self.repository.clone(),
            tag: self.tag.clone(),
            digest: digest.to_owned(),
        }
    }
}

/// An image that cannot change: repository and digest. The tag is kept for people to read.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
pub struct PinnedImage {
    /// Host and path.
    pub repository: String,
    /// The tag it was resolved from, if any; says nothing about what runs.
    pub tag: Option<String>,
    /// `sha256:…`
    pub digest: String,
}

impl PinnedImage {
    /// `repository@digest`: what is sent to Docker.
    #[must_use]
    pub fn reference(&self) -> String {
        format!("{}@{}", self.repository, self.digest)
    }
}

impl fmt::Display for PinnedImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        write!(f, "@{}", self.digest)
    }
}

/// The text cannot be an image reference.
#[derive(Debug, thiserror::Error)]
#[error("`{image}` is not an image: {why}; write `[host[:port]/]path[:tag][@sha256:…]`")]
pub struct ParseImageError {
    image: String,
    why: &'static str,
}

impl ParseImageError {
    /// The reason alone, as half a sentence.
    #[must_use]
    pub fn why(&self) -> &'static str {
        self.why
    }
}

impl FromStr for ImageRef {
    type Err = ParseImageError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |why| ParseImageError { image: text.to_owned(), why };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        if digest.is_some_and(|digest| !is_digest(digest)) {
            return Err(wrong("its digest is not `sha256:` and 64 hexadecimal digits"));
        }
        let slash = rest.rfind('/').map_or(0, |at| at + 1);
        let (repository, tag) = match rest[slash..].find(':') {
            Some(colon) => (&rest[..slash + colon], Some(&rest[slash + colon + 1..])),
            None => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(wrong("its tag has characters that are not allowed, or none"));
        }
        if repository.is_empty() {
            return Err(wrong("it has no name"));
        }
        if repository.split('/').any(str::is_empty) {
            return Err(wrong("a part of its path is empty"));
        }
        let path = &repository[repository.find('/').map_or(0, |at| at + 1)..];
        if !path.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c))
        {
            return Err(wrong("its path may have lower-case letters, digits and `._-/` only"));
        }
        if !repository.chars().all(|c| c.is_ascii_alphanumeric() || "._-/:[]".contains(c)) {
            return Err(wrong("its host has characters that are not allowed"));
        }
        Ok(Self {
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.chars().all(|c| c.is_ascii_hexdigit()))
}

fn is_tag(text: &str) -> bool {
    let mut chars = text.chars();
    text.len() <= 128
        && chars.next().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for ImageRef {
    type Error = ParseImageError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ImageRef> for String {
    fn from(image: ImageRef) -> Self {
        image.to_string()
    }
}

impl utoipa::PartialSchema for ImageRef {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        String::schema()
    }
}

impl utoipa::ToSchema for ImageRef {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_a_host_is_not_a_tag() {
        let image: ImageRef = "127.0.0.1:5000/books-ms".parse().unwrap();
        assert_eq!((image.registry(), image.tag()), ("127.0.0.1:5000", None));
        let image: ImageRef = "127.0.0.1:5000/books-ms:2.0".parse().unwrap();
        assert_eq!((image.repository(), image.tag()), ("127.0.0.1:5000/books-ms", Some("2.0")));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", ":tag", "a//b", "UPPER/Case", "name@sha256:12", "name:", "na me"] {
            assert!(text.parse::<ImageRef>().is_err(), "{text}");
        }
    }
}
