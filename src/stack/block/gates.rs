use schemars::JsonSchema;

use crate::document::{At, Node, Problems, Read, Value, record};

use super::super::compose::{CommandLine, Pairs};
use super::super::leaves::{Count, Image, Name, Period, SOME_TIME};
use super::leaves::{GateName, Method, RequestPath, Status, WebAddress};

record! {
    /// The gates at each point of the flow.
    #[derive(JsonSchema, Default)]
    #[schemars(rename = "Gates", deny_unknown_fields)]
    pub(crate) struct GatesRecord {
        /// Before anything of the release runs in production; on the CI engine.
        pre_deployment: Option<Vec<GateRecord>>,
        /// Against the new instances themselves, before the switch.
        pre_integration: Option<Vec<GateRecord>>,
        /// Through every proxy, on 80 and 443, after the switch.
        post_integration: Option<At<Vec<GateRecord>>>,
    }

    /// A check: one of `container`, `http` and `command`.
    #[derive(JsonSchema)]
    #[schemars(rename = "Gate", deny_unknown_fields)]
    pub(crate) struct GateFields {
        /// How it is called in output and JUnit; by default its kind and a number.
        name: Option<At<GateName>>,
        /// It fails when it has not passed after this long; 5m by default.
        #[schemars(extend("pattern" = SOME_TIME))]
        timeout: Option<At<Period>>,
        /// Run a container to its end; exit code 0 passes.
        container: Option<ContainerRecord>,
        /// Ask over HTTP.
        http: Option<HttpRecord>,
        /// Run a command where the daemon runs; exit code 0 passes.
        command: Option<CommandRecord>,
    }

    /// A container that tests.
    #[derive(JsonSchema)]
    #[schemars(rename = "ContainerGate", deny_unknown_fields)]
    pub(crate) struct ContainerRecord {
        /// The test image.
        image: Image,
        /// Replaces the image's entrypoint.
        entrypoint: Option<CommandLine>,
        /// Replaces the image's command.
        command: Option<CommandLine>,
        /// Added to the environment that every gate gets.
        env: Option<Pairs>,
        /// Networks to join; `host` for the engine's own.
        networks: Option<Vec<Name>>,
    }

    /// A request and the answer that passes.
    #[derive(JsonSchema)]
    #[schemars(rename = "HttpGate", deny_unknown_fields)]
    #[schemars(extend("oneOf" = [{ "required": ["path"] }, { "required": ["url"] }]))]
    pub(crate) struct HttpRecord {
        /// Path and query, asked of the new release: of every instance before the switch, through every
        /// proxy after it.
        path: Option<At<RequestPath>>,
        /// Somebody else to ask: whom the release depends on.
        url: Option<WebAddress>,
        /// `GET` by default.
        method: Option<Method>,
        /// The status that passes; 200 by default.
        status: Option<Status>,
        /// Text that the body must contain.
        body: Option<At<String>>,
        /// Headers to send.
        headers: Option<Pairs>,
        /// Longest time an answer may take, to its last byte.
        max_time: Option<Period>,
        /// How many times in all it may be tried; 1 by default.
        #[schemars(range(min = 1), extend("pattern" = r"^[0-9]*[1-9][0-9]*$|\$"))]
        attempts: Option<At<Count>>,
    }

    /// A command and its surroundings.
    #[derive(JsonSchema)]
    #[schemars(rename = "CommandGate", deny_unknown_fields)]
    pub(crate) struct CommandFields {
        /// Program and arguments; no shell in between.
        argv: CommandLine,
        /// Added to the environment that every gate gets.
        env: Option<Pairs>,
    }
}

/// A gate that has exactly one kind.
#[derive(Debug, Clone)]
pub(crate) struct GateRecord(pub GateFields);

const KINDS: [&str; 3] = ["container", "http", "command"];

impl Read for GateRecord {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let given = KINDS.iter().filter(|kind| node.get(kind).is_some()).count();
        if given != 1 && matches!(node.value, Value::Table(_)) {
            let what =
                if given == 0 { "the gate checks nothing" } else { "the gate is two in one" };
            let remedy = "give it exactly one of `container`, `http` and `command`";
            problems.report(&node.place, what, remedy);
        }
        node.get("http").into_iter().for_each(|http| check_asked(http, problems));
        GateFields::read(node, problems).map(Self)
    }
}

/// A request asks one, and for something.
fn check_asked(http: &Node, problems: &mut Problems) {
    let (what, remedy) = match (http.get("path"), http.get("url")) {
        (Some(_), None) | (None, Some(_)) => return,
        (None, None) => {
            ("the gate asks for nothing", "give it the `path` of a request, or a `url`")
        }
        (Some(_), Some(_)) => (
            "the gate asks two at once",
            "give it `path` to ask the release, or `url` to ask somebody else",
        ),
    };
    if matches!(http.value, Value::Table(_)) {
        problems.report(&http.place, what, remedy);
    }
}

impl JsonSchema for GateRecord {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        GateFields::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let mut schema = GateFields::json_schema(generator);
        let one = KINDS.map(|kind| schemars::json_schema!({ "required": [kind] }));
        schema.insert("oneOf".to_owned(), serde_json::json!(one));
        schema
    }
}

/// A command: a list, a line, or with its environment.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(rename = "Command", untagged)]
pub(crate) enum CommandRecord {
    /// Program and arguments.
    Line(CommandLine),
    /// With its environment.
    Fields(CommandFields),
}

impl Read for CommandRecord {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match node.value {
            Value::Table(_) => CommandFields::read(node, problems).map(Self::Fields),
            _ => CommandLine::read(node, problems).map(Self::Line),
        }
    }
}
