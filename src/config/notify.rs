use secrecy::SecretString;

use crate::document::{At, Leaf, Problems, record};

use super::leaves::HttpUrl;

/// Somebody who is told of events.
#[derive(Debug, Clone)]
pub struct Notify {
    /// Where they are posted. Often it is all that proves a right to post, hence a secret.
    pub url: SecretString,
    /// Of which; none twice.
    pub events: Vec<Occasion>,
}

/// What somebody can be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// A deployment was accepted.
    Opened,
    /// It waits for a person.
    Waiting,
    /// The new release is live.
    Committed,
    /// All is as it was before.
    Reverted,
    /// A person is needed.
    Stuck,
}

impl Occasion {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Opened, Self::Waiting, Self::Committed, Self::Reverted, Self::Stuck];

    /// The word in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Waiting => "waiting",
            Self::Committed => "committed",
            Self::Reverted => "reverted",
            Self::Stuck => "stuck",
        }
    }
}

impl Leaf for Occasion {
    const WHAT: &'static str = "an event";
    const EXAMPLE: &'static str = "committed";

    fn parse(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|occasion| occasion.as_str() == text);
        known.ok_or_else(|| {
            let words = Self::ALL.map(Self::as_str);
            format!("known are {}", words.join(", "))
        })
    }
}

record! {
    /// One of `[[notify]]`
    pub(super) struct NotifyRecord {
        url: HttpUrl,
        events: Option<At<Vec<Occasion>>>,
    }
}

pub(super) fn validate(records: &[NotifyRecord], problems: &mut Problems) -> Vec<Notify> {
    records.iter().map(|record| one(record, problems)).collect()
}

fn one(record: &NotifyRecord, problems: &mut Problems) -> Notify {
    let mut events = Occasion::ALL[1..].to_vec();
    if let Some(given) = &record.events {
        if given.value.is_empty() {
            problems.report(&given.place, "nobody would be told of anything", "name an event");
        }
        events.clone_from(&given.value);
        events.dedup();
    }
    Notify { url: record.url.0.as_str().into(), events }
}
