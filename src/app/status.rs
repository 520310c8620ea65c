//! Services as `status` shows them.

use std::collections::BTreeMap;

use crate::deploy::control::{Refusal, RefusalKind};
use crate::deploy::engine::Engine;
use crate::model::{ServiceName, ServiceRecord, ServiceStatus};

/// The services on record and those that a deployment is under way for; `only` one, if named.
pub async fn services(
    mut records: BTreeMap<ServiceName, ServiceRecord>,
    only: Option<&ServiceName>,
    engine: &Engine,
) -> Result<Vec<ServiceStatus>, Refusal> {
    for service in engine.busy() {
        if only.is_none_or(|only| *only == service) {
            records.entry(service).or_default();
        }
    }
    let mut services = Vec::with_capacity(records.len());
    for (service, record) in records {
        let status = one(service, record, engine).await?;
        if only.is_some() && nothing_known(&status) {
            return Err(unknown(&status.service));
        }
        services.push(status);
    }
    Ok(services)
}

fn nothing_known(status: &ServiceStatus) -> bool {
    status.instances.is_empty()
        && status.live.is_none()
        && status.route.is_none()
        && status.deployment.is_none()
}

async fn one(
    service: ServiceName,
    record: ServiceRecord,
    engine: &Engine,
) -> Result<ServiceStatus, Refusal> {
    let deployment = match engine.under_way(&service) {
        Some(id) => Some(engine.deployment(id).await?),
        None => None,
    };
    let mut releases = BTreeMap::new();
    let mut images = BTreeMap::new();
    for entry in record.instances.values() {
        releases.insert(entry.colour, entry.release.clone());
        images.insert(entry.colour, entry.image.clone());
    }
    Ok(ServiceStatus {
        live: record.colour,
        releases,
        images,
        instances: record.instances.into_values().collect(),
        route: record.route,
        deployment,
        drift: Vec::new(),
        mended: Vec::new(),
        service,
    })
}

fn unknown(service: &ServiceName) -> Refusal {
    Refusal {
        kind: RefusalKind::Unknown,
        message: format!("there is no service `{service}`"),
        details: Vec::new(),
        remedy: Some("`verdigris status` lists those that there are".to_owned()),
        deployment: None,
    }
}
