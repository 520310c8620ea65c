//! Who may do what.
//!
//! A unix socket needs no token: whoever may connect may do everything. Over TCP a bearer token
//! decides, of which only the hash is known here.

use std::fmt;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Api;
use super::problem::Problem;
use crate::config::{Scope, Token};
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

/// The word in the configuration.
pub(crate) fn word(scope: Scope) -> &'static str {
    match scope {
        Scope::Read => "read",
        Scope::Deploy => "deploy",
        Scope::Operate => "operate",
    }
}

/// The hash of a token. The token is 256 random bits, so nothing slower is needed.
#[must_use]
pub fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Whether `pattern`, in which `*` stands for any characters, means `name`.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
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
            // Whoever may do something may look.
            *scope == Scope::Read || token.scopes.contains(scope)
        };
        if scopes.iter().any(granted) {
            return Ok(());
        }
        let wanted: Vec<String> =
            scopes.iter().map(|scope| format!("`{}`", word(*scope))).collect();
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
                || token.services.iter().any(|pattern| matches(pattern, service.as_str()))
        })
    }

    /// The token that was sent, where one is needed.
    pub(crate) fn token(&self) -> Option<&Token> {
        self.token.as_ref()
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
    let hash = hash(text);
    let mut found = None;
    for token in tokens {
        if bool::from(token.hash.ct_eq(&hash)) {
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
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
