//! In what a Swarm service is not what was made of its release any more, because somebody changed it by
//! hand. Pure.
//!
//! Only what the release says is compared: what the engine fills in by itself is no edit, nor are our own
//! labels and variables, and the ways of updating, which another version of the daemon may write otherwise.

use serde_json::Value;

use super::spec::{Ids, service_spec};
use crate::model::{Colour, DeploymentId, Release};

const CONTAINER: &str = "/TaskTemplate/ContainerSpec";
const IMAGE: &str = "/TaskTemplate/ContainerSpec/Image";
const REPLICAS: &str = "/Mode/Replicated/Replicas";

/// Parts of a spec beside the container whose members are compared.
const PARTS: [&str; 2] = ["/TaskTemplate", "/EndpointSpec"];

/// Members that are compared by themselves, or not at all.
const APART: [&str; 4] = ["ContainerSpec", "Image", "Labels", "RestartPolicy"];

/// What differs in `there`, the spec of the Swarm service that was made of `release` as `colour`; a few words
/// each, without the values that may be in confidence.
#[must_use]
pub fn edits(release: &Release, colour: Colour, there: &Value) -> Vec<String> {
    // Labels are not compared, and so it does not matter which deployment made it.
    let made = service_spec(release, colour, DeploymentId::default(), &Ids::default());
    let mut edits = Vec::new();
    edits.extend(replicas(&made, there));
    edits.extend(image(&made, there));
    for part in [CONTAINER].into_iter().chain(PARTS) {
        edits.extend(others(part, &made, there));
    }
    if release.workload.restart_policy.is_some() {
        edits.extend(other("RestartPolicy", "/TaskTemplate", &made, there));
    }
    edits
}

fn replicas(made: &Value, there: &Value) -> Option<String> {
    let number = |spec: &Value| spec.pointer(REPLICAS).and_then(Value::as_u64);
    let (made, there) = (number(made)?, number(there)?);
    let word = if there == 1 { "replica" } else { "replicas" };
    (made != there).then(|| format!("{there} {word} instead of {made}"))
}

fn image(made: &Value, there: &Value) -> Option<String> {
    let name = |spec: &Value| spec.pointer(IMAGE).and_then(Value::as_str).map(str::to_owned);
    let (made, there) = (name(made)?, name(there).unwrap_or_default());
    (made != there).then(|| format!("image {there} instead of {made}"))
}

/// The members of `part` that are others than were made, and the lists there that were not made at all.
fn others(part: &str, made: &Value, there: &Value) -> Vec<String> {
    let members = |spec: &Value| spec.pointer(part).and_then(Value::as_object).cloned();
    let (made_of, there_of) =
        (members(made).unwrap_or_default(), members(there).unwrap_or_default());
    let added = there_of.iter().filter(|(name, member)| {
        !made_of.contains_key(*name) && member.as_array().is_some_and(|list| !list.is_empty())
    });
    let mut names: Vec<&String> = made_of.keys().chain(added.map(|(name, _)| name)).collect();
    names.retain(|name| !APART.contains(&name.as_str()));
    names.into_iter().filter_map(|name| other(name, part, made, there)).collect()
}

fn other(name: &str, part: &str, made: &Value, there: &Value) -> Option<String> {
    let member = |spec: &Value| compared(name, &spec.pointer(part)?[name]);
    let made = member(made).unwrap_or_default();
    let there = member(there).unwrap_or_default();
    let same = if made.is_null() { is_nothing(&there) } else { covers(&made, &there) };
    (!same).then(|| format!("another `{name}`"))
}

/// A member as it is compared.
fn compared(name: &str, member: &Value) -> Option<Value> {
    match (name, member) {
        ("Env", Value::Array(variables)) => {
            let ours = |variable: &Value| {
                variable.as_str().is_some_and(|text| text.starts_with("VERDIGRIS_"))
            };
            Some(variables.iter().filter(|variable| !ours(variable)).cloned().collect())
        }
        // The engine puts ids in the place of their names.
        ("Networks", Value::Array(networks)) => {
            let mut networks = networks.clone();
            for network in networks.iter_mut().filter_map(Value::as_object_mut) {
                network.remove("Target");
            }
            Some(networks.into())
        }
        (_, Value::Null) => None,
        (_, member) => Some(member.clone()),
    }
}

