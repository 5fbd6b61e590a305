//! What the operator decides about callers. Only the origins of browsers so far; hooks for identity and limits come beside it.

pub mod cors;
pub mod origin;
