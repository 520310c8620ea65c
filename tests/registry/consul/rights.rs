//! Tokens and certificates.

use serde_json::json;
use verdigris::deploy::control::{Finding, Severity};
use verdigris::deploy::ports::{PortError, Registry as _, Trouble};
use verdigris::model::Colour;
use verdigris::registry::consul::{Consul, Settings};

use crate::agent::{Agent, Kind, MASTER, shared};
use crate::records::{service, settled};

const UNKNOWN: &str = "2c1a7b1e-0000-4000-8000-5ec4e7999999";

/// A new token with these rules.
async fn token(agent: &Agent, rules: &str) -> String {
    let name = service();
    let policy = json!({ "Name": name, "Rules": rules }).to_string();
    agent.put("acl/policy", policy).await;
    let token = json!({ "Policies": [{ "Name": name }] }).to_string();
    let token = agent.put("acl/token", token).await;
    token["SecretID"].as_str().unwrap().to_owned()
}

fn with_token(agent: &Agent, token: Option<&str>) -> Consul {
    let token_file = token.map(|token| agent.token(token));
    Consul::new(&Settings { token_file, ..agent.settings() }).unwrap()
}

const ENOUGH: &str = r#"
    key_prefix "verdigris/" { policy = "write" }
    node "verdigris" { policy = "write" }
    service_prefix "" { policy = "write" }
    session_prefix "" { policy = "write" }
"#;

/// No error says more of a token than where it is.
fn discreet(error: &PortError, secret: &str) {
    for text in [error.chain(), format!("{error:?}")] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[tokio::test]
async fn the_documented_rights_are_enough() {
    let Some(agent) = shared(Kind::Acl).await else { return };
    let registry = with_token(&agent, Some(&token(&agent, ENOUGH).await));
    let (service, record) = (service(), settled(Colour::Blue, 1, 2));
    registry.write(&service, &record).await.unwrap();
    assert_eq!(registry.read(&service).await.unwrap(), record);
    assert_eq!(registry.read_all().await.unwrap()[&service], record);
    drop(registry.changes().await.unwrap());
    let findings = registry.findings().await;
    let good = |finding: &Finding| finding.severity == Severity::Good;
    assert!(findings.iter().all(good), "{findings:?}");
}

#[tokio::test]
async fn without_rights_every_call_is_denied_and_none_answers_emptily() {
    let Some(agent) = shared(Kind::Acl).await else { return };
    let nothing = token(&agent, "").await;
    for secret in [None, Some(UNKNOWN), Some(nothing.as_str())] {
        let registry = with_token(&agent, secret);
        let service = service();
        let record = settled(Colour::Blue, 1, 1);
        let errors = [
            registry.read(&service).await.err(),
            registry.read_all().await.err(),
            registry.write(&service, &record).await.err(),
            registry.changes().await.err(),
        ];
        for error in errors {
            let error = error.expect("an error");
            assert_eq!(error.trouble, Trouble::Denied, "{}", error.chain());
            assert!(error.remedy.as_ref().unwrap().contains("token"));
            discreet(&error, secret.unwrap_or(MASTER));
        }
    }
}

#[rstest::rstest]
#[case::no_keys(
    r#"node "verdigris" { policy = "write" } service_prefix "" { policy = "write" }
       session_prefix "" { policy = "write" }"#,
    ""
)]
#[case::keys_to_read(
    r#"key_prefix "verdigris/" { policy = "read" } node "verdigris" { policy = "write" }
       service_prefix "" { policy = "write" } session_prefix "" { policy = "write" }"#,
    "key_prefix \"verdigris/\""
)]
#[case::no_node(
    r#"key_prefix "verdigris/" { policy = "write" } service_prefix "" { policy = "write" }
       session_prefix "" { policy = "write" }"#,
    "node \"verdigris\""
)]
#[case::no_services(
    r#"key_prefix "verdigris/" { policy = "write" } node "verdigris" { policy = "write" }
       session_prefix "" { policy = "write" }"#,
    // The prefix, and by name what other tests have on record just then.
    "`service"
)]
#[tokio::test]
async fn a_missing_right_is_denied_and_named_by_doctor(#[case] rules: &str, #[case] named: &str) {
    let Some(agent) = shared(Kind::Acl).await else { return };
    let registry = with_token(&agent, Some(&token(&agent, rules).await));
    let record = settled(Colour::Blue, 1, 1);
    let error = registry.write(&service(), &record).await.unwrap_err();
    assert_eq!(error.trouble, Trouble::Denied, "{}", error.chain());
    let findings = registry.findings().await;
    let wrong = findings.iter().filter(|finding| finding.severity != Severity::Good);
    let wrong: Vec<_> = wrong.collect();
    assert!(!wrong.is_empty(), "{findings:?}");
    for finding in wrong {
        assert!(finding.message.contains(named), "{finding:?}");
        assert!(finding.remedy.as_ref().unwrap().contains("token"));
    }
}

