//! Who may do what.
//!
//! A unix socket needs no token: whoever may connect may do everything. Over TCP a bearer token
//! decides, of which only the hash is known here.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Api;
use super::problem::Problem;
use crate::deploy::control::{Refusal, RefusalKind};
use crate::model::ServiceName;

/// How a connection proves its rights.
#[derive(Debug, Clone)]
pub enum Auth {
    /// Being connected is the right (unix socket, guarded by its file mode).
    Socket,
    /// By one of these tokens.
    Tokens(Vec<Token>),
}

/// What a token allows. Each scope includes `read`; none includes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Look at everything.
    Read,
    /// Deploy, plan, roll back and abort.
    Deploy,
    /// Abort, approve, reject and retry.
    Operate,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Deploy => "deploy",
            Self::Operate => "operate",
        })
    }
}

/// A token that is accepted.
#[derive(Debug, Clone)]
pub struct Token {
    /// How it is called in the audit log.
    pub name: String,
    /// Of the token's text.
    pub hash: TokenHash,
    /// What it allows.
    pub scopes: BTreeSet<Scope>,
    /// Which services it is for; empty: all.
    pub services: Vec<Pattern>,
}

/// SHA-256 of a token. The token is 256 random bits, so nothing slower is needed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// A hash that was read from a configuration.
    #[must_use]
    pub fn new(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// The hash of `token`.
    #[must_use]
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenHash({}…)", hex::encode(&self.0[..4]))
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// The text is not the hash of a token.
#[derive(Debug, thiserror::Error)]
#[error("a token's hash is 64 hexadecimal digits, as `printf %s TOKEN | sha256sum` prints them")]
pub struct ParseHashError;

impl FromStr for TokenHash {
    type Err = ParseHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let mut hash = [0; 32];
        hex::decode_to_slice(digits, &mut hash).map_err(|_| ParseHashError)?;
        Ok(Self(hash))
    }
}

/// A pattern of service names: `*` stands for any characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern from its text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether `name` is meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = parts.next().and_then(|head| name.strip_prefix(head)) else {
            return false;
        };
        let Some(tail) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            match rest.find(part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(tail)
    }
}

/// Where a connection comes from.
#[derive(Debug, Clone)]
pub(crate) enum Peer {
    /// A process on this machine, by its user.
    User(Option<u32>),
    /// A client by its address.
    Address(std::net::SocketAddr),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(Some(uid)) => write!(f, "uid {uid}"),
            Self::User(None) => f.write_str("unknown user"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

/// Who asks, and what they may.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    peer: Option<Peer>,
    token: Option<Token>,
}

impl Caller {
    /// Who this is, for the audit log: proved, not claimed.
    pub(crate) fn identity(&self) -> String {
        let peer = self.peer.as_ref().map_or_else(|| "unknown peer".to_owned(), Peer::to_string);
        match &self.token {
            Some(token) => format!("token {} from {peer}", token.name),
            None => peer,
        }
    }

    /// The name to record: what the client says of itself, and the token that backs it.
    pub(crate) fn name(&self, claimed: &str) -> String {
        match (claimed.trim(), &self.token) {
            ("", _) => self.identity(),
            (claimed, Some(token)) => format!("{claimed} (token {})", token.name),
            (claimed, None) => claimed.to_owned(),
        }
    }

    /// Refuse unless one of `scopes` is granted, whatever the service.
    pub(crate) fn may_any(&self, scopes: &[Scope]) -> Result<(), Problem> {
        let Some(token) = &self.token else { return Ok(()) };
        let granted = |scope: &Scope| {
            token.scopes.contains(scope) || (*scope == Scope::Read && !token.scopes.is_empty())
        };
        if scopes.iter().any(granted) {
            return Ok(());
        }
        let wanted: Vec<String> = scopes.iter().map(|scope| format!("`{scope}`")).collect();
        let wanted = wanted.join(" or ");
        Err(forbidden(format!("token `{}` does not have the scope {wanted}", token.name))
            .remedy("ask with a token that has it; scopes are set in `verdigris.toml`"))
    }

