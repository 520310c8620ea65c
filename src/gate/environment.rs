//! What every gate is told, as environment variables. Pure but for the authority's file.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use crate::deploy::ports::{Door, GateContext, PortError, PortResult, Trouble};

/// Where a gate may put JUnit files.
pub const JUNIT_DIR: &str = "JUNIT_DIR";

/// The variables; `own` are the gate's and win.
pub async fn variables(
    context: &GateContext,
    own: &BTreeMap<String, String>,
    junit: &str,
) -> PortResult<BTreeMap<String, String>> {
    let mut variables = facts(context);
    variables.insert(JUNIT_DIR.to_owned(), junit.to_owned());
    if let Some(pem) = authorities(&context.doors).await? {
        variables.insert("TEST_CA_PEM".to_owned(), pem);
    }
    variables.extend(own.clone());
    Ok(variables)
}

fn facts(context: &GateContext) -> BTreeMap<String, String> {
    let release = &context.release;
    let rule = release.policy.route.as_ref();
    let path = rule.map_or("/", |rule| rule.path.as_str());
    let host = rule.and_then(|rule| rule.hosts.first()).cloned().unwrap_or_default();
    let addresses: Vec<SocketAddr> = context.instances.iter().map(|one| one.address).collect();
    let urls = addresses.iter().map(|address| format!("http://{address}{path}"));
    let tls = rule.is_some_and(|rule| rule.tls);
    let http = context.doors.iter().filter_map(|door| door.http);
    let https = context.doors.iter().filter_map(|door| door.https.filter(|_| tls));
    [
        ("TEST_TYPE", context.point.to_string()),
        ("TEST_SERVICE", release.service.to_string()),
        ("TEST_COLOUR", context.colour.to_string()),
        ("TEST_RELEASE", release.id.to_string()),
        ("TEST_IMAGE", release.image.reference()),
        ("TEST_ADDRESSES", listed(&addresses)),
        ("TEST_URLS", urls.collect::<Vec<_>>().join(",")),
        ("TEST_HTTP", listed(&http.collect::<Vec<_>>())),
        ("TEST_HTTPS", listed(&https.collect::<Vec<_>>())),
        ("TEST_HOST", host),
        ("TEST_PATH", path.to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn listed(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",")
}

/// The text of the doors' authorities, one after the other; none when they have none.
async fn authorities(doors: &[Door]) -> PortResult<Option<String>> {
    let files: BTreeSet<&Path> = doors.iter().filter_map(|door| door.ca.as_deref()).collect();
    let mut all = String::new();
    for file in files {
        let text = tokio::fs::read_to_string(file).await.map_err(|error| {
            let operation = format!("read the authority's file `{}`", file.display());
            PortError::new(Trouble::Invalid, operation).because(error)
        })?;
        all.push_str(text.trim_end());
        all.push('\n');
    }
    Ok((!all.is_empty()).then_some(all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::fixture::context;
    use crate::model::{GatePoint, Instance};

    fn door(proxy: &str, http: &str, https: &str, ca: &Path) -> Door {
        Door {
            proxy: proxy.to_owned(),
            http: http.parse().ok(),
            https: https.parse().ok(),
            ca: Some(ca.to_owned()),
            probe: Some(("x-probe".to_owned(), "secret".to_owned())),
        }
    }

    #[tokio::test]
    async fn after_the_switch_everything_is_told_but_the_proxies_secret() {
        let directory = tempfile::tempdir().unwrap();
        let ca = directory.path().join("ca.pem");
        std::fs::write(&ca, "-----BEGIN CERTIFICATE-----\n").unwrap();
        let mut context = context(GatePoint::PostIntegration);
        context.instances = ["10.0.0.2:32768", "10.0.0.3:32769"]
            .map(|address| Instance {
                task: address.to_owned(),
                node: "alpha".to_owned(),
                address: address.parse().unwrap(),
            })
            .into();
        context.doors = vec![
            door("nginx", "10.0.1.1:80", "10.0.1.1:443", &ca),
            door("haproxy", "10.0.1.2:80", "", &ca),
        ];
        let own = BTreeMap::from([("TEST_HOST".to_owned(), "other.example.com".to_owned())]);
        let told = variables(&context, &own, "/junit").await.unwrap();
        let mut expected = BTreeMap::new();
        for (name, value) in [
            ("JUNIT_DIR", "/junit"),
            ("TEST_ADDRESSES", "10.0.0.2:32768,10.0.0.3:32769"),
            ("TEST_CA_PEM", "-----BEGIN CERTIFICATE-----\n"),
            ("TEST_COLOUR", "green"),
            ("TEST_HOST", "other.example.com"),
            ("TEST_HTTP", "10.0.1.1:80,10.0.1.2:80"),
            ("TEST_HTTPS", "10.0.1.1:443"),
            ("TEST_IMAGE", &context.release.image.reference()),
            ("TEST_PATH", "/api"),
            ("TEST_RELEASE", context.release.id.as_str()),
            ("TEST_SERVICE", "books-ms"),
            ("TEST_TYPE", "post-integration"),
            ("TEST_URLS", "http://10.0.0.2:32768/api,http://10.0.0.3:32769/api"),
        ] {
            expected.insert(name.to_owned(), value.to_owned());
        }
        assert_eq!(told, expected);
    }

    #[tokio::test]
    async fn an_authority_that_cannot_be_read_is_named() {
        let mut context = context(GatePoint::PostIntegration);
        context.doors = vec![door("nginx", "10.0.1.1:80", "", Path::new("/no/such/ca.pem"))];
        let error = variables(&context, &BTreeMap::new(), "/junit").await.unwrap_err();
        assert!(error.to_string().contains("/no/such/ca.pem"), "{error}");
    }
}
