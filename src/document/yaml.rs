use std::collections::HashMap;

use granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::problem::join;
use super::{Entry, Node, Place, Problems, Scalar, ScalarKind, Value};

/// Deeper than any file that people write; bounds the recursion.
const DEEPEST: usize = 64;
/// Largest tree, aliases expanded: a "billion laughs" text ends here.
const MOST_NODES: usize = 100_000;

/// The tree of a YAML text of one document: aliases and merge keys expanded, duplicates reported.
/// None when the syntax is too broken to make a tree of.
pub(crate) fn parse_yaml(file: &str, text: &str, problems: &mut Problems) -> Option<Node> {
    let mut composer = Composer {
        events: Parser::new_from_str_with_options(text, options()),
        start: Place::start(file),
        anchors: HashMap::new(),
        path: Vec::new(),
        nodes: 0,
        problems,
    };
    match composer.document() {
        Ok(mut root) => {
            root.name("");
            Some(root)
        }
        Err(Stop { place, what, remedy }) => {
            problems.report(&place, what, remedy);
            None
        }
    }
}

fn options() -> granit_parser::Options {
    granit_parser::options! {
        emit_comments: false,
        emit_unresolved_aliases: true,
        flow_nesting_limit: DEEPEST,
        block_nesting_limit: DEEPEST,
    }
}

/// What makes going on impossible.
struct Stop {
    place: Place,
    what: String,
    remedy: &'static str,
}

impl Stop {
    fn syntax(place: Place, what: &str) -> Self {
        let what = format!("not YAML: {}", what.replace('\n', ", "));
        Self { place, what, remedy: "correct the syntax" }
    }

    fn too_large(place: &Place, what: String) -> Self {
        Self { place: place.clone(), what, remedy: "use fewer aliases, or less structure" }
    }
}

type Composed = Result<Node, Stop>;

struct Composer<'a, 'p> {
    events: Parser<'a, StrInput<'a>>,
    start: Place,
    anchors: HashMap<usize, Node>,
    /// Keys that lead to where the composer is.
    path: Vec<String>,
    nodes: usize,
    problems: &'p mut Problems,
}

