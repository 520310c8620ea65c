use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::await_up::await_again;
use super::{Context, failed, finish};
use crate::deploy::ledger;
use crate::deploy::ports::{Origin, PortError, PortResult, ProxyViews, Trouble};
use crate::deploy::record::{Prepared, StepResult};
use crate::model::{Backend, Colour, Failure, Instance, Kind, ServiceView, Step};

/// The new instances into the registry, as idle.
pub async fn register(context: &Context) -> Result<StepResult, Failure> {
    let prepared = context.prepared(Step::Register)?;
    let recorded = record(context, prepared, context.state.instances()).await;
    recorded.map_err(|error| failed(Step::Register, &error))?;
    Ok(StepResult::Nothing)
}

async fn record(context: &Context, prepared: &Prepared, instances: &[Instance]) -> PortResult<()> {
    let service = &prepared.release.service;
    let change = |record: &mut _| ledger::register(record, prepared, instances);
    context.ledger.change(service, change).await.map(drop)
}

/// Undo of [`register`].
pub async fn unregister(context: &Context, prepared: &Prepared) -> PortResult<()> {
    let service = &prepared.release.service;
    context.ledger.change(service, |record| ledger::unregister(record, prepared)).await?;
    Ok(())
}

/// The new instances into the proxies' idle colour.
pub async fn stage(context: &Context) -> Result<StepResult, Failure> {
    let prepared = context.prepared(Step::Stage)?;
    let staged = async {
        // Put back to an earlier state since the start, a proxy would lead the public to what is put there.
        if prepared.live.is_some() && !prepared.running {
            let led = lead_away(context, prepared, true, &context.stop).await;
            led.map_err(|error| error.of(Origin::Proxy))?;
            // As with those before the start: a revert has to wait for others.
            context.tries.set_drained(false);
            // That may have taken long.
            super::hold(context).await?;
        }
        lead(context, prepared, context.state.instances(), Step::Stage).await
    };
    staged.await.map_err(|error| failed(Step::Stage, &error))?;
    Ok(StepResult::Nothing)
}

async fn lead(
    context: &Context,
    prepared: &Prepared,
    instances: &[Instance],
    step: Step,
) -> PortResult<()> {
    let new = ledger::backends(instances);
    let live = prepared.live.map(|colour| {
        let entries = prepared.before.registry.of(colour).map(|entry| &entry.instance);
        ledger::backends(entries)
    });
    let Some(view) = ledger::staged(prepared, &live.unwrap_or_default(), &new) else {
        return Ok(());
    };
    let proxies = &context.world.proxies;
    let staged = match context.state.request.kind {
        Kind::Deploy { .. } => {
            proxies.stage(&view, prepared.colour, &new).await.map(|()| Vec::new())
        }
        Kind::Rollback { .. } => proxies.restage(&view, prepared.colour, &new).await,
    };
    let notes = staged.map_err(|error| error.of(Origin::Proxy))?;
    notes.into_iter().for_each(|note| context.note(step, note));
    Ok(())
}

/// Undo of [`stage`]: nobody may be led to the new instances any more, by a proxy that was put back
/// meanwhile.
pub async fn unstage(context: &Context, prepared: &Prepared) -> PortResult<()> {
    lead_away(context, prepared, true, &context.shutdown).await?;
    take_out(context, prepared).await
}

async fn take_out(context: &Context, prepared: &Prepared) -> PortResult<()> {
    let service = &prepared.release.service;
    let turn = context.ledger.turn(service);
    // The reconciler must not tell the proxies about instances that are just being taken out.
    let _turn = turn.lock().await;
    let mut before = views_before(prepared);
    if let Some(live) = prepared.live {
        let now = context.world.proxies.snapshot(service).await?;
        keep_moved(&mut before, &now, live);
    }
    context.world.proxies.restore(service, &before).await
}

