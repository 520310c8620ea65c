//! Changes done together, and apart where together does not work.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep_until};

use super::change::Change;
use super::clerk::{Clerk, Reply};
use super::plan::{Need, Plan};
use super::proof::{self, Claim};
use crate::model::ServiceName;
use crate::proxy::error::{Error, Result};
use crate::proxy::routing::Entries;

/// A change and who waits for it.
pub(crate) struct Member {
    pub change: Change,
    pub reply: Reply<()>,
}

impl Member {
    /// Nobody waits for what would be new: what was asked for was given up meanwhile.
    fn is_moot(&self) -> bool {
        self.change.need().is_more() && self.reply.is_closed()
    }

    /// Who does not wait any more does not need the answer.
    fn answer(self, answer: Result<()>) {
        let _ = self.reply.send(answer);
    }
}

/// Where a stage is proved.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doors {
    All,
    Any,
}

impl Clerk {
    /// Do what is pending, unless it needs a reload that is not due yet.
    pub(super) async fn do_pending(&mut self) {
        let mut admitted = Vec::new();
        for member in std::mem::take(&mut self.pending) {
            if member.is_moot() {
                continue;
            }
            match self.admit(&member.change).await {
                Ok(()) => admitted.push(member),
                Err(error) => member.answer(Err(error)),
            }
        }
        self.bring(admitted, true).await;
    }

    /// A restore moves the public requests back before anything else.
    async fn admit(&mut self, change: &Change) -> Result<()> {
        self.machine.admit(change).await?;
        if let Change::Restore { service, before } = change {
            self.machine.flip_back(service, before.as_ref()).await?;
        }
        Ok(())
    }

    /// Make `batch` so, together; where that fails, in parts. `may_wait` puts it off until a reload is
    /// due.
    fn bring(&mut self, batch: Vec<Member>, may_wait: bool) -> BoxFuture<'_, ()> {
        async move {
            let mut entries = self.machine.entries().clone();
            let mut members = self.apply(batch, &mut entries);
            let Some(need) = members.iter().map(|member| member.change.need()).max() else {
                return;
            };
            let plan = match self.machine.plan(entries, need, false).await {
                Ok(plan) => plan,
                Err(error) => return self.bring_apart(members, error).await,
            };
            match self.wait_for(&plan) {
                Some(_) if may_wait => {
                    members.append(&mut self.pending);
                    self.pending = members;
                    return;
                }
                Some(due) => sleep_until(due).await,
                None => {}
            }
            let had = match plan.reload {
                true => BTreeSet::new(),
                false => self.had_already(&members, &plan.entries),
            };
            match self.machine.execute(plan).await {
                Ok(()) => self.done(members, need, &had),
                Err(error) => self.bring_apart(members, error).await,
            }
        }
        .boxed()
    }

    /// The changes that make sense, applied to `entries`; the others are answered.
    fn apply(&self, batch: Vec<Member>, entries: &mut Entries) -> Vec<Member> {
        let mut members = Vec::new();
        for member in batch {
            let mut tried = entries.clone();
            match member.change.apply(&mut tried) {
                Ok(notice) => {
                    let subject = format!("instances of {}", member.change.service());
                    self.machine.report.set(&subject, notice);
                    *entries = tried;
                    members.push(member);
                }
                Err(error) => member.answer(Err(error)),
            }
        }
        members
    }

    /// When the reload that `plan` needs is due, if that is not yet.
    pub(super) fn wait_for(&self, plan: &Plan) -> Option<Instant> {
        self.machine.next_reload().filter(|due| plan.reload && *due > Instant::now())
    }

    /// Services that have what was asked for already: a colour that was kept, say.
    fn had_already(&self, members: &[Member], entries: &Entries) -> BTreeSet<ServiceName> {
        let services = members.iter().map(|member| member.change.service());
        let same =
            |service: &&ServiceName| entries.get(*service) == self.machine.entries().get(*service);
        services.filter(same).cloned().collect()
    }

    fn done(&mut self, members: Vec<Member>, need: Need, had: &BTreeSet<ServiceName>) {
        self.settle_at = None;
        self.machine.report.set_agreed(true);
        if need == Need::All {
            self.machine.report.set("template", None);
        }
        self.show();
        for member in members {
            let doors = match had.contains(member.change.service()) {
                // It was proved at all of them: what is left to ask is whether the instances answer.
                true => Doors::Any,
                false => Doors::All,
            };
            self.prove(member, doors);
        }
    }

    /// Answer the caller, after a stage once an instance of the idle colour has answered through the
    /// proxy. The clerk does not wait for that.
    fn prove(&self, member: Member, doors: Doors) {
        let Change::Stage { view, colour, .. } = &member.change else {
            return member.answer(Ok(()));
        };
        let entry = match self.machine.entry(&view.service) {
            Ok(entry) => entry,
            Err(error) => return member.answer(Err(error)),
        };
        let mut claim = Claim::of_idle(&self.machine.settings, entry, *colour);
        if doors == Doors::Any {
            claim = claim.at_one_door();
        }
        let prober = self.machine.prober.clone();
        let turn = self.proofs.clone().acquire_owned();
        tokio::spawn(async move {
            // Held until the proof is done; the semaphore is never closed.
            let _turn = turn.await;
            member.answer(proof::prove(&prober, &claim, proof::STAGED).await);
        });
    }

    /// What needs less is tried apart from what needs more, then halves apart from each other. A
    /// single change, or one of many where none is to blame, gets the error.
    async fn bring_apart(&mut self, mut members: Vec<Member>, error: Error) {
        let first = split(&mut members, error.may_be_one());
        if !first.is_empty() && !members.is_empty() {
            self.bring(first, false).await;
            return self.bring(members, false).await;
        }
        let error = Arc::new(error);
        for member in first.into_iter().chain(members) {
            member.answer(Err(Error::Shared(error.clone())));
        }
    }
}

