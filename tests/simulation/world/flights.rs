//! Requests that last: begun at any instant, over after a while, and not cut off before their time.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use verdigris::model::{Colour, ServiceName};

use super::client::Reply;
use super::{Truth, Views};

/// How long requests may go on after the public has left their colour, as the drafts say.
pub const DRAIN: Duration = Duration::from_secs(10);

/// One request under way on an instance.
#[derive(Debug, Clone)]
struct Flight {
    proxy: String,
    service: ServiceName,
    colour: Colour,
    task: String,
    /// When it is over, if it is let.
    ends: Instant,
}

/// All requests under way.
#[derive(Debug, Default)]
pub struct Flights {
    all: Vec<Flight>,
    /// Since when no proxy leads to a colour.
    left: BTreeMap<(ServiceName, Colour), Instant>,
}

impl Flights {
    /// When the last request on `colour` is over; none: there is none.
    pub fn over(&self, service: &ServiceName, colour: Colour) -> Option<Instant> {
        let on_colour =
            self.all.iter().filter(|flight| flight.service == *service && flight.colour == colour);
        on_colour.map(|flight| flight.ends).filter(|ends| *ends > Instant::now()).max()
    }

    /// `proxy` restarts: what was under way through it is gone.
    pub fn drop_those_through(&mut self, proxy: &str) {
        self.all.retain(|flight| flight.proxy != proxy);
    }
}

impl Truth {
    /// Look at the requests under way after `what` happened, and begin another now and then.
    pub fn look_at_flights(&mut self, what: &str) {
        self.note_where_the_public_is();
        let now = Instant::now();
        for flight in std::mem::take(&mut self.flights.all) {
            match self.instance(&flight.task) {
                Reply::Served if flight.ends > now => self.flights.all.push(flight),
                Reply::Stopped(_) if flight.ends > now => self.judge_cut(what, &flight),
                _ => {}
            }
        }
        if self.rng.u32(0..2) == 0 {
            self.begin_flight();
        }
    }

    fn note_where_the_public_is(&mut self) {
        let known = self.proxies.values().filter(|proxy| proxy.is_known());
        let views = known.flat_map(|proxy| proxy.leads().flat_map(Views::values));
        let led: Vec<_> =
            views.filter_map(|view| Some((view.service.clone(), view.live?))).collect();
        self.flights.left.retain(|colour, _| !led.contains(colour));
        for flight in &self.flights.all {
            let colour = (flight.service.clone(), flight.colour);
            if !led.contains(&colour) {
                self.flights.left.entry(colour).or_insert_with(Instant::now);
            }
        }
    }

    /// An instance was stopped with `flight` on it: it must have had its time.
    fn judge_cut(&mut self, what: &str, flight: &Flight) {
        let left = self.flights.left.get(&(flight.service.clone(), flight.colour));
        let had = left.map_or(Duration::ZERO, Instant::elapsed);
        if had < DRAIN {
            let Flight { proxy, task, .. } = flight;
            self.violate(format!(
                "after `{what}`: a request through {proxy} on {task} is cut off, {had:?} after the public left"
            ));
        }
    }

    /// A request begins, through whichever proxy, on an instance to which it leads.
    fn begin_flight(&mut self) {
        let known = self.proxies.iter().filter(|(_, proxy)| proxy.is_known());
        let views = known.flat_map(|(name, proxy)| {
            let views = proxy.leads().flat_map(Views::values);
            views.map(move |view| (name, view))
        });
        let open = views.flat_map(|(proxy, view)| {
            let live = view.live.into_iter();
            let led = live.flat_map(|live| view.of(live).iter().map(move |on| (live, on)));
            led.map(move |(colour, on)| (proxy, &view.service, colour, &on.task))
        });
        let open: Vec<_> = open.filter(|(.., task)| self.instance(task) == Reply::Served).collect();
        let Some((proxy, service, colour, task)) = self.rng.choice(open) else { return };
        let (proxy, service, task) = (proxy.clone(), service.clone(), task.clone());
        // Most are short, some outlast everything.
        let longest = if self.rng.u32(0..8) == 0 { 60_000 } else { 2_000 };
        let ends = Instant::now() + Duration::from_millis(self.rng.u64(1..longest));
        self.flights.all.push(Flight { proxy, service, colour, task, ends });
    }
}