impl<'a> Composer<'a, '_> {
    fn document(&mut self) -> Composed {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(..) if root.is_some() => {
                    let place = self.place(span.start);
                    self.problems.report(
                        &place,
                        "a second document begins here",
                        "keep to one document: remove `---` and what follows it",
                    );
                    break;
                }
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                event => root = Some(self.node(event, span, 0)?),
            }
        }
        Ok(root.unwrap_or_else(|| Node { place: self.start.clone(), value: Value::Null }))
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Stop> {
        match self.events.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(self.broken(&error)),
            None => Err(Stop::syntax(self.start.clone(), "the text ends too early")),
        }
    }

    fn broken(&self, error: &ScanError) -> Stop {
        Stop::syntax(self.place(*error.marker()), &error.info())
    }

    fn place(&self, mark: Marker) -> Place {
        Place {
            line: u32::try_from(mark.line()).unwrap_or(u32::MAX),
            column: u32::try_from(mark.col() + 1).unwrap_or(u32::MAX),
            ..self.start.clone()
        }
    }

    fn report(&mut self, place: &Place, what: impl Into<String>, remedy: impl Into<String>) {
        let key = self.path.iter().fold(String::new(), |path, key| join(&path, key));
        self.problems.report(&place.below(&key), what, remedy);
    }

    /// The node that `event` begins.
    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Composed {
        let place = self.place(span.start);
        self.count(1, depth, &place)?;
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (anchor, self.scalar(text.into_owned(), style, tag.as_deref(), &place))
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), &["seq"], &place);
                (anchor, self.list(depth)?)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), &["map"], &place);
                (anchor, self.table(depth)?)
            }
            Event::Alias(anchor) => return self.alias(anchor, place, depth),
            Event::UnresolvedAlias(name) => {
                self.report(
                    &place,
                    format!("the alias `*{name}` names no anchor"),
                    format!("put `&{name}` on a value before it"),
                );
                (0, Value::Wrong)
            }
            _ => return Err(Stop::syntax(place, "a value is missing")),
        };
        let node = Node { place, value };
        if anchor != 0 {
            // The copy counts too: anchors inside of anchors would multiply for free.
            self.count(measure(&node).0, depth, &node.place)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn count(&mut self, nodes: usize, depth: usize, place: &Place) -> Result<(), Stop> {
        self.nodes += nodes;
        if self.nodes > MOST_NODES {
            return Err(Stop::too_large(place, format!("there are more than {MOST_NODES} values")));
        }
        if depth > DEEPEST {
            return Err(Stop::too_large(place, format!("it is nested more than {DEEPEST} deep")));
        }
        Ok(())
    }

    fn scalar(
        &mut self,
        text: String,
        style: ScalarStyle,
        tag: Option<&Tag>,
        place: &Place,
    ) -> Value {
        if !self.check_tag(tag, &["str", "int", "float", "bool", "null"], place) {
            return Value::Wrong;
        }
        let null = matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL");
        if style == ScalarStyle::Plain && null && tag.is_none_or(|tag| !is_core(tag, &["str"])) {
            return Value::Null;
        }
        Value::Scalar(Scalar { text, kind: ScalarKind::Untyped })
    }

    fn check_tag(&mut self, tag: Option<&Tag>, allowed: &[&str], place: &Place) -> bool {
        let Some(tag) = tag.filter(|tag| !is_core(tag, allowed)) else { return true };
        let what = format!("the tag `{}` is not supported", tag.original());
        self.report(place, what, "remove it");
        false
    }

    fn list(&mut self, depth: usize) -> Result<Value, Stop> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(items)),
                (event, span) => {
                    self.path.push(format!("[{}]", items.len()));
                    items.push(self.node(event, span, depth + 1)?);
                    self.path.pop();
                }
            }
        }
    }

    fn table(&mut self, depth: usize) -> Result<Value, Stop> {
        let mut table = TableBuilder::default();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(Value::Table(table.finish()));
            }
            let merge = is_merge(&event);
            let key = self.node(event, span, depth + 1)?;
            let name = self.name(key);
            let (event, span) = self.next()?;
            self.path.extend(name.iter().map(|(name, _)| name.clone()).filter(|_| !merge));
            let value = self.node(event, span, depth + 1)?;
            if merge {
                self.merge(value, &mut table);
            } else if let Some((name, place)) = name {
                self.insert(name, place, value, &mut table);
                self.path.pop();
            }
        }
    }

    /// The name that a key gives, and where.
    fn name(&mut self, key: Node) -> Option<(String, Place)> {
        match key.value {
            Value::Scalar(scalar) => Some((scalar.text, key.place)),
            Value::Null => Some((String::new(), key.place)),
            Value::Wrong => None,
            Value::List(_) | Value::Table(_) => {
                self.report(&key.place, "a key is not a single value", "write a name");
                None
            }
        }
    }

    fn insert(&mut self, key: String, place: Place, value: Node, table: &mut TableBuilder) {
        if let Some(line) = table.lines.get(&key) {
            let what = format!("`{key}` is given twice, first in line {line}");
            return self.report(&place, what, "remove one of the two");
        }
        table.lines.insert(key.clone(), place.line);
        table.own.push(Entry { key, place, value });
    }

    fn merge(&mut self, value: Node, table: &mut TableBuilder) {
        let is_table = |node: &Node| matches!(node.value, Value::Table(_));
        match value.value {
            Value::Table(entries) => table.merged.extend(entries),
            Value::List(tables) if tables.iter().all(is_table) => {
                for value in tables {
                    self.merge(value, table);
                }
            }
            Value::Wrong => {}
            _ => self.report(
                &value.place,
                "`<<` merges tables only",
                "give it an alias of a table, or a list of them",
            ),
        }
    }

    fn alias(&mut self, anchor: usize, place: Place, depth: usize) -> Composed {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(Stop::syntax(place, "an alias stands inside of what it names"));
        };
        let node = node.clone();
        let (size, height) = measure(&node);
        self.count(size, depth + height, &place)?;
        Ok(node)
    }
}

fn is_core(tag: &Tag, names: &[&str]) -> bool {
    // `!` alone says "not a plain value": a string.
    tag.core_suffix().is_some_and(|name| names.contains(&name))
        || tag.original() == "!" && names.contains(&"str")
}

/// A plain `<<`; a quoted one is an ordinary key.
fn is_merge(event: &Event<'_>) -> bool {
    matches!(event, Event::Scalar(text, ScalarStyle::Plain, _, _) if text == "<<")
}

/// How many nodes, how many levels.
fn measure(node: &Node) -> (usize, usize) {
    let below: Vec<_> = match &node.value {
        Value::Null | Value::Wrong | Value::Scalar(_) => Vec::new(),
        Value::List(items) => items.iter().map(measure).collect(),
        Value::Table(entries) => entries.iter().map(|entry| measure(&entry.value)).collect(),
    };
    let size = 1 + below.iter().map(|(size, _)| size).sum::<usize>();
    (size, 1 + below.iter().map(|(_, height)| *height).max().unwrap_or_default())
}

/// A table in the making: its own keys win over merged ones, earlier merges over later ones.
#[derive(Default)]
struct TableBuilder {
    own: Vec<Entry>,
    merged: Vec<Entry>,
    /// The line of each key.
    lines: HashMap<String, u32>,
}

impl TableBuilder {
    fn finish(self) -> Vec<Entry> {
        let Self { own: mut entries, merged, mut lines } = self;
        for entry in merged {
            if !lines.contains_key(&entry.key) {
                lines.insert(entry.key.clone(), entry.place.line);
                entries.push(entry);
            }
        }
        entries
    }
}
