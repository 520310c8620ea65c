//! How all is at the moment in which it is asked for.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::deploy::standing::Standing;
use crate::model::ProxyStatus;

/// What there is to look at.
pub struct Now {
    /// How the deployments under way stand.
    pub standings: Box<dyn Fn() -> Vec<Standing> + Send + Sync>,
    /// Each proxy as it is shown.
    pub proxies: Box<dyn Fn() -> Vec<ProxyStatus> + Send + Sync>,
}

impl fmt::Debug for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Now").finish_non_exhaustive()
    }
}

impl Collector for Now {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counts = counts(&(self.standings)());
        let samples = counts.map(|(state, count)| ([("state", state)], ConstGauge::new(count)));
        let help = "Deployments under way, by what they are at";
        family(&mut encoder, "deployments_under_way", help, &samples)?;

        let proxies = (self.proxies)();
        let labels =
            |proxy: &ProxyStatus| [("proxy", proxy.name.clone()), ("kind", proxy.kind.clone())];
        let in_sync =
            proxies.iter().map(|proxy| (labels(proxy), ConstGauge::new(i64::from(proxy.in_sync))));
        let help = "1 where a proxy does what it should, 0 where `verdigris status` says why not";
        family(&mut encoder, "proxy_in_sync", help, &in_sync.collect::<Vec<_>>())?;
        let reloads = proxies.iter().map(|proxy| (labels(proxy), ConstCounter::new(proxy.reloads)));
        let help = "Reloads of a proxy since the daemon started";
        family(&mut encoder, "proxy_reloads", help, &reloads.collect::<Vec<_>>())
    }
}

/// How many are at each of the states, those with none as well: what is to be alerted on must be there
/// before it happens.
fn counts(standings: &[Standing]) -> [(&'static str, i64); 5] {
    Standing::STATES.map(|state| {
        let at = standings.iter().filter(|standing| standing.state() == Some(state)).count();
        (state, i64::try_from(at).unwrap_or(i64::MAX))
    })
}

/// One metric with its samples by their labels.
fn family<M: EncodeMetric, V: prometheus_client::encoding::EncodeLabelValue, const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    samples: &[([(&'static str, V); N], M)],
) -> fmt::Result {
    let Some((_, first)) = samples.first() else { return Ok(()) };
    let mut metric = encoder.encode_descriptor(name, help, None, first.metric_type())?;
    for (labels, value) in samples {
        value.encode(metric.encode_family(labels)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn states_without_a_deployment_are_there_and_ended_ones_are_not_counted() {
        let begun = Standing { begun: true, ..Standing::default() };
        let stuck = Standing { stuck: true, reverting: true, ..begun.clone() };
        let ended = Standing { ended: true, ..begun.clone() };
        let standings = vec![Standing::default(), begun, stuck, ended];
        let proxy = ProxyStatus {
            name: "edge".to_owned(),
            kind: "nginx".to_owned(),
            in_sync: false,
            reloads: 7,
            problem: Some("it does not run".to_owned()),
        };
        let now = Now {
            standings: Box::new(move || standings.clone()),
            proxies: Box::new(move || vec![proxy.clone()]),
        };
        let mut registry = Registry::with_prefix("verdigris");
        registry.register_collector(Box::new(now));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "verdigris_deployments_under_way{state=\"queued\"} 1",
            "verdigris_deployments_under_way{state=\"running\"} 1",
            "verdigris_deployments_under_way{state=\"waiting\"} 0",
            "verdigris_deployments_under_way{state=\"reverting\"} 0",
            "verdigris_deployments_under_way{state=\"stuck\"} 1",
            "verdigris_proxy_in_sync{proxy=\"edge\",kind=\"nginx\"} 0",
            "verdigris_proxy_reloads_total{proxy=\"edge\",kind=\"nginx\"} 7",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in {text}");
        }
    }
}
