use crate::document::{At, Leaf, Problems, leaf, record};

use super::leaves::Label;

/// Who may use the API over TCP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is called in the audit log; unique.
    pub name: String,
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// What it allows; at least one.
    pub scopes: Vec<Scope>,
    /// The services it is for, `*` for any characters; empty: all.
    pub services: Vec<String>,
}

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Look.
    Read,
    /// Deploy, plan, roll back, abort.
    Deploy,
    /// Abort, approve, reject, retry.
    Operate,
}

impl Leaf for Scope {
    const WHAT: &'static str = "a scope";
    const EXAMPLE: &'static str = "deploy";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "read" => Ok(Self::Read),
            "deploy" => Ok(Self::Deploy),
            "operate" => Ok(Self::Operate),
            _ => Err("known are read, deploy, operate".to_owned()),
        }
    }
}

leaf! {
    /// SHA-256, hexadecimal.
    Hash([u8; 32]) is "the SHA-256 of a token", like
        "0000000000000000000000000000000000000000000000000000000000000000", by parse_hash secrets;

    /// A name of services with `*` for any characters.
    Pattern(String) is "a pattern of service names", like "books-*", by parse_pattern;
}

fn parse_hash(text: &str) -> Result<[u8; 32], String> {
    let mut hash = [0; 32];
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    match hex::decode_to_slice(digits, &mut hash) {
        Ok(()) => Ok(hash),
        Err(_) => {
            Err("it has 64 hexadecimal digits, as `printf %s TOKEN | sha256sum` prints them"
                .to_owned())
        }
    }
}

fn parse_pattern(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-*".contains(c);
    if text.is_empty() || !text.chars().all(allowed) {
        return Err("use lower-case letters, digits, hyphens and `*`".to_owned());
    }
    Ok(text.to_owned())
}

record! {
    /// One of `[[token]]`
    pub(super) struct TokenRecord {
        name: At<Label>,
        hash: At<Hash>,
        scopes: At<Vec<Scope>>,
        services: Option<At<Vec<Pattern>>>,
    }
}

pub(super) fn validate(records: &[TokenRecord], problems: &mut Problems) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    for record in records {
        let token = record.validate(problems);
        if tokens.iter().any(|earlier| earlier.name == token.name) {
            let what = format!("two tokens are called `{}`", token.name);
            problems.report(&record.name.place, what, "give each a name of its own");
        }
        if tokens.iter().any(|earlier| earlier.hash == token.hash) {
            let what = "two tokens have the same hash";
            problems.report(&record.hash.place, what, "give each person a token of their own");
        }
        tokens.push(token);
    }
    tokens
}

impl TokenRecord {
    fn validate(&self, problems: &mut Problems) -> Token {
        if self.scopes.value.is_empty() {
            let what = "the token would allow nothing";
            problems.report(&self.scopes.place, what, "name a scope");
        }
        if let Some(services) = self.services.as_ref().filter(|it| it.value.is_empty()) {
            let what = "an empty list is for no service";
            problems.report(&services.place, what, "name one, or leave the key out for all");
        }
        let services = self.services.iter().flat_map(|services| &services.value);
        Token {
            name: self.name.value.0.clone(),
            hash: self.hash.value.0,
            scopes: self.scopes.value.clone(),
            services: services.map(|pattern| pattern.0.clone()).collect(),
        }
    }
}
