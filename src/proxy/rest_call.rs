//! What the settings for answers mean for one REST call: which fields are printed, what is read off its messages, and where
//! the id of the last event goes.

use http::HeaderValue;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::tables::Called;
use crate::call::{Hint, Kind, Refusal};
use crate::catalog::{AnswerPlan, FieldPath, Location, LocationPart};
use crate::protocol::{RestCall, fits_a_line, put_labels};
use crate::status::FieldViolation;
use crate::transcode::{Mask, PrintOptions, ReadOptions, put_field, show_field};

/// What else is made of the messages of an answer than their JSON.
#[derive(Debug, Default)]
pub(super) struct Extras {
    pub plan: Option<std::sync::Arc<AnswerPlan>>,
    /// The only fields to print.
    pub mask: Option<Mask>,
    /// Labels of events stand in front.
    pub labelled: bool,
    /// `Location`, once the message is there that tells it.
    pub location: Option<HeaderValue>,
}

/// What must not stand in the path of a URL as it is (RFC 3986, 3.3). Slashes may: names of resources have several segments.
const NOT_IN_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// `Last-Event-ID`, as callers are told of it.
const LAST_EVENT_ID: &str = "Last-Event-ID";

/// What is appended to the request so that the stream goes on behind the last event that its caller has seen; mostly nothing.
///
/// Errors: it is no value of the field that the settings name.
pub(super) fn resumed(call: Option<&RestCall>, called: &Called) -> Result<Vec<u8>, Refusal> {
    let mut more = Vec::new();
    let Some((call, id)) = call.and_then(|call| Some((call, call.last_event_id.as_ref()?))) else { return Ok(more) };
    let Some(path) = &call.plan.last_event_id else { return Ok(more) };
    let (schema, method) = (&called.catalog().schema, called.method());
    let read = std::str::from_utf8(id.as_bytes())
        .map_err(|_| "not UTF-8".to_owned())
        .and_then(|text| put_field(schema, method.input, path, text, &ReadOptions::from(&method.settings), &mut more));
    match read {
        Ok(()) => Ok(more),
        Err(why) => Err(bad(LAST_EVENT_ID, vec![why])),
    }
}

/// The fields of the answer that the query asks for; `None`: all. `only`: the field that the rule shows alone.
///
/// Errors: what is wrong with the parameter.
pub(super) fn wanted_fields(
    call: Option<&RestCall>,
    called: &Called,
    only: Option<u16>,
    query: Option<&str>,
) -> Result<Option<Mask>, Refusal> {
    let Some(parameter) = call.and_then(|call| call.plan.rest.fields_parameter.as_deref()) else { return Ok(None) };
    let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let texts: Vec<_> = pairs.filter(|(name, _)| name == parameter).map(|(_, text)| text).collect();
    if texts.is_empty() {
        return Ok(None);
    }
    let (schema, output) = (&called.catalog().schema, called.method().output);
    let mask = Mask::parse(schema, output, only, texts.iter().map(|text| &**text));
    mask.map(Some).map_err(|mistakes| bad(parameter, mistakes))
}

fn bad(field: &str, mistakes: Vec<String>) -> Refusal {
    let more = mistakes.len().saturating_sub(1);
    let mut text = format!("{field}: {}", mistakes.first().map_or("", String::as_str));
    if more > 0 {
        text.push_str(&format!(" (and {more} more)"));
    }
    let violation = |description| FieldViolation { field: field.to_owned(), description };
    Refusal::new(Kind::BadRequest, text).hint(Hint::Violations(mistakes.into_iter().map(violation).collect()))
}

// === impl Extras ===

impl Extras {
    /// Reads off a message what is wanted of it beside its JSON; labels go to `out`.
    pub(super) fn read(&mut self, called: &Called, message: &[u8], options: &PrintOptions, out: &mut Vec<u8>) {
        let (schema, output) = (&called.catalog().schema, called.method().output);
        // a message that cannot be read cannot be printed either, and is refused there
        let show = |path: &FieldPath| show_field(schema, output, path, message, options).ok().flatten();
        let plan = self.plan.as_deref();
        if self.labelled {
            let own = plan.and_then(|plan| plan.event_field.as_ref()).and_then(show).filter(|event| fits_a_line(event));
            let event = own.as_deref().or_else(|| plan?.sse.event.as_deref());
            let id = plan.and_then(|plan| plan.id_field.as_ref()).and_then(show);
            put_labels(event, id.as_deref(), out);
        }
        if let Some(location) = plan.and_then(|plan| plan.location.as_ref()) {
            self.location = url(location, show);
        }
    }
}

/// The template filled in; `None` if a field is not set.
fn url(location: &Location, show: impl Fn(&FieldPath) -> Option<String>) -> Option<HeaderValue> {
    let mut text = String::new();
    for part in &location.0 {
        match part {
            LocationPart::Text(literal) => text.push_str(literal),
            LocationPart::Field(path) => text.extend(utf8_percent_encode(&show(path)?, NOT_IN_PATH)),
        }
    }
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_filled_in_or_not_there() {
        let field = |index| LocationPart::Field(FieldPath(Box::new([index])));
        let location = Location(Box::new([
            LocationPart::Text("/v1/".into()),
            field(0),
            LocationPart::Text("?x=".into()),
            field(1),
        ]));
        let values = |values: [Option<&'static str>; 2]| {
            url(&location, |path| values[usize::from(path.0[0])].map(str::to_owned))
                .map(|url| url.to_str().unwrap().to_owned())
        };
        assert_eq!(values([Some("shelves/1"), Some("a-b_c.d~e")]).as_deref(), Some("/v1/shelves/1?x=a-b_c.d~e"));
        assert_eq!(values([Some("ä b?#%\r\n"), Some("1")]).as_deref(), Some("/v1/%C3%A4%20b%3F%23%25%0D%0A?x=1"));
        assert_eq!(values([Some("a"), None]), None);
    }
}
