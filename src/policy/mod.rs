//! What the operator decides about callers. Only CORS so far; hooks for identity and limits come beside it.

pub mod cors;
