//! The live colour, where somebody changed it by hand: only told, since it may have been meant so.

use super::Reconciler;
use super::diary::Matter;
use super::sight::Colours;
use crate::deploy::ports::PortResult;
use crate::deploy::record::Prepared;
use crate::model::{ServiceName, ServiceRecord};

impl Reconciler {
    /// Tell in what the live colour is not what was committed last any more. Only while no deployment is
    /// under way.
    pub(super) async fn tell_edits(
        &self,
        service: &ServiceName,
        record: &ServiceRecord,
        colours: &Colours,
    ) -> PortResult<()> {
        let last = self.last(service).await?;
        let told = last.and_then(|last| self.edits(&last.prepared, record, colours));
        self.diary.stands(service, Matter::Edited, told);
        Ok(())
    }

    /// In what the live colour is not what `last` committed; none where it is.
    pub(super) fn edits(
        &self,
        last: &Prepared,
        record: &ServiceRecord,
        colours: &Colours,
    ) -> Option<String> {
        let Prepared { release, colour: live, .. } = last;
        let there = colours.get(live).filter(|there| {
            record.colour == Some(*live) && there.release() == Some(release.id.as_str())
        })?;
        let edits = self.world.swarm.edits(release, *live, there);
        (!edits.is_empty()).then(|| changed(&there.name, &edits))
    }
}

/// What is said of it.
fn changed(name: &str, edits: &[String]) -> String {
    format!("`{name}` was changed by hand: {}; deploy again to undo that", edits.join("; "))
}