/// Take from `members` those that are to be tried first, apart from the rest; none when there is no
/// use in parts. Two changes of one service stay in their order.
fn split(members: &mut Vec<Member>, one_is_to_blame: bool) -> Vec<Member> {
    let mut services = BTreeSet::new();
    let twice = members.iter().any(|member| !services.insert(member.change.service().clone()));
    let most = members.iter().map(|member| member.change.need()).max();
    let is_new = |member: &Member| Some(member.change.need()) == most;
    let mixed = !members.iter().all(is_new);
    if mixed && !twice {
        let (new, kept) = std::mem::take(members).into_iter().partition(is_new);
        *members = new;
        return kept;
    }
    let at = match () {
        () if members.len() < 2 => 0,
        // One by one, so that each keeps its place.
        () if mixed => 1,
        () if one_is_to_blame => members.len() / 2,
        () => 0,
    };
    let rest = members.split_off(at);
    std::mem::replace(members, rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Colour;
    use crate::proxy::keeper::change::Staged;

    fn member(service: &str, need: Need) -> Member {
        let service: crate::model::ServiceName = service.parse().unwrap();
        let staged = match need {
            Need::Live => None,
            Need::Back => Some(Staged::Earlier),
            Need::All => Some(Staged::New),
        };
        let change = if let Some(what) = staged {
            let rule = crate::model::RouteRule { hosts: Vec::new(), path: "/".into(), tls: false };
            let backends = std::collections::BTreeMap::new();
            let view =
                crate::model::ServiceView { service, rule, live: None, generation: 1, backends };
            Change::Stage { view, colour: Colour::Blue, backends: Vec::new(), what }
        } else {
            Change::Restore { service, before: None }
        };
        Member { change, reply: tokio::sync::oneshot::channel().0 }
    }

    fn parts(list: &[(&str, Need)], one_is_to_blame: bool) -> (Vec<String>, Vec<String>) {
        let mut rest = list.iter().map(|(service, need)| member(service, *need)).collect();
        let first = split(&mut rest, one_is_to_blame);
        let names = |members: &[Member]| {
            let name = |m: &Member| format!("{}{}", m.change.service(), m.change.need() as u8);
            members.iter().map(name).collect::<Vec<_>>()
        };
        (names(&first), names(&rest))
    }

    fn text(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn what_needs_less_comes_before_what_needs_more() {
        let list = [("a", Need::All), ("b", Need::Live), ("c", Need::All)];
        assert_eq!(parts(&list, false), (text(&["b0"]), text(&["a2", "c2"])));
        let list = [("a", Need::All), ("b", Need::Back), ("c", Need::Live)];
        assert_eq!(parts(&list, false), (text(&["b1", "c0"]), text(&["a2"])));
        assert_eq!(parts(&list[1..], false), (text(&["c0"]), text(&["b1"])));
    }

    #[test]
    fn two_changes_of_one_service_keep_their_order() {
        let found = parts(&[("a", Need::All), ("b", Need::All), ("a", Need::Live)], true);
        assert_eq!(found, (text(&["a2"]), text(&["b2", "a0"])));
    }

    #[test]
    fn halves_only_where_one_is_to_blame() {
        let list = [("a", Need::All), ("b", Need::All), ("c", Need::All)];
        assert_eq!(parts(&list, true), (text(&["a2"]), text(&["b2", "c2"])));
        assert_eq!(parts(&list, false), (Vec::new(), text(&["a2", "b2", "c2"])));
        assert_eq!(parts(&list[..1], true), (Vec::new(), text(&["a2"])));
    }
}