/// All that was `made` is `there`, whatever the engine has added to objects.
fn covers(made: &Value, there: &Value) -> bool {
    match (made, there) {
        (Value::Object(made), _) => made
            .iter()
            .all(|(name, member)| covers(member, there.get(name).unwrap_or(&Value::Null))),
        (Value::Array(made), Value::Array(there)) => {
            made.len() == there.len()
                && made.iter().zip(there).all(|(made, there)| covers(made, there))
        }
        // The engine leaves out what is nothing.
        (made, Value::Null) => is_nothing(made),
        (made, there) => made == there,
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.values().all(is_nothing),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{self, HealthCheck, NetworkAttachment, SecretMount, Workload};

    fn release() -> Release {
        let mut draft = model::fixture::draft();
        draft.workload = Workload {
            replicas: 2,
            environment: [("DB_HOST", "books-db"), ("EMPTY", "")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            init: Some(false),
            healthcheck: Some(HealthCheck {
                test: vec!["CMD".to_owned(), "true".to_owned()],
                retries: Some(0),
                ..HealthCheck::default()
            }),
            networks: vec![NetworkAttachment {
                name: "backend".to_owned(),
                aliases: vec!["books".to_owned()],
            }],
            secrets: vec![SecretMount {
                name: "db".to_owned(),
                target: "db".to_owned(),
                uid: "0".to_owned(),
                gid: "0".to_owned(),
                mode: 0o444,
            }],
            ..Workload::default()
        };
        let image = draft.image.pin(&format!("sha256:{}", "a".repeat(64)));
        draft.pin(image)
    }

    /// As the engine shows what was made: ids for names, nothing for zeros, and members of its own.
    fn shown() -> Value {
        let mut spec = service_spec(&release(), Colour::Blue, DeploymentId::new(), &Ids::default());
        let template = &mut spec["TaskTemplate"];
        template["Networks"][0]["Target"] = json!("k3xe1");
        template["ForceUpdate"] = json!(3);
        template["Runtime"] = json!("container");
        template["Placement"] =
            json!({ "Platforms": [{ "Architecture": "amd64", "OS": "linux" }] });
        template["Resources"] = json!({ "Limits": {}, "Reservations": {} });
        let container = &mut template["ContainerSpec"];
        container["Isolation"] = json!("default");
        container["DNSConfig"] = json!({});
        container["Mounts"] = json!([]);
        container["Secrets"][0]["SecretID"] = json!("p9vq2");
        container["Healthcheck"].as_object_mut().unwrap().remove("Retries");
        container.as_object_mut().unwrap().remove("Init");
        spec
    }

    fn found(edit: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut spec = shown();
        edit(&mut spec);
        edits(&release(), Colour::Blue, &spec)
    }

    #[test]
    fn what_was_made_is_no_edit_however_the_engine_shows_it() {
        assert_eq!(found(|_| {}), Vec::<String>::new());
    }

    #[test]
    fn another_version_of_the_daemon_writes_other_labels_and_variables() {
        let other = found(|spec| {
            spec["Labels"]["verdigris.more"] = json!("1");
            spec["UpdateConfig"]["Order"] = json!("start-first");
            spec["TaskTemplate"]["RestartPolicy"]["Delay"] = json!(5);
            let variables = spec["TaskTemplate"]["ContainerSpec"]["Env"].as_array_mut().unwrap();
            variables.push(json!("VERDIGRIS_MORE=1"));
        });
        assert_eq!(other, Vec::<String>::new());
    }

    #[test]
    fn replicas_and_image_are_told() {
        assert_eq!(
            found(|spec| spec["Mode"]["Replicated"]["Replicas"] = json!(0)),
            ["0 replicas instead of 2"]
        );
        assert_eq!(
            found(|spec| spec["Mode"]["Replicated"]["Replicas"] = json!(1)),
            ["1 replica instead of 2"]
        );
        let made = release().image.reference();
        assert_eq!(
            found(|spec| spec["TaskTemplate"]["ContainerSpec"]["Image"] = json!("books-ms:8")),
            [format!("image books-ms:8 instead of {made}")]
        );
    }

    #[test]
    fn everything_else_is_named_without_its_values() {
        type Edit = fn(&mut Value);
        let edits: [(Edit, &str); 7] = [
            (|of| of["ContainerSpec"]["Env"][0] = json!("DB_HOST=password"), "another `Env`"),
            (|of| of["ContainerSpec"]["Args"] = json!(["serve"]), "another `Args`"),
            (|of| of["ContainerSpec"]["Mounts"] = json!([{ "Target": "/" }]), "another `Mounts`"),
            (|of| of["ContainerSpec"]["Secrets"] = json!([]), "another `Secrets`"),
            (
                |of| of["ContainerSpec"]["Healthcheck"] = json!({ "Test": ["NONE"] }),
                "another `Healthcheck`",
            ),
            (|of| of["Networks"] = Value::Null, "another `Networks`"),
            (|of| of["Networks"][0]["Aliases"] = json!(["films"]), "another `Networks`"),
        ];
        for (edit, words) in edits {
            assert_eq!(found(|spec| edit(&mut spec["TaskTemplate"])), [words]);
        }
        assert_eq!(found(|spec| spec["EndpointSpec"]["Mode"] = json!("vip")), ["another `Mode`"]);
    }
}
