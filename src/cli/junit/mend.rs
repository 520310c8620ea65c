//! Brings the JUnit that tools really write into the form that is read: there is no standard, and
//! every tool has its own idea of times, counts and nesting.

use jiff::Timestamp;
use jiff::civil::DateTime;
use quick_xml::escape::escape;
use quick_xml::events::attributes::Attribute;
use quick_xml::events::{BytesEnd, BytesStart, Event};
use quick_xml::{Reader, Writer};

const ALL: &[u8] = b"testsuites";
const SUITE: &[u8] = b"testsuite";
const CASE: &[u8] = b"testcase";

/// `xml` as one `<testsuites>` that holds flat, named suites with attributes that can be read.
pub(super) fn mend(xml: &str) -> Result<String, String> {
    let mut reader = Reader::from_str(xml);
    let mut mended =
        Mended { writer: Writer::new(b"<testsuites>".to_vec()), open: Vec::new(), suites: 0 };
    loop {
        let event = reader.read_event().map_err(|error| error.to_string())?;
        if matches!(event, Event::Eof) {
            break;
        }
        mended.take(event).map_err(|error| error.to_string())?;
    }
    mended.finish()
}

struct Mended<'a> {
    writer: Writer<Vec<u8>>,
    /// The suites that are open, outermost first.
    open: Vec<BytesStart<'a>>,
    suites: usize,
}

impl<'a> Mended<'a> {
    fn take(&mut self, event: Event<'a>) -> std::io::Result<()> {
        match event {
            Event::Start(tag) if tag.name().as_ref() == SUITE => self.begin_suite(&tag),
            Event::Empty(tag) if tag.name().as_ref() == SUITE => {
                self.begin_suite(&tag)?;
                self.end_suite()
            }
            Event::End(tag) if tag.name().as_ref() == SUITE => self.end_suite(),
            Event::Start(tag) if tag.name().as_ref() != ALL => {
                self.writer.write_event(Event::Start(readable(&tag)))
            }
            Event::Empty(tag) if tag.name().as_ref() != ALL => {
                self.writer.write_event(Event::Empty(readable(&tag)))
            }
            Event::End(tag) if tag.name().as_ref() == ALL => Ok(()),
            Event::End(_) | Event::Text(_) | Event::CData(_) | Event::GeneralRef(_) => {
                self.writer.write_event(event)
            }
            // Neither declarations nor comments say anything of tests.
            _ => Ok(()),
        }
    }

    /// A suite within a suite ends that one, which goes on afterwards.
    fn begin_suite(&mut self, tag: &BytesStart<'a>) -> std::io::Result<()> {
        if !self.open.is_empty() {
            self.close()?;
        }
        let tag = readable(tag);
        self.writer.write_event(Event::Start(tag.borrow()))?;
        self.open.push(tag);
        self.suites += 1;
        Ok(())
    }

    fn end_suite(&mut self) -> std::io::Result<()> {
        self.close()?;
        self.open.pop();
        match self.open.last() {
            Some(outer) => self.writer.write_event(Event::Start(outer.borrow())),
            None => Ok(()),
        }
    }

    fn close(&mut self) -> std::io::Result<()> {
        self.writer.write_event(Event::End(BytesEnd::new("testsuite")))
    }

    fn finish(self) -> Result<String, String> {
        if self.suites == 0 {
            return Err("it has no <testsuite>".to_owned());
        }
        if !self.open.is_empty() {
            return Err("it breaks off within a <testsuite>".to_owned());
        }
        let mut text = self.writer.into_inner();
        text.extend_from_slice(b"</testsuites>");
        String::from_utf8(text).map_err(|error| error.to_string())
    }
}

/// The tag with the attributes that can be read; what cannot is left out.
fn readable<'a>(tag: &BytesStart<'_>) -> BytesStart<'a> {
    let name = tag.name();
    let mut mended = BytesStart::new(String::from_utf8_lossy(name.as_ref()).into_owned());
    let mut named = false;
    for attribute in tag.attributes().with_checks(false).flatten() {
        let key = attribute.key.as_ref();
        if !is_name(key) {
            continue;
        }
        named |= key == b"name";
        match key {
            b"timestamp" => push(&mut mended, "timestamp", moment(&text(&attribute))),
            b"time" => push(&mut mended, "time", seconds(&text(&attribute))),
            b"tests" | b"failures" | b"errors" | b"skipped" | b"disabled" | b"assertions" => {
                let count = text(&attribute).trim().parse::<usize>().ok();
                let key = String::from_utf8_lossy(key).into_owned();
                push(&mut mended, &key, count.map(|count| count.to_string()));
            }
            _ => mended.push_attribute(attribute),
        }
    }
    if !named && [SUITE, CASE].contains(&name.as_ref()) {
        mended.push_attribute(("name", "unnamed"));
    }
    mended
}

/// What no tool writes and no reader takes: with its control characters gone, such a name could be
/// that of another attribute.
fn is_name(key: &[u8]) -> bool {
    let begins = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    let goes_on = |byte: &u8| begins(byte) || byte.is_ascii_digit() || b"-.:".contains(byte);
    key.first().is_some_and(begins) && key.iter().all(goes_on)
}

fn text(attribute: &Attribute<'_>) -> String {
    String::from_utf8_lossy(&attribute.value).into_owned()
}

fn push(tag: &mut BytesStart<'_>, key: &str, value: Option<String>) {
    if let Some(value) = value {
        tag.push_attribute((key, &*escape(&value)));
    }
}

/// Without a zone it is taken as UTC: it is only shown.
fn moment(text: &str) -> Option<String> {
    let text = text.trim();
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at.to_string());
    }
    text.parse::<DateTime>().ok().map(|at| format!("{at}Z"))
}

/// Some tools group thousands: `1,234.5`.
fn seconds(text: &str) -> Option<String> {
    let seconds: f64 = text.trim().replace(',', "").parse().ok()?;
    (seconds.is_finite() && seconds >= 0.0).then(|| seconds.to_string())
}