/// What the proxies had. One that did not lead to the live colour just then, since it was put back to an
/// earlier state, has learnt of it since, and is not to forget it once more.
fn views_before(prepared: &Prepared) -> ProxyViews {
    let mut views = prepared.before.proxies.clone();
    let known = ledger::public(&prepared.release.service, &prepared.before.registry);
    let known = known.filter(|known| known.live == prepared.live);
    if let (Some(live), Some(_)) = (prepared.live, &known) {
        let astray = views.values_mut().filter(|view| !leads_to(view.as_ref(), live));
        astray.for_each(|view| view.clone_from(&known));
    }
    views
}

/// Instances of the live colour that moved since the snapshot are where they are now: putting their
/// old addresses back would take the service down.
fn keep_moved(before: &mut ProxyViews, now: &ProxyViews, live: Colour) {
    for (proxy, view) in before {
        let current = now.get(proxy).and_then(Option::as_ref);
        if let (Some(view), Some(current)) = (view, current)
            && !current.of(live).is_empty()
        {
            view.backends.insert(live, current.of(live).to_vec());
        }
    }
}

/// The route moves: published in the registry and flipped in every proxy, side by side.
pub async fn switch(context: &Context) -> Result<StepResult, Failure> {
    let prepared = context.prepared(Step::Switch)?;
    let service = &prepared.release.service;
    let moved = match context.state.may_have_moved() || context.tries.seen_long_ago() {
        true => follow_moved(context, prepared).await?,
        false => None,
    };
    let route = ledger::switched(prepared);
    let ordered = Instant::now();
    let publish = context.ledger.change(service, |record| ledger::switch(record, prepared));
    let flip = async {
        match route.rule {
            Some(_) => {
                let proxies = &context.world.proxies;
                let flipped = proxies.flip(service, prepared.colour, route.generation).await;
                flipped.map_err(|error| error.of(Origin::Proxy))
            }
            None => lead_nowhere(context, prepared).await.map(drop),
        }
    };
    // Both are awaited to their ends: what was half done is undone, not left running behind.
    let (published, flipped) = tokio::join!(publish, flip);
    flipped.map_err(|error| failed(Step::Switch, &error))?;
    published.map_err(|error| failed(Step::Switch, &error))?;
    let micros = u64::try_from(ordered.elapsed().as_micros()).unwrap_or(u64::MAX);
    Ok(StepResult::Switched { micros, moved })
}

/// Gates and people take their time: instances that Swarm has put elsewhere since they were registered
/// and staged are so again.
async fn follow_moved(
    context: &Context,
    prepared: &Prepared,
) -> Result<Option<Vec<Instance>>, Failure> {
    let now = await_again(context, Step::Switch).await?;
    if now == context.state.instances() {
        return Ok(None);
    }
    context.note(Step::Switch, "the new instances have moved".to_owned());
    let bad = |error| failed(Step::Switch, &error);
    record(context, prepared, &now).await.map_err(bad)?;
    lead(context, prepared, &now, Step::Switch).await.map_err(bad)?;
    Ok(Some(now))
}

/// Undo of [`switch`]: the public goes back at once; the requests that it left on the new colour are
/// waited for, as they are on an old one, before that is taken out.
pub async fn unswitch(context: &Context, prepared: &Prepared) -> PortResult<()> {
    let service = &prepared.release.service;
    let publish = context.ledger.change(service, |record| ledger::unswitch(record, prepared));
    let (back, published) = tokio::join!(lead_back(context, prepared), publish);
    back?;
    published?;
    drain_new(context, prepared, &context.shutdown).await?;
    unstage(context, prepared).await
}

/// Wait for the requests on the new colour, once: what is tried again after that has waited enough. Ends when
/// `called` away.
async fn drain_new(
    context: &Context,
    prepared: &Prepared,
    called: &CancellationToken,
) -> PortResult<()> {
    if context.tries.have_drained() {
        return Ok(());
    }
    let left = tokio::select! {
        biased;
        () = called.cancelled() => {
            let operation = format!("wait for the requests on `{}`", prepared.colour);
            return Err(PortError::new(Trouble::Other, operation).because("it is to stop"));
        }
        left = finish::await_drained(context, prepared, prepared.colour) => left,
    };
    if let Some(left) = left {
        context.note(Step::Switch, left);
    }
    context.tries.set_drained(true);
    Ok(())
}