    /// Refuse unless one of `scopes` is granted for `service`.
    pub(crate) fn may(&self, scopes: &[Scope], service: &ServiceName) -> Result<(), Problem> {
        self.may_any(scopes)?;
        if self.sees(service) {
            return Ok(());
        }
        Err(forbidden(format!("{} is not for service `{service}`", self.token_name()))
            .remedy("ask with a token whose `services` include it"))
    }

    /// Refuse a token that is for some services only: the answer is about all of them.
    pub(crate) fn may_all(&self, scope: Scope) -> Result<(), Problem> {
        self.may_any(&[scope])?;
        if self.sees_all() {
            return Ok(());
        }
        Err(forbidden(format!(
            "{} is for some services only, and this is about all of them",
            self.token_name()
        ))
        .remedy("ask with a token without `services`"))
    }

    /// Whether the caller may know of every service.
    pub(crate) fn sees_all(&self) -> bool {
        self.token.as_ref().is_none_or(|token| token.services.is_empty())
    }

    /// Whether `service` is one that the caller may know of.
    pub(crate) fn sees(&self, service: &ServiceName) -> bool {
        self.token.as_ref().is_none_or(|token| {
            token.services.is_empty()
                || token.services.iter().any(|pattern| pattern.matches(service.as_str()))
        })
    }

    fn token_name(&self) -> String {
        self.token.as_ref().map_or_else(String::new, |token| format!("token `{}`", token.name))
    }
}

fn forbidden(message: String) -> Problem {
    Refusal::new(RefusalKind::Forbidden, message).into()
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| {
            Refusal::new(RefusalKind::Internal, "this path is served without authentication").into()
        })
    }
}

/// Find out who asks; answers 401 when nobody known does.
pub(crate) async fn authenticate(
    State(api): State<Api>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let peer = request.extensions().get::<Peer>().cloned();
    let token = match &*api.auth {
        Auth::Socket => None,
        Auth::Tokens(tokens) => Some(find(tokens, bearer(&request)?)?.clone()),
    };
    request.extensions_mut().insert(Caller { peer, token });
    Ok(next.run(request).await)
}

fn bearer(request: &Request) -> Result<&str, Problem> {
    let Some(header) = request.headers().get(AUTHORIZATION) else {
        return Err(unauthenticated("no token was sent"));
    };
    let text = header.to_str().ok();
    let token = text.and_then(|text| text.split_once(' '));
    match token {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(unauthenticated("the `Authorization` header is not `Bearer TOKEN`")),
    }
}

/// Every token is compared, and in constant time, so that the time taken tells nothing.
fn find<'a>(tokens: &'a [Token], text: &str) -> Result<&'a Token, Problem> {
    let hash = TokenHash::of(text);
    let mut found = None;
    for token in tokens {
        if bool::from(token.hash.0.ct_eq(&hash.0)) {
            found = Some(token);
        }
    }
    found.ok_or_else(|| unauthenticated("the token is not known"))
}

fn unauthenticated(message: &str) -> Problem {
    Problem::from(Refusal::new(RefusalKind::Unauthenticated, message)).remedy(
        "send `Authorization: Bearer TOKEN` (command line: `--token-file`) with a token whose hash \
         stands in `verdigris.toml`, or use the unix socket",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, expected) in [
            ("books-ms", "books-ms", true),
            ("books-ms", "books-ms-2", false),
            ("books-*", "books-ms", true),
            ("*-ms", "books-ms", true),
            ("*-ms", "books-ms-2", false),
            ("b*-*s", "books-ms", true),
            ("*", "anything", true),
            ("a*a", "a", false),
            ("", "books-ms", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_hash_is_read_as_it_is_printed() {
        let hash = TokenHash::of("secret");
        assert_eq!(hash.to_string().parse::<TokenHash>().unwrap(), hash);
        assert_eq!(format!("sha256:{hash}").parse::<TokenHash>().unwrap(), hash);
        assert!("secret".parse::<TokenHash>().is_err());
        assert!(!format!("{hash:?}").contains(&hash.to_string()));
    }
}
