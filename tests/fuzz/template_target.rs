//! Fuzz target: a text is a template or not, and a template keeps its promises.

use transom::catalog::{MAX_LITERAL, Segment, Template};

/// Runs the target over one input.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let text = text.trim_end_matches('\n');
    match Template::parse(text) {
        Err(error) => assert!(error.offset <= text.len(), "{text:?}: {error}"),
        Ok(template) => {
            assert_eq!(&*template.text, text);
            let written = template.to_string();
            let again = Template::parse(&written).unwrap_or_else(|error| panic!("{text:?}, {written:?}: {error}"));
            assert_eq!(Template { text: text.into(), ..again }, template, "{written:?}");
            let doubles = template.segments.iter().filter(|segment| **segment == Segment::DoubleStar).count();
            assert!(doubles <= 1, "{text:?}");
            for segment in &template.segments {
                if let Segment::Literal(literal) = segment {
                    assert!(!literal.is_empty() && literal.len() <= MAX_LITERAL, "{text:?}");
                }
            }
            let mut end = 0;
            for variable in &template.variables {
                assert!(end <= variable.start && variable.start < variable.end, "{text:?}");
                end = variable.end;
                let spanned = &template.segments[variable.start..variable.end];
                assert_eq!(variable.multi, spanned.len() > 1 || spanned[0] == Segment::DoubleStar, "{text:?}");
            }
            assert!(end <= template.segments.len(), "{text:?}");
        }
    }
}