/// The public is led to where it was before, while the new instances stay staged. After a switch that takes
/// no turn: whoever has it may be waiting for a registry that is silent, and the public may be on a release
/// that is broken.
async fn lead_back(context: &Context, prepared: &Prepared) -> PortResult<()> {
    let service = &prepared.release.service;
    let now = context.world.proxies.snapshot(service).await?;
    if now.values().any(|view| leads_to(view.as_ref(), prepared.colour)) {
        // Whoever came by that proxy is waited for, also where this is tried again, and where others were
        // waited for before.
        context.tries.owe();
    }
    let mut back = views_before(prepared);
    if let Some(live) = prepared.live {
        keep_moved(&mut back, &now, live);
    }
    keep_new(&mut back, &now, prepared.colour);
    context.world.proxies.restore(service, &back).await
}

/// `back` with the instances that `new` has now.
fn keep_new(back: &mut ProxyViews, now: &ProxyViews, new: Colour) {
    for (proxy, view) in back {
        let Some(current) = now.get(proxy).and_then(Option::as_ref) else { continue };
        if !current.of(new).is_empty() {
            let view = view.get_or_insert_with(|| ServiceView { live: None, ..current.clone() });
            view.backends.insert(new, current.of(new).to_vec());
        }
    }
}

/// Before the old colour goes: proxies that lead elsewhere than to the new one, since they or their files
/// were put back to an earlier state meanwhile, are led to it again. Answers whether there were any.
pub async fn lead_all(context: &Context, prepared: &Prepared) -> PortResult<bool> {
    let service = &prepared.release.service;
    let turn = context.ledger.turn(service);
    let _turn = turn.lock().await;
    if prepared.release.policy.route.is_none() {
        return lead_nowhere(context, prepared).await;
    }
    let mut astray = context.world.proxies.snapshot(service).await?;
    let views = astray.values().flatten();
    let (right, wrong): (Vec<_>, Vec<_>) = views.partition(|it| it.live == Some(prepared.colour));
    let instances = better(prepared.colour, &right, &wrong);
    astray.retain(|_, view| !leads_to(view.as_ref(), prepared.colour));
    if astray.is_empty() {
        return Ok(false);
    }
    // Elsewhere may be where another daemon has led them since.
    super::hold(context).await?;
    let mut record = context.world.registry.read(service).await?;
    ledger::switch(&mut record, prepared);
    if record.of(prepared.colour).next().is_none() {
        ledger::register(&mut record, prepared, context.state.instances());
    }
    let wanted = ledger::public(service, &record);
    astray.values_mut().for_each(|view| view.clone_from(&wanted));
    let names: Vec<&str> = astray.keys().map(String::as_str).collect();
    context.note(Step::Switch, format!("{} did not follow the route", names.join(", ")));
    let proxies = &context.world.proxies;
    if let Some(instances) = instances
        && let Err(error) = proxies.refresh(service, prepared.colour, &instances).await
    {
        // They are led all the same, and the reconciler tells them where the instances are.
        tracing::warn!(error = error.chain(), "a proxy may have instances of an earlier time");
    }
    proxies.restore(service, &astray).await?;
    Ok(true)
}

/// The instances of `new` that the proxies in the `right` have, where they agree, and one in the `wrong` has
/// others: these may be of the earlier state that it was put back to, too, and a restore leaves them to it.
fn better(new: Colour, right: &[&ServiceView], wrong: &[&ServiceView]) -> Option<Vec<Backend>> {
    let known = right.first()?.of(new);
    let agree = right.iter().all(|view| view.of(new) == known);
    let differs = |view: &&ServiceView| !view.of(new).is_empty() && view.of(new) != known;
    (agree && wrong.iter().any(differs)).then(|| known.to_vec())
}

