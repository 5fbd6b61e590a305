//! Requests that are sent more than once: `idempotent`, `retry`, `hedge`, `retry_budget`.

use super::*;
use crate::catalog::{HedgeSettings, RetryOn, RetrySettings};
use crate::status::Code;
use crate::upstream::RetryBudgetSettings;

fn load(text: &str) -> Result<Complete, Vec<String>> {
    let dir = folder();
    let origin = Origin { file: None, flags: Flags::default(), purpose: Purpose::Serve };
    let settled = whole(origin.settle(&with_catalog(text), "t.yaml", dir.path(), &|_| None)).expect("settles");
    complete(&settled.catalogs).map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
}

#[test]
fn retries_and_hedges_are_set_by_method() {
    let complete = load(
        "settings:
  - match: p.S/*
    idempotent: true
    retry: {attempts: 5, on: [ABORTED, reset], per_attempt_timeout: 2s, backoff: {first: 1ms, max: 1s}, buffer: 1MiB}
  - {match: p.S/M, retry: {on: UNAVAILABLE}, hedge: {after: 50ms, attempts: 3, on: [INTERNAL]}}",
    )
    .expect("loads");
    let method = |path: &str| complete.catalogs[0].methods.iter().find(|method| &*method.path == path).expect(path);
    let retry = RetrySettings {
        attempts: 5,
        on: RetryOn::NONE.and(Code::Aborted).and_resets(),
        per_attempt_timeout: Some(Duration::from_secs(2)),
        first_backoff: Duration::from_millis(1),
        max_backoff: Duration::from_secs(1),
        buffer: 1 << 20,
    };
    assert_eq!(method("/p.S/N").settings.retry, retry);
    assert_eq!(method("/p.S/N").settings.hedge, HedgeSettings::default());
    let (narrow, on) = (&method("/p.S/M").settings, RetryOn::NONE.and(Code::Unavailable));
    assert_eq!(narrow.retry, RetrySettings { on, ..retry });
    let on = RetryOn::NONE.and(Code::Internal);
    assert_eq!(narrow.hedge, HedgeSettings { after: Some(Duration::from_millis(50)), attempts: 3, on });
    assert!(method("/p.S/M").is_repeatable() && !method("/p.T/N").is_repeatable());
    assert_eq!(method("/p.T/N").settings.retry, RetrySettings::default());
}

#[test]
fn what_would_never_have_an_effect_is_told_of_the_method_that_it_was_said_of() {
    let told = |settings: &str| load(settings).map(drop).expect_err("refused");
    for word in ["retry: {attempts: 2}", "hedge: {after: 1s}"] {
        let found = told(&format!("settings: [{{match: p.S/M, {word}}}]"));
        assert!(found[0].contains("no idempotency_level") && found[0].contains("`idempotent: true`"), "{found:?}");
        assert!(load(&format!("settings: [{{match: p.S/M, idempotent: true, {word}}}]")).is_ok());
        assert!(load(&format!("settings: [{{match: p.S/*, {word}}}]")).is_ok(), "it may be meant for others");
    }
    assert!(load("settings: [{match: p.S/M, retry: {buffer: 1KiB}}]").is_ok(), "that holds for refused calls too");
}

#[test]
fn mistakes_of_retries_are_told_with_their_places() {
    let found = mistakes(&with_catalog(
        "settings:
  - match: '*'
    retry: {attempts: 0, on: [UNAVAILBLE, OK], backoff: {first: 2s, max: 1s}, buffer: 1GiB, num_retries: 3}
    hedge: {after: 0s, attempts: 1}
clusters: {c: {endpoints: h2c://a, retry_budget: {ratio: -1, min_per_second: x, window: 100ms}}}",
    ));
    let has = |part: &str| assert!(found.iter().any(|text| text.contains(part)), "{part}: {found:#?}");
    has("retry.attempts: 0 is not between 1 and 10");
    has("did you mean UNAVAILABLE?");
    has("\"OK\" is not a gRPC code of an error");
    has("2s is longer than the longest, 1s");
    has("retry.buffer: 1GiB is not between");
    has("retry.num_retries: unknown key (did you mean \"attempts\"?)");
    has("hedge.after: must be more than nothing");
    has("hedge.attempts: 1 is not between 2 and 10");
    has("retry_budget.ratio: -1 is not between 0 and 10");
    has("retry_budget.min_per_second");
    has("retry_budget.window: 100ms is not between 1s and 1h");
    assert_eq!(found.len(), 11, "{found:#?}");
    for damaged in ["nan", "inf", "1e999", "", "0.2%"] {
        let text = format!("clusters: {{c: {{endpoints: h2c://a, retry_budget: {{ratio: '{damaged}'}}}}}}");
        assert_eq!(mistakes(&with_catalog(&text)).len(), 1, "{damaged}");
    }
}

#[test]
fn the_budget_of_a_cluster_has_the_defaults_that_the_reference_tells() {
    let text = "clusters: {c: {endpoints: h2c://a, retry_budget: {ratio: 0.5}}, d: {endpoints: h2c://b}}";
    let clusters = settle(&with_catalog(text)).expect("settles").clusters;
    let usual = RetryBudgetSettings::default();
    assert_eq!(clusters[0].retry_budget, RetryBudgetSettings { ratio: 0.5, ..usual });
    assert_eq!(clusters[1].retry_budget, usual);
    let default = |path: &str| reference_table::KEYS.iter().find(|key| key.path == path).expect(path).default;
    assert_eq!(default("clusters.<name>.retry_budget.ratio"), usual.ratio.to_string());
    assert_eq!(default("clusters.<name>.retry_budget.min_per_second"), usual.min_per_second.to_string());
    assert_eq!(value::duration(default("clusters.<name>.retry_budget.window")), Ok(usual.window));
    let retry = RetrySettings::default();
    assert_eq!(default("settings[].retry.attempts"), retry.attempts.to_string());
    assert_eq!(default("settings[].retry.on"), format!("{:?}", retry.on));
    assert_eq!(value::duration(default("settings[].retry.backoff.first")), Ok(retry.first_backoff));
    assert_eq!(value::duration(default("settings[].retry.backoff.max")), Ok(retry.max_backoff));
    assert_eq!(value::size(default("settings[].retry.buffer")), Ok(retry.buffer));
    assert_eq!(default("settings[].hedge.attempts"), HedgeSettings::default().attempts.to_string());
}
