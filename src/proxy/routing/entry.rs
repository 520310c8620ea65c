//! What a keeper holds of the services.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::deploy::ports::Idle;
use crate::model::{Colour, RouteRule, ServiceName, ServiceView};

/// What a keeper holds of one service.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Entry {
    /// What is in force.
    pub view: ServiceView,
    /// The rule that comes into force with the next flip, where it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextRule>,
}

/// A rule that waits for a flip.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct NextRule {
    /// The colour that brings it.
    pub with: Colour,
    /// The rule.
    pub rule: RouteRule,
}

impl Entry {
    /// The rule that holds when `colour` is live.
    pub fn rule_of(&self, colour: Colour) -> &RouteRule {
        match &self.next {
            Some(next) if next.with == colour => &next.rule,
            _ => &self.view.rule,
        }
    }

    /// The idle `colour`.
    pub fn idle(&self, colour: Colour) -> Idle {
        let (rule, backends) = (self.rule_of(colour).clone(), self.view.of(colour).to_vec());
        Idle { colour, rule, backends }
    }

    /// The addresses of the instances of `colour`.
    pub fn addresses(&self, colour: Colour) -> BTreeSet<SocketAddr> {
        self.view.of(colour).iter().map(|backend| backend.address).collect()
    }

    /// Let `colour` be live, with its rule.
    pub fn make_live(&mut self, colour: Colour) {
        self.view.rule = self.rule_of(colour).clone();
        self.view.live = Some(colour);
        self.next = None;
    }
}

/// All that a keeper holds; entries are shared because the whole is copied for each change.
pub(crate) type Entries = BTreeMap<ServiceName, Arc<Entry>>;
