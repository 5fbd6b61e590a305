//! The 17 status codes of gRPC and the one table that maps them to HTTP codes and Connect names.

/// A gRPC status code (grpc `doc/statuscodes.md`). Numbers outside 0..=16 are read as `Unknown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Code {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

/// One row of the mapping: the code, its name in `google.rpc.Code`, its HTTP code, its Connect name.
struct Row(Code, &'static str, u16, &'static str);

const TABLE: [Row; 17] = [
    Row(Code::Ok, "OK", 200, "ok"),
    Row(Code::Cancelled, "CANCELLED", 499, "canceled"),
    Row(Code::Unknown, "UNKNOWN", 500, "unknown"),
    Row(Code::InvalidArgument, "INVALID_ARGUMENT", 400, "invalid_argument"),
    Row(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", 504, "deadline_exceeded"),
    Row(Code::NotFound, "NOT_FOUND", 404, "not_found"),
    Row(Code::AlreadyExists, "ALREADY_EXISTS", 409, "already_exists"),
    Row(Code::PermissionDenied, "PERMISSION_DENIED", 403, "permission_denied"),
    Row(Code::ResourceExhausted, "RESOURCE_EXHAUSTED", 429, "resource_exhausted"),
    Row(Code::FailedPrecondition, "FAILED_PRECONDITION", 400, "failed_precondition"),
    Row(Code::Aborted, "ABORTED", 409, "aborted"),
    Row(Code::OutOfRange, "OUT_OF_RANGE", 400, "out_of_range"),
    Row(Code::Unimplemented, "UNIMPLEMENTED", 501, "unimplemented"),
    Row(Code::Internal, "INTERNAL", 500, "internal"),
    Row(Code::Unavailable, "UNAVAILABLE", 503, "unavailable"),
    Row(Code::DataLoss, "DATA_LOSS", 500, "data_loss"),
    Row(Code::Unauthenticated, "UNAUTHENTICATED", 401, "unauthenticated"),
];

// === impl Code ===

impl Code {
    /// All codes, in the order of their numbers.
    pub const ALL: [Code; 17] = {
        let mut all = [Code::Ok; 17];
        let mut i = 0;
        while i < 17 {
            all[i] = TABLE[i].0;
            i += 1;
        }
        all
    };

    /// The code with this number; `Unknown` for a number that gRPC does not define (as every gRPC client reads it).
    pub fn from_number(number: u32) -> Code {
        TABLE.get(number as usize).map_or(Code::Unknown, |row| row.0)
    }

    /// Reads the value of a `grpc-status` field: decimal digits. `None` if it is not a number at all.
    pub fn from_header(value: &[u8]) -> Option<Code> {
        let text = std::str::from_utf8(value).ok()?;
        text.trim().parse::<u32>().ok().map(Code::from_number)
    }

    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The number as text, for `grpc-status`.
    pub const fn digits(self) -> &'static str {
        const DIGITS: [&str; 17] =
            ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"];
        DIGITS[self as usize]
    }

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// The name in `google.rpc.Code`, as in `INVALID_ARGUMENT`.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The HTTP status code for REST and Connect callers (the table of `google/rpc/code.proto`, 1 is 499).
    pub fn http(self) -> u16 {
        self.row().2
    }

    /// The name in Connect's error JSON, as in `invalid_argument`.
    pub fn connect_name(self) -> &'static str {
        self.row().3
    }

    /// The code for an HTTP answer that carries no `grpc-status` (gRPC `doc/http-grpc-status-mapping.md`). Some
    /// implementations read 431 as `Internal`; the Connect conformance suite has it with all others, and so have we.
    pub fn from_http(http: u16) -> Code {
        match http {
            400 => Code::Internal,
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            404 => Code::Unimplemented,
            429 | 502 | 503 | 504 => Code::Unavailable,
            _ => Code::Unknown,
        }
    }

    /// The code for a stream that the peer reset (gRPC `doc/PROTOCOL-HTTP2.md`, "Errors").
    pub fn from_reset(reason: h2::Reason) -> Code {
        match reason {
            h2::Reason::REFUSED_STREAM => Code::Unavailable,
            h2::Reason::CANCEL => Code::Cancelled,
            h2::Reason::ENHANCE_YOUR_CALM => Code::ResourceExhausted,
            h2::Reason::INADEQUATE_SECURITY => Code::PermissionDenied,
            _ => Code::Internal,
        }
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_numbers() {
        for (number, row) in TABLE.iter().enumerate() {
            assert_eq!(row.0 as usize, number);
            assert_eq!(row.0.digits(), number.to_string());
            assert_eq!(Code::from_number(number as u32), row.0);
        }
    }

    #[test]
    fn a_number_grpc_does_not_define_is_unknown_and_no_number_is_nothing() {
        assert_eq!(Code::from_header(b"17"), Some(Code::Unknown));
        assert_eq!(Code::from_header(b"4294967295"), Some(Code::Unknown));
        assert_eq!(Code::from_header(b"x"), None);
        assert_eq!(Code::from_header(b""), None);
    }

    #[test]
    fn http_codes_without_a_grpc_status_map_by_the_grpc_document() {
        for (http, code) in [(400, 13), (401, 16), (403, 7), (404, 12), (429, 14), (502, 14), (503, 14), (504, 14)] {
            assert_eq!(Code::from_http(http).number(), code, "HTTP {http}");
        }
        for http in [200, 204, 302, 418, 431, 500] {
            assert_eq!(Code::from_http(http), Code::Unknown, "HTTP {http}");
        }
    }
}
