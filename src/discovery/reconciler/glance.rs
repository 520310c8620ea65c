//! Whether all is well with a service, by what the look at everything shows of it: nothing is asked of Swarm,
//! registry or journal for it.

use std::collections::BTreeSet;

use super::Reconciler;
use super::diary::Matter;
use super::public::is_led;
use super::sight::Glimpse;
use crate::deploy::ports::PortResult;
use crate::discovery::compare::compare;
use crate::discovery::past::contradiction;
use crate::model::{ServiceName, ServiceRecord};

impl Reconciler {
    /// Whether nothing of `service` is to be mended, and what there is to say of it is said already. `record`
    /// is what is held of it; none where nothing is, or what cannot be read.
    pub(super) async fn is_well(
        &self,
        service: &ServiceName,
        record: Option<&ServiceRecord>,
        glimpse: &Glimpse,
    ) -> bool {
        let Some(record) = record.filter(|_| glimpse.is_clear()) else { return false };
        if self.engine.under_way(service).is_some() || self.idle.leaving(service).is_some() {
            return false;
        }
        // What goes wrong with it is met again by the look at it alone, and told.
        self.finds_nothing(service, record, glimpse).await.unwrap_or(false)
    }

    async fn finds_nothing(
        &self,
        service: &ServiceName,
        record: &ServiceRecord,
        glimpse: &Glimpse,
    ) -> PortResult<bool> {
        let colours = &glimpse.colours;
        let findings = compare(record, &glimpse.seen, &BTreeSet::new());
        let said = |matter, line: Option<String>| self.diary.says(service, matter, line.as_deref());
        if !findings.mends_nothing() || !said(Matter::Running, findings.stands()) {
            return Ok(false);
        }
        let views = self.world.proxies.snapshot(service).await?;
        let last = self.last(service).await?;
        let last = last.as_deref();
        let committed = last.map(|last| &last.prepared);
        let exists = |colour| colours.contains_key(&colour);
        let contradicted = committed.and_then(|last| contradiction(record, last, exists));
        Ok(contradicted.is_none()
            && said(Matter::Edited, committed.and_then(|last| self.edits(last, record, colours)))
            && said(Matter::Spare, None)
            && self.is_tidy(service, record, &views, last, colours)
            && !self.may_be_left(service, record, colours)
            && is_led(service, record, &glimpse.seen, views))
    }
}
