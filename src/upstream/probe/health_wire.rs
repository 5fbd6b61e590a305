//! The two messages of `grpc.health.v1`, one field each, by hand.

use crate::wire::{PREFIX, prefix, put_bytes, records};

/// `grpc.health.v1.HealthCheckResponse.ServingStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Unknown,
    Serving,
    NotServing,
    /// `Watch` only: there is no such service, yet.
    ServiceUnknown,
}

/// The path of the streaming method.
pub(super) const WATCH: &str = "/grpc.health.v1.Health/Watch";
/// The path of the unary method.
pub(super) const CHECK: &str = "/grpc.health.v1.Health/Check";
/// The longest answer that is read, bytes. One that has a status and nothing else takes two.
pub(super) const LONGEST: usize = 1024;

/// `HealthCheckRequest { service }`, framed.
pub(super) fn request(service: &str) -> Vec<u8> {
    let mut message = Vec::with_capacity(service.len() + 8);
    if !service.is_empty() {
        put_bytes(&mut message, 1, service.as_bytes());
    }
    let mut framed = Vec::with_capacity(PREFIX + message.len());
    framed.extend_from_slice(&prefix(0, message.len()));
    framed.extend_from_slice(&message);
    framed
}

/// Reads a `HealthCheckResponse`; fields that we don't know are passed over. `None`: it is none. A number that the
/// enum does not have is an unknown status.
pub(super) fn response(message: &[u8]) -> Option<Health> {
    let mut status = 0;
    for record in records(message) {
        let record = record.ok()?;
        // field 1, a varint; the last one counts
        if record.tag == 1 << 3 {
            status = record.piece.bits;
        }
    }
    Some(match status {
        1 => Health::Serving,
        2 => Health::NotServing,
        3 => Health::ServiceUnknown,
        _ => Health::Unknown,
    })
}

// === impl Health ===

impl Health {
    /// As the enum of the `.proto` has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Health::Unknown => "UNKNOWN",
            Health::Serving => "SERVING",
            Health::NotServing => "NOT_SERVING",
            Health::ServiceUnknown => "SERVICE_UNKNOWN",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_a_frame_with_one_field_or_none() {
        assert_eq!(request(""), [0, 0, 0, 0, 0]);
        assert_eq!(request("a.B"), [0, 0, 0, 0, 5, 0x0a, 3, b'a', b'.', b'B']);
    }

    #[test]
    fn an_answer_is_read_whatever_is_around_its_status() {
        assert_eq!(response(&[]), Some(Health::Unknown));
        for (number, status) in
            [(0, Health::Unknown), (1, Health::Serving), (2, Health::NotServing), (3, Health::ServiceUnknown)]
        {
            assert_eq!(response(&[8, number]), Some(status));
            assert_eq!(response(&[8, 9, 0x12, 1, b'x', 8, number, 0x1a, 0]), Some(status), "the last one counts");
        }
        assert_eq!(response(&[8, 99]), Some(Health::Unknown));
        assert_eq!(response(&[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), Some(Health::Unknown));
    }

    #[test]
    fn damaged_answers_are_none() {
        for bad in [&[8][..], &[8, 0x80], &[0x0a, 5, 1], &[0], &[7, 1], &[8, 1, 0xff], &[0x0b, 8, 1]] {
            assert_eq!(response(bad), None, "{bad:?}");
        }
        let mut seed = 7_u64;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let bytes = seed.to_le_bytes();
            response(&bytes[..(seed >> 60) as usize % 9]);
        }
    }
}
