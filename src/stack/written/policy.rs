//! The `x-verdigris` block.

use serde_json::{Value as Json, json};

use crate::model::{Check, Gate, Policy};

use super::workload::period;

/// The block that gives `policy`; null where there is nothing to say.
pub(super) fn keys(policy: &Policy) -> Json {
    let gates = |gates: &[Gate]| gates.iter().map(gate).collect::<Vec<_>>();
    json!({
        "port": policy.port,
        "publish": policy.publish,
        "route": policy.route,
        "gates": {
            "pre_deployment": gates(&policy.gates.pre_deployment),
            "pre_integration": gates(&policy.gates.pre_integration),
            "post_integration": gates(&policy.gates.post_integration),
        },
        "stable_for": period(policy.stable_for),
        "approve": policy.approve.as_ref().map(|approval| {
            json!({ "expires": period(approval.expires) })
        }),
        "bake": policy.bake.as_ref().map(|bake| json!({
            "for": period(bake.duration),
            "max_errors": bake.max_errors,
            "min_requests": bake.min_requests,
        })),
        "drain": period(policy.drain),
        "retain": {
            "releases": policy.retain.releases,
            "scale": policy.retain.scale,
            "for": policy.retain.duration.map(period),
        },
        "deadline": period(policy.deadline),
    })
}

fn gate(gate: &Gate) -> Json {
    let (kind, check) = match &gate.check {
        Check::Container(check) => ("container", json!(check)),
        Check::Command(check) => ("command", json!(check)),
        Check::Http(check) => {
            let mut keys = json!(check);
            keys["max_time"] = json!(check.max_time.map(period));
            ("http", keys)
        }
    };
    json!({ "name": gate.name, "timeout": period(gate.timeout), kind: check })
}