#[tokio::test]
async fn without_the_right_to_sessions_doctor_says_so() {
    let Some(agent) = shared(Kind::Acl).await else { return };
    let rules = ENOUGH.lines().filter(|line| !line.contains("session_prefix"));
    let registry = with_token(&agent, Some(&token(&agent, &rules.collect::<String>()).await));
    registry.write(&service(), &settled(Colour::Blue, 1, 1)).await.unwrap();
    let findings = registry.findings().await;
    let wrong = findings.iter().find(|finding| finding.severity == Severity::Bad);
    assert!(wrong.unwrap().message.contains("session_prefix"), "{findings:?}");
}

#[tokio::test]
async fn another_token_in_the_file_is_taken_up() {
    let Some(agent) = shared(Kind::Acl).await else { return };
    let file = agent.token("rotated");
    std::fs::write(&file, UNKNOWN).unwrap();
    let settings = Settings { token_file: Some(file.clone()), ..agent.settings() };
    let registry = Consul::new(&settings).unwrap();
    let (service, record) = (service(), settled(Colour::Blue, 1, 1));
    assert!(registry.write(&service, &record).await.is_err());
    std::fs::write(&file, MASTER).unwrap();
    registry.write(&service, &record).await.unwrap();
}

#[test]
fn unusable_files_are_told_before_anything_is_connected() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings::new("https://127.0.0.1:1".parse().unwrap());
    let empty = directory.path().join("empty");
    std::fs::write(&empty, " \n").unwrap();
    let missing = directory.path().join("missing");
    for file in [&empty, &missing] {
        let path = file.display().to_string();
        let wrong = [
            Settings { token_file: Some(file.clone()), ..settings.clone() },
            Settings { ca: Some(file.clone()), ..settings.clone() },
            Settings { identity: Some((file.clone(), file.clone())), ..settings.clone() },
        ];
        for settings in wrong {
            let error = Consul::new(&settings).err().unwrap();
            assert!(error.to_string().contains(&path), "{error}");
        }
    }
    for address in ["ftp://127.0.0.1", "http://127.0.0.1:8500/?token=x", "unix:/run/consul"] {
        let settings = Settings { address: address.parse().unwrap(), ..settings.clone() };
        let error = Consul::new(&settings).err().unwrap();
        assert!(error.to_string().contains("http://HOST:8500"), "{error}");
    }
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let Some(agent) = shared(Kind::Tls).await else { return };
    let settings = Settings { ca: None, ..agent.settings() };
    let error = Consul::new(&settings).unwrap().read(&service()).await.unwrap_err();
    assert_eq!(error.trouble, Trouble::Unreachable);
    assert!(error.chain().contains("certificate"), "{}", error.chain());
    assert!(error.remedy.unwrap().contains("`ca`"));
}

#[tokio::test]
async fn a_missing_client_certificate_is_told() {
    let Some(agent) = shared(Kind::Tls).await else { return };
    let settings = Settings { identity: None, ..agent.settings() };
    let error = Consul::new(&settings).unwrap().read(&service()).await.unwrap_err();
    assert_eq!(error.trouble, Trouble::Unreachable);
    assert!(error.chain().to_lowercase().contains("certificate"), "{}", error.chain());
}

#[tokio::test]
async fn plain_http_to_a_tls_port_is_told() {
    let Some(agent) = shared(Kind::Tls).await else { return };
    let address = format!("http://127.0.0.1:{}", agent.https());
    let settings = Settings { address: address.parse().unwrap(), ..agent.settings() };
    let error = Consul::new(&settings).unwrap().read(&service()).await.unwrap_err();
    assert!(error.remedy.is_some() || error.chain().contains("HTTPS"), "{}", error.chain());
}