/// The new release has no route: no proxy leads the public to the service any more. What is under way on the
/// old colour goes on, and can be waited for. Answers whether any proxy did.
async fn lead_nowhere(context: &Context, prepared: &Prepared) -> PortResult<bool> {
    let service = &prepared.release.service;
    let mut led = context.world.proxies.snapshot(service).await?;
    led.retain(|_, view| view.as_ref().is_some_and(|view| view.live.is_some()));
    if led.is_empty() {
        return Ok(false);
    }
    super::hold(context).await?;
    led.values_mut().flatten().for_each(|view| view.live = None);
    context.world.proxies.restore(service, &led).await.map_err(|error| error.of(Origin::Proxy))?;
    Ok(true)
}

/// The new release has no route, and nothing is under way on the old one: the proxies forget the service, and
/// its hosts and path are free.
pub async fn take_off(context: &Context, prepared: &Prepared) -> PortResult<()> {
    let service = &prepared.release.service;
    let turn = context.ledger.turn(service);
    let _turn = turn.lock().await;
    let off = ledger::taken_off(context.world.proxies.snapshot(service).await?);
    if off.is_empty() {
        return Ok(());
    }
    context.world.proxies.restore(service, &off).await
}

/// Before the new colour goes in a revert: no proxy leads to it, nor to its instances, and nobody was led
/// away from it just now, be it by an earlier life.
pub async fn lead_none(context: &Context, prepared: &Prepared) -> PortResult<()> {
    let taken_up = context.state.taken_up;
    let led_back = lead_away(context, prepared, !taken_up, &context.shutdown).await?;
    // An earlier life may have led one back.
    match led_back || taken_up {
        true => take_out(context, prepared).await,
        false => Ok(()),
    }
}

/// Before the instances of a colour that was kept are replaced: a proxy that was put back to an earlier
/// state since the look at it may lead there, or an earlier life may have led it back and not have waited to
/// the end.
pub async fn lead_off(context: &Context, prepared: &Prepared) -> PortResult<()> {
    if prepared.live.is_none() {
        return Ok(());
    }
    lead_away(context, prepared, !context.state.taken_up, &context.stop).await?;
    // These were on what was kept: a revert has to wait for those on what replaces it.
    context.tries.set_drained(false);
    Ok(())
}

/// Every proxy that leads to the new colour is led back, and the requests that came by it are waited for,
/// until no proxy leads there after the wait: one may have been put back to an earlier state during it.
/// Nobody who was there before has to be waited for any more if `waited`. Answers whether any was led back, be
/// it by an earlier try that failed then. The wait ends when `called` away.
async fn lead_away(
    context: &Context,
    prepared: &Prepared,
    mut waited: bool,
    called: &CancellationToken,
) -> PortResult<bool> {
    let mut led_back = context.tries.owes();
    loop {
        if is_led(context, prepared).await? {
            let turn = context.ledger.turn(&prepared.release.service);
            // The reconciler may be telling the proxies of the instances to which they are led.
            let _turn = turn.lock().await;
            lead_back(context, prepared).await?;
            led_back = true;
            waited = false;
        }
        if waited && !context.tries.owes() {
            return Ok(led_back);
        }
        drain_new(context, prepared, called).await?;
        waited = true;
    }
}

/// Whether a proxy leads to the new colour.
async fn is_led(context: &Context, prepared: &Prepared) -> PortResult<bool> {
    let views = context.world.proxies.snapshot(&prepared.release.service).await?;
    Ok(views.values().any(|view| leads_to(view.as_ref(), prepared.colour)))
}

fn leads_to(view: Option<&ServiceView>, colour: Colour) -> bool {
    view.is_some_and(|view| view.live == Some(colour))
}
