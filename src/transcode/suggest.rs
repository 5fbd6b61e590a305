//! The likely name: what the caller probably meant.

use crate::catalog::{Enum, Message};
use crate::wire::closest;

/// How many enum names an error lists at most.
const LISTED: usize = 20;

/// ` (did you mean "title"?)`, or nothing if no field is close.
pub(super) fn field(message: &Message, name: &str) -> String {
    let names = message.fields.iter().flat_map(|field| [field.json_name(), field.name()]);
    closest(name, names).map(|near| format!(" (did you mean {near:?}?)")).unwrap_or_default()
}

/// ` (did you mean ...? allowed: ...)`, with what is allowed; `short`: by the names without the enum's own in front.
pub(super) fn enum_value(enumeration: &Enum, name: &str, short: bool) -> String {
    let shown = |name| if short { enumeration.short_name(name) } else { name };
    let near = closest(name, enumeration.values.iter().map(|value| shown(&value.name)));
    let near = near.map(|near| format!("did you mean {near:?}? ")).unwrap_or_default();
    let names: Vec<&str> = enumeration.values.iter().take(LISTED).map(|value| shown(&value.name)).collect();
    let more = if enumeration.values.len() > LISTED { ", ..." } else { "" };
    format!(" ({near}allowed: {}{more})", names.join(", "))
}
