//! What may be set for calls of a method.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::repeat::RetryOn;
use super::service::{BytesForm, EnumForm, GuardMode, UnknownFields, UnknownNumbers, Weave};
use crate::status::Code;

/// Declares settings twice over: with a value for each, and as far as one place of a configuration says something.
macro_rules! settings {
    (
        $(#[$about:meta])* $full:ident, $partial:ident {
            $($(#[$doc:meta])* $field:ident: $kind:ty = $default:expr,)*
        }
        $(groups { $($(#[$group_doc:meta])* $group:ident: $group_full:ident / $group_partial:ident,)* })?
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $full {
            $($(#[$doc])* pub $field: $kind,)*
            $($($(#[$group_doc])* pub $group: $group_full,)*)?
        }

        #[doc = concat!("What one place says of [`", stringify!($full), "`]; `None`: as the next more general one has it.")]
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $partial {
            $($(#[$doc])* pub $field: Option<$kind>,)*
            $($($(#[$group_doc])* pub $group: $group_partial,)*)?
        }

        impl Default for $full {
            fn default() -> $full {
                $full { $($field: $default,)* $($($group: Default::default(),)*)? }
            }
        }

        impl $full {
            /// What differs from the default: names, those of a group with its name and a dot in front, and values as they
            /// are shown to developers.
            pub fn changes(&self) -> Vec<(String, String)> {
                let mut changes = Vec::new();
                let usual = $full::default();
                $(if self.$field != usual.$field {
                    changes.push((stringify!($field).to_owned(), format!("{:?}", self.$field)));
                })*
                $($(for (name, value) in self.$group.changes() {
                    changes.push((format!("{}.{name}", stringify!($group)), value));
                })*)?
                changes
            }

            /// Takes over what `partial` sets.
            pub fn merge(&mut self, partial: &$partial) {
                $(if let Some(value) = &partial.$field {
                    self.$field.clone_from(value);
                })*
                $($(self.$group.merge(&partial.$group);)*)?
            }
        }
    };
}

settings! {
    /// What holds for calls of one method: merged default < catalog < service < method when the catalog is loaded.
    MethodSettings, PartialSettings {
        /// Bytes of one request message; 0: no limit. Default 4 MiB.
        max_request_message: usize = 4 << 20,
        /// Bytes of one response message; 0: no limit. Default 4 MiB.
        max_response_message: usize = 4 << 20,
        /// The deadline of a call whose caller gives none. Default: none.
        default_deadline: Option<Duration> = None,
        /// The longest deadline; a longer one, or none, is cut down to it. Default: none.
        max_deadline: Option<Duration> = None,
        /// Time without a message in either direction after which a stream ends. Default: none.
        idle_timeout: Option<Duration> = None,
        /// What to do with a JSON field that the message does not have.
        unknown_json_fields: UnknownFields = UnknownFields::Refuse,
        /// Query parameters that are not bound and not complained about, as an API key.
        ignored_query: Box<[Box<str>]> = Box::new([]),
        /// Which messages of a client stream get what path and query bind. Default: the first.
        weave: Weave = Weave::First,
        /// Print fields that are not set (scalars, empty lists and maps).
        print_unset: bool = false,
        /// Print names as in the `.proto` file.
        proto_names: bool = false,
        /// How enum values are printed. Names without their prefix are then read as well.
        enums: EnumForm = EnumForm::Name,
        /// Print 64-bit integers as JSON numbers where those are exact for every reader, up to 2^53-1 either way; others
        /// stay strings. Both forms are read in any case. Default: no.
        int64_numbers: bool = false,
        /// How bytes are printed, and read.
        bytes: BytesForm = BytesForm::Base64,
        /// Blanks per level of an answer's JSON; 0: all in one line, as streams always have it. At most 8.
        indent: u8 = 0,
        /// The encodings that the upstream reads: messages compressed with one of these pass as they are, messages in
        /// others that we know are unpacked on the way. Default: gzip, which every common server has.
        upstream_encodings: Box<[Box<str>]> = Box::new(["gzip".into()]),
        /// Messages and bodies that the edge makes are compressed for callers who accept that, from this many bytes on;
        /// 0: never. Default 1 KiB.
        compress_from: usize = 1 << 10,
        /// Connect calls must say `connect-protocol-version: 1` (`connect=v1` by GET). Default: no.
        require_connect_version: bool = false,
        /// Whether request messages are checked against the schema, in every dialect. Default: no.
        guard_requests: GuardMode = GuardMode::Off,
        /// The same for the messages of answers. Default: no.
        guard_responses: GuardMode = GuardMode::Off,
        /// What the guard does with field numbers that a message does not have. Default: they pass.
        guard_unknown: UnknownNumbers = UnknownNumbers::Pass,
        /// Elements of a repeated field and entries of a map that the guard lets pass; 0: any number. Default 0.
        guard_max_repeated: usize = 0,
        /// Bytes of a string that the guard lets pass; 0: any number. Default 0.
        guard_max_string: usize = 0,
        /// Bytes of a `bytes` field that the guard lets pass; 0: any number. Default 0.
        guard_max_bytes: usize = 0,
        /// How deep messages may nest for the guard, the outermost not counted: 1 to 100. Default 100, protobuf's own limit.
        guard_max_depth: u32 = 100,
        /// Whether request messages are judged by the rules of `buf.validate` that their types carry, in every dialect.
        /// Default: no.
        validate_requests: GuardMode = GuardMode::Off,
        /// The same for the messages of answers. Default: no.
        validate_responses: GuardMode = GuardMode::Off,
        /// Whether a call may be executed twice; `None`: as the method's `idempotency_level` says. Default: that.
        idempotent: Option<bool> = None,
    }
    groups {
        /// When a request is sent again.
        retry: RetrySettings / PartialRetry,
        /// When a request is sent twice at a time.
        hedge: HedgeSettings / PartialHedge,
        /// What only REST callers see.
        rest: RestSettings / PartialRest,
        /// How a stream of answers looks as server-sent events.
        sse: SseSettings / PartialSse,
    }
}

settings! {
    /// When a request is sent again, before anything of an answer has gone on to the caller. Requests that the upstream
    /// surely never took up are sent again in any case, as often as need be (gRPC proposal A6, "Transparent Retries").
    RetrySettings, PartialRetry {
        /// Attempts of a method that may be executed twice, the first one included; 1: no more than that. Default 3.
        attempts: u32 = 3,
        /// Failures that are worth it. Default: UNAVAILABLE, lost connections among it, and streams that were reset.
        on: RetryOn = RetryOn::default(),
        /// How long an attempt may go without an answer before another is made in its place. Default: as long as the call
        /// may.
        per_attempt_timeout: Option<Duration> = None,
        /// The longest pause before the second attempt; a random part of it is waited for, and it doubles. Default 25 ms.
        first_backoff: Duration = Duration::from_millis(25),
        /// What it doubles up to. Default 250 ms.
        max_backoff: Duration = Duration::from_millis(250),
        /// Bytes of a request that are kept to be sent again; one that has more is sent once. Default 64 KiB.
        buffer: usize = 64 << 10,
    }
}

settings! {
    /// When a request is sent twice at a time, and the first good answer counts (gRPC proposal A6, "Hedging Policy").
    /// Only for methods that take one message and may be executed twice. In place of retries by [`RetrySettings`].
    HedgeSettings, PartialHedge {
        /// How long an attempt may go without an answer before another is made beside it. Default: none is.
        after: Option<Duration> = None,
        /// Attempts, the first one included. Default 2.
        attempts: u32 = 2,
        /// Failures after which the next attempt is made at once, and the others go on; any other ends the call. Default:
        /// as for retries.
        on: RetryOn = RetryOn::default(),
    }
}

settings! {
    /// What holds for REST calls of one method.
    RestSettings, PartialRest {
        /// The HTTP code of a good answer, 200 to 299. With 204 there is no body. Default 200.
        success: u16 = 200,
        /// `Location` of a good answer: a text with names of its fields in braces, as `/v1/{name}`. Default: none.
        location: Option<Box<str>> = None,
        /// HTTP codes, 400 to 599, in place of those that errors map to. Default: none.
        error_codes: Box<[(Code, u16)]> = Box::default(),
        /// The upstream's metadata that callers see as header fields; `None`: all. Default: all.
        response_headers: Option<Box<[HeaderName]>> = None,
        /// Whether good answers to GET and HEAD of methods without side effects have an entity tag, and `If-None-Match` is
        /// answered by 304 (RFC 9110, 8.8.3 and 13.1.2). Default: no.
        etag: bool = false,
        /// `Cache-Control` of the same answers (RFC 9111, 5.2.2). Default: none.
        cache_control: Option<HeaderValue> = None,
        /// Whether `X-HTTP-Method-Override` of a POST counts. Default: no.
        method_override: bool = false,
        /// Whether a PATCH that does not say which fields it means has its field mask filled with those that its body
        /// has. Default: no.
        fill_mask: bool = false,
        /// The query parameter that names the fields of the answer that are printed, in the form of a field mask. Default:
        /// none.
        fields_parameter: Option<Box<str>> = None,
        /// Whether query parameters may reach into maps and repeated messages, as in `m[k]=v` and `items[0].name=v`.
        /// Default: no.
        query_brackets: bool = false,
    }
}

settings! {
    /// What holds for streams as server-sent events (HTML standard, 9.2).
    SseSettings, PartialSse {
        /// The type of all events. Default: none, which is `message` to readers.
        event: Option<Box<str>> = None,
        /// The field of a message that has its event's type: a path of proto names. Default: none.
        event_field: Option<Box<str>> = None,
        /// The field of a message that has its event's id. Default: none.
        id_field: Option<Box<str>> = None,
        /// How long readers wait before they come again. Default: as they like.
        retry: Option<Duration> = None,
        /// How long a stream may be silent before a comment keeps it alive. Default 15 s.
        heartbeat: Duration = Duration::from_secs(15),
        /// The field of the request that `Last-Event-ID` fills. Default: none.
        last_event_id_field: Option<Box<str>> = None,
        /// The metadata that `Last-Event-ID` goes upstream as. Default: none, it is not passed on.
        last_event_id_metadata: Option<HeaderName> = None,
    }
}
// === impl MethodSettings ===

impl MethodSettings {
    /// The deadline that holds: the caller's, else the method's default; never longer than the method's longest.
    pub fn deadline(&self, asked: Option<Duration>) -> Option<Duration> {
        let deadline = asked.or(self.default_deadline);
        match (deadline, self.max_deadline) {
            (Some(deadline), Some(most)) => Some(deadline.min(most)),
            (None, Some(most)) => Some(most),
            (deadline, None) => deadline,
        }
    }
}
