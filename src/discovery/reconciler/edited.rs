//! The live colour, where somebody changed it by hand: only told, since it may have been meant so.

use super::Reconciler;
use super::sight::Colours;
use crate::deploy::ports::PortResult;
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
        let Some(last) = self.last(service).await? else { return Ok(()) };
        let (release, live) = (&last.prepared.release, last.prepared.colour);
        let committed = colours.get(&live).filter(|there| {
            record.colour == Some(live) && there.release() == Some(release.id.as_str())
        });
        let Some(there) = committed else { return Ok(()) };
        let edits = self.world.swarm.edits(release, live, there);
        if !edits.is_empty() {
            self.diary.note_standing(service, &changed(&there.name, &edits));
        }
        Ok(())
    }
}

/// What is said of it.
fn changed(name: &str, edits: &[String]) -> String {
    format!("`{name}` was changed by hand: {}; deploy again to undo that", edits.join("; "))
}
