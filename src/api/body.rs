//! Reads bodies, queries and paths so that a mistake is answered with what and where.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::problem::Problem;
use crate::document::nearest;
use crate::model::{self, Draft};

/// A JSON body. A key that is not understood is an error, as everywhere in Verdigris.
pub(crate) struct Body<T>(pub(crate) T);

/// A body's type.
pub(crate) trait Shape: Serialize + DeserializeOwned {
    /// Read `value`, which was not understood, once more and closer: the path of the culprit and
    /// what is wrong with it, if a closer look finds them.
    fn look_closer(_value: &Value) -> Option<(String, String)> {
        None
    }
}

impl Shape for model::Request {
    /// The draft is read through a flattened enum, which loses the place.
    fn look_closer(value: &Value) -> Option<(String, String)> {
        let error = serde_path_to_error::deserialize::<_, Draft>(value.get("draft")?).err()?;
        let path = match error.path().to_string().as_str() {
            "." => "draft".to_owned(),
            path => format!("draft.{path}"),
        };
        Some((path, error.into_inner().to_string()))
    }
}

impl<S: Send + Sync, T: Shape> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if !kind.is_some_and(is_json) {
            return Err(Problem::invalid(format!(
                "the body is `{}`, not JSON",
                kind.unwrap_or("of no known type")
            ))
            .status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
            .remedy("send `Content-Type: application/json`"));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            Problem::invalid(format!("the body cannot be read: {}", rejection.body_text()))
                .status(rejection.status())
        })?;
        parse(&bytes).map(Self)
    }
}

fn is_json(kind: &str) -> bool {
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// Read a body of type `T`.
pub(crate) fn parse<T: Shape>(bytes: &[u8]) -> Result<T, Problem> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| {
        Problem::invalid(format!("the body is not JSON: {error}"))
            .remedy("`/v1/openapi.json` describes the body")
    })?;
    let body: T = serde_path_to_error::deserialize(&value).map_err(|error| {
        let (path, why) = T::look_closer(&value)
            .unwrap_or_else(|| (error.path().to_string(), error.inner().to_string()));
        let place = if path == "." { String::new() } else { format!(" at `{path}`") };
        Problem::invalid(format!("the body is not understood{place}: {why}"))
            .remedy("`/v1/openapi.json` describes the body")
    })?;
    refuse_strays(&value, &body)?;
    Ok(body)
}

/// Whatever was understood comes out again when written: a key that does not was not understood.
fn refuse_strays<T: Serialize>(value: &Value, body: &T) -> Result<(), Problem> {
    let understood = serde_json::to_value(body)
        .map_err(|error| Problem::invalid(format!("the body cannot be written again: {error}")))?;
    let mut strays = Vec::new();
    collect_strays(value, &understood, "", &mut strays);
    if strays.is_empty() {
        return Ok(());
    }
    Err(Problem::invalid("the body has keys that are not understood")
        .details(strays)
        .remedy("remove or correct them; `/v1/openapi.json` describes the body"))
}

fn collect_strays(given: &Value, understood: &Value, path: &str, strays: &mut Vec<String>) {
    match (given, understood) {
        (Value::Object(given), Value::Object(understood)) => {
            for (key, value) in given {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match understood.get(key) {
                    Some(known) => collect_strays(value, known, &path, strays),
                    None => strays.push(describe(&path, key, understood.keys())),
                }
            }
        }
        (Value::Array(given), Value::Array(understood)) => {
            for (at, (value, known)) in given.iter().zip(understood).enumerate() {
                collect_strays(value, known, &format!("{path}[{at}]"), strays);
            }
        }
        _ => {}
    }
}

fn describe<'a>(path: &str, key: &str, known: impl Iterator<Item = &'a String>) -> String {
    match nearest(key, known.map(String::as_str)) {
        Some(name) => format!("`{path}` is not known; did you mean `{name}`?"),
        None => format!("`{path}` is not known"),
    }
}

/// The query of a URL.
pub(crate) struct Asked<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(query) = Query::from_request_parts(parts, state).await.map_err(|rejection| {
            Problem::invalid(format!(
                "the query `{}` is not understood: {}",
                parts.uri.query().unwrap_or_default(),
                innermost(&rejection)
            ))
        })?;
        Ok(Self(query))
    }
}

/// The variable part of a path.
pub(crate) struct Named<T>(pub(crate) T);

impl<S, T> FromRequestParts<S> for Named<T>
where
    S: Send + Sync,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) =
            Path::<String>::from_request_parts(parts, state).await.map_err(|error| {
                Problem::invalid(format!("the path is not understood: {}", error.body_text()))
            })?;
        let parsed = text.parse();
        parsed.map(Self).map_err(|error| {
            Problem::invalid(format!("`{text}` in the path is not understood: {error}"))
        })
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn sample() -> Value {
        json!({
            "kind": "rollback", "service": "books-ms", "release": null, "sequence": 7,
            "on_busy": "wait", "on_disconnect": "continue", "deadline": "15m", "force": false,
            "by": "jane@ci"
        })
    }

    /// Any JSON, not deeper and wider than a test needs.
    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z_]{1,10}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse::<model::Request>(&bytes);
        }

        #[test]
        fn a_body_that_was_cut_or_changed_is_read_or_refused(
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            cut in any::<bool>(),
        ) {
            let mut bytes = sample().to_string().into_bytes();
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] = byte }
            let _ = parse::<model::Request>(&bytes);
        }

        #[test]
        fn any_value_in_any_place_is_read_or_refused(
            key in any::<prop::sample::Index>(),
            value in any_json(),
        ) {
            let mut body = sample();
            let keys: Vec<String> =
                body.as_object().unwrap().keys().cloned().chain(["draft".to_owned()]).collect();
            body[keys[key.index(keys.len())].as_str()] = value;
            let _ = parse::<model::Request>(body.to_string().as_bytes());
        }

        #[test]
        fn a_stray_key_is_always_named(key in "[a-z]{3,8}_x") {
            let mut body = sample();
            body[key.as_str()] = json!(1);
            let problem = parse::<model::Request>(body.to_string().as_bytes()).unwrap_err();
            let line = problem.refusal().details.first().unwrap().clone();
            prop_assert!(line.starts_with(&format!("`{key}` is not known")), "{}", line);
        }
    }
}
