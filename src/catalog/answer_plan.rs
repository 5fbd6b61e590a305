//! What the settings for REST answers and events amount to for one method: names of fields looked up in its messages.

use std::sync::Arc;

use super::Catalog;
use super::binding::Ends;
use super::method_settings::{MethodSettings, PartialSettings, RestSettings, SseSettings};
use super::mistake::Mistake;
use super::schema::{MessageId, Schema};
use super::service::{Body, FieldPath, Method, StreamKind};
use super::settings::{SettingRule, complain, names, origin};

/// How the answers of one method look to REST callers, as far as settings say something. Shared by its calls.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AnswerPlan {
    pub rest: RestSettings,
    pub sse: SseSettings,
    /// `rest.location`, if the answer has the fields that it names.
    pub location: Option<Location>,
    /// `sse.event_field`, if the answer has it.
    pub event_field: Option<FieldPath>,
    /// `sse.id_field`, if the answer has it.
    pub id_field: Option<FieldPath>,
    /// `sse.last_event_id_field`, if the request has it.
    pub last_event_id: Option<FieldPath>,
}

/// The template of a `Location`, in the order of its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location(pub Box<[LocationPart]>);

/// A piece of a [`Location`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocationPart {
    /// Visible ASCII, sent as it is.
    Text(Box<str>),
    /// A field of the answer, in the form that text has.
    Field(FieldPath),
}

/// One of the settings that name fields.
struct Naming {
    /// As configurations have it.
    key: &'static str,
    said: fn(&PartialSettings) -> Option<&str>,
    /// Looks the names up, and keeps what it finds.
    settle: fn(&mut AnswerPlan, &Asked<'_>, &str) -> Result<(), Mistake>,
}

/// The method that settings are looked up for.
struct Asked<'s> {
    schema: &'s Schema,
    input: MessageId,
    output: MessageId,
    kind: StreamKind,
}

const NAMINGS: [Naming; 4] = [
    Naming {
        key: "rest.location",
        said: |said| said.rest.location.as_ref()?.as_deref(),
        settle: |plan, asked, text| {
            if asked.kind.server_streams() {
                return Err(Mistake::new("the method answers with a stream, which has no `Location`"));
            }
            plan.location = Some(Location::parse(text, |path| asked.field(asked.output, path))?);
            Ok(())
        },
    },
    Naming {
        key: "sse.event_field",
        said: |said| said.sse.event_field.as_ref()?.as_deref(),
        settle: |plan, asked, path| {
            plan.event_field = Some(asked.of_stream(path)?);
            Ok(())
        },
    },
    Naming {
        key: "sse.id_field",
        said: |said| said.sse.id_field.as_ref()?.as_deref(),
        settle: |plan, asked, path| {
            plan.id_field = Some(asked.of_stream(path)?);
            Ok(())
        },
    },
    Naming {
        key: "sse.last_event_id_field",
        said: |said| said.sse.last_event_id_field.as_ref()?.as_deref(),
        settle: |plan, asked, path| {
            if asked.kind != StreamKind::ServerStream {
                return Err(Mistake::new("the method does not take one message and answer with a stream"));
            }
            plan.last_event_id = Some(asked.field(asked.input, path)?);
            Ok(())
        },
    },
];

// === impl AnswerPlan ===

impl AnswerPlan {
    /// The plan of a method whose other facts are all there; `None` if no setting is about its answers. What names no field
    /// is a mistake if it was said of this very method; others are for [`check_fields`].
    pub(super) fn settle(
        method: &Method,
        schema: &Schema,
        rules: &[SettingRule],
    ) -> Result<Option<Arc<AnswerPlan>>, Vec<Mistake>> {
        let MethodSettings { rest, sse, .. } = &method.settings;
        if *rest == RestSettings::default() && *sse == SseSettings::default() {
            return Ok(None);
        }
        let mut plan = AnswerPlan { rest: rest.clone(), sse: sse.clone(), ..AnswerPlan::default() };
        let (asked, path) = (Asked::of(method, schema), method.path.trim_start_matches('/'));
        let mut mistakes = Vec::new();
        for naming in &NAMINGS {
            let Some((rule, said)) = origin(rules, path, naming.said) else { continue };
            if let Err(mistake) = (naming.settle)(&mut plan, &asked, said)
                && rule.pattern == path
            {
                mistakes.push(naming.tell(mistake, rule, path));
            }
        }
        mistakes.extend(hidden(method, schema, rules));
        if mistakes.is_empty() { Ok(Some(Arc::new(plan))) } else { Err(mistakes) }
    }

    /// Whether an answer that is no stream looks otherwise than it does without settings.
    pub fn shapes_answers(&self) -> bool {
        let RestSettings { success, error_codes, response_headers, .. } = &self.rest;
        *success != 200 || !error_codes.is_empty() || response_headers.is_some()
    }
}

/// Settings that name fields by a pattern of many methods, none of which has them: of a setting for many it is enough that
/// some method can follow it.
pub fn check_fields<'c>(rules: &[SettingRule], catalogs: impl Iterator<Item = &'c Catalog> + Clone) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for rule in rules {
        for naming in &NAMINGS {
            let Some(said) = (naming.said)(&rule.settings) else { continue };
            if let Some(mistake) = followed_by_none(rule, naming, said, catalogs.clone()) {
                mistakes.push(mistake);
            }
        }
    }
    mistakes
}

fn followed_by_none<'c>(
    rule: &SettingRule,
    naming: &Naming,
    said: &str,
    catalogs: impl Iterator<Item = &'c Catalog>,
) -> Option<Mistake> {
    let mut first = None;
    for catalog in catalogs {
        for method in catalog.methods.iter() {
            let path = method.path.trim_start_matches('/');
            if rule.pattern == path || !names(&rule.pattern, path) {
                continue;
            }
            match (naming.settle)(&mut AnswerPlan::default(), &Asked::of(method, &catalog.schema), said) {
                Ok(()) => return None,
                Err(mistake) => {
                    // a method of the kind that the setting is for tells more than one that is not
                    let told: &mut (Mistake, &str) = first.get_or_insert((mistake.clone(), path));
                    if told.0.hint.is_none() && mistake.hint.is_some() {
                        *told = (mistake, path);
                    }
                }
            }
        }
    }
    let (mistake, path) = first?;
    let mut told = naming.tell(mistake, rule, path);
    told.text = format!("no method that {:?} matches can follow it; {}", rule.pattern, told.text);
    Some(told)
}

/// Fields of the request that the query would fill, had the parameter of their name not been given another meaning.
fn hidden(method: &Method, schema: &Schema, rules: &[SettingRule]) -> Option<Mistake> {
    let said = |said: &PartialSettings| Some(said.rest.fields_parameter.as_ref()?.is_some());
    let parameter = method.settings.rest.fields_parameter.as_deref()?;
    let (index, _) = schema.message(method.input).field_by_name(parameter)?;
    let by_query = |binding: &super::Binding| {
        let elsewhere = binding.variables.iter().any(|path| *path.0 == [index]);
        binding.body != Body::All && binding.body != Body::Field(index) && !elsewhere
    };
    let binding = method.bindings.iter().find(|binding| by_query(binding))?;
    let path = method.path.trim_start_matches('/');
    let place = origin(rules, path, said).and_then(|(rule, _)| rule.place.clone());
    let text = format!(
        "query.fields_parameter: {path} has a field {parameter:?} in its request, which the query of {} {} could not fill",
        binding.verb, binding.template.text
    );
    let hint = "give the parameter another name for this method, as \"$fields\"";
    Some(Mistake { place, ..Mistake::new(text).hint(hint) })
}

// === impl Naming ===

impl Naming {
    fn tell(&self, mistake: Mistake, rule: &SettingRule, path: &str) -> Mistake {
        let mut told = complain(format!("{}: {path}: {}", self.key, mistake.text), None, rule.place.as_ref());
        told.hint = mistake.hint;
        told
    }
}

// === impl Asked ===

impl<'s> Asked<'s> {
    fn of(method: &Method, schema: &'s Schema) -> Asked<'s> {
        Asked { schema, input: method.input, output: method.output, kind: method.kind }
    }

    /// A field that text can show, or fill.
    fn field(&self, message: MessageId, path: &str) -> Result<FieldPath, Mistake> {
        let ends = Ends { schema: self.schema, input: self.input, output: self.output };
        ends.text_field(message, path, &format!("field {path:?}"))
    }

    fn of_stream(&self, path: &str) -> Result<FieldPath, Mistake> {
        if !self.kind.server_streams() {
            return Err(Mistake::new("the method does not answer with a stream"));
        }
        self.field(self.output, path)
    }
}

// === impl Location ===

impl Location {
    /// Reads a template as `/v1/{name}`; `field` looks a name up.
    fn parse(text: &str, field: impl Fn(&str) -> Result<FieldPath, Mistake>) -> Result<Location, Mistake> {
        let mut parts = Vec::new();
        let literal = |text: &str| match text {
            "" => Ok(None),
            text if text.contains('}') => {
                Err(Mistake::new(format!("{text:?} has a closing brace without an opening one")))
            }
            text if !text.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Err(Mistake::new(format!("{text:?} has characters that a URL has not: percent-encode them")))
            }
            text => Ok(Some(LocationPart::Text(text.into()))),
        };
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            parts.extend(literal(before)?);
            let (name, behind) = after
                .split_once('}')
                .ok_or_else(|| Mistake::new(format!("{text:?} has a brace that is not closed")))?;
            parts.push(LocationPart::Field(field(name)?));
            rest = behind;
        }
        parts.extend(literal(rest)?);
        Ok(Location(parts.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{PartialSettings, Place, Source, load};

    const PROTO: &str = r#"
        syntax = "proto3";
        package p;
        import "google/api/annotations.proto";
        message Thing { string name = 1; Thing inner = 2; repeated string tags = 3; Thing other = 4; int64 number = 5; }
        message Ask { string after = 1; string fields = 2; }
        message Other {}
        service S {
          rpc Get(Ask) returns (Thing) { option (google.api.http) = { get: "/v1/{after}" }; }
          rpc Make(Ask) returns (Thing) { option (google.api.http) = { post: "/v1" body: "*" }; }
          rpc Watch(Ask) returns (stream Thing);
          rpc Chat(stream Ask) returns (stream Thing);
          rpc Drop(Other) returns (Other);
        }
    "#;

    fn rule(pattern: &str, line: u32, say: impl FnOnce(&mut PartialSettings)) -> SettingRule {
        let mut settings = PartialSettings::default();
        say(&mut settings);
        SettingRule { pattern: pattern.into(), settings, place: Some(Place::new("c.yaml", line, 3)) }
    }

    fn loaded(rules: &[SettingRule]) -> Result<Catalog, Vec<Mistake>> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("p.proto"), PROTO).unwrap();
        let mut source = Source::new("p", "c");
        source.proto_paths = vec![folder.path().into()];
        source.settings = rules.to_vec();
        let catalog = load(&source)?.catalog;
        let mistakes = check_fields(rules, std::iter::once(&catalog));
        if mistakes.is_empty() { Ok(catalog) } else { Err(mistakes) }
    }

    fn plan<'c>(catalog: &'c Catalog, name: &str) -> Option<&'c AnswerPlan> {
        catalog.methods.iter().find(|method| &*method.name == name).unwrap().answers.as_deref()
    }

    fn told(rules: &[SettingRule]) -> Vec<String> {
        loaded(rules).unwrap_err().iter().map(Mistake::to_string).collect()
    }

    fn id(path: &str) -> impl FnOnce(&mut PartialSettings) {
        move |said| said.sse.id_field = Some(Some(path.into()))
    }

    #[test]
    fn a_pattern_of_many_holds_where_it_can() {
        let rules = [
            rule("*", 1, |said| {
                said.rest.location = Some(Some("/v1/{inner.name}".into()));
                said.sse.event_field = Some(Some("number".into()));
                said.sse.last_event_id_field = Some(Some("after".into()));
            }),
            rule("p.S/*", 2, id("name")),
            rule("p.S/Chat", 3, id("inner.number")),
        ];
        let catalog = loaded(&rules).unwrap();
        assert_eq!(
            *plan(&catalog, "Get").unwrap().location.as_ref().unwrap().0,
            [LocationPart::Text("/v1/".into()), LocationPart::Field(FieldPath(Box::new([1, 0])))]
        );
        let watch = plan(&catalog, "Watch").unwrap();
        assert_eq!((&watch.id_field, &watch.event_field), (&Some(at(0)), &Some(at(4))));
        assert_eq!((&watch.last_event_id, &watch.location), (&Some(at(0)), &None));
        let chat = plan(&catalog, "Chat").unwrap();
        assert_eq!((&chat.id_field, &chat.last_event_id), (&Some(FieldPath(Box::new([1, 4]))), &None));
        let none = plan(&catalog, "Drop").unwrap();
        assert_eq!((&none.id_field, &none.location), (&None, &None));
        assert!(plan(&loaded(&[]).unwrap(), "Get").is_none());
    }

    #[test]
    fn what_is_said_of_one_method_must_hold() {
        for (rule, why) in [
            (rule("p.S/Watch", 7, id("nmae")), "did you mean \"name\"?"),
            (rule("p.S/Watch", 7, id("inner.tags")), "is repeated"),
            (rule("p.S/Watch", 7, id("inner")), "a message (p.Thing)"),
            (rule("p.S/Watch", 7, id("name.x")), "not a message"),
            (rule("p.S/Get", 7, id("name")), "does not answer with a stream"),
            (rule("p.S/Chat", 7, |said| said.sse.last_event_id_field = Some(Some("after".into()))), "take one message"),
            (rule("p.S/Watch", 7, |said| said.rest.location = Some(Some("/{name}".into()))), "answers with a stream"),
            (rule("p.S/Get", 7, |said| said.rest.location = Some(Some("/{id}".into()))), "no field \"id\""),
        ] {
            let mistakes = told(&[rule]);
            assert!(mistakes.len() == 1 && mistakes[0].starts_with("c.yaml:7:3: "), "{mistakes:?}");
            assert!(mistakes[0].contains(why), "{mistakes:?}");
        }
    }

    #[test]
    fn what_no_method_can_follow_is_a_mistake_of_the_pattern() {
        let mistakes = told(&[rule("p.S/*", 4, id("nmae"))]);
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        for part in
            ["c.yaml:4:3: no method that \"p.S/*\" matches can follow it; sse.id_field: p.S/", "did you mean \"name\"?"]
        {
            assert!(mistakes[0].contains(part), "{mistakes:?}");
        }
    }

    #[test]
    fn a_parameter_must_not_hide_a_field() {
        let hides = |pattern: &str| rule(pattern, 9, |said| said.rest.fields_parameter = Some(Some("fields".into())));
        let mistakes = told(&[hides("*")]);
        assert_eq!(mistakes.len(), 1, "only by GET does the query fill it: {mistakes:?}");
        assert!(mistakes[0].contains("c.yaml:9:3") && mistakes[0].contains("GET /v1/{after}"), "{mistakes:?}");
        assert!(loaded(&[hides("p.S/Make"), hides("p.S/Watch")]).is_ok());
        let other = rule("p.S/Get", 9, |said| said.rest.fields_parameter = Some(Some("$fields".into())));
        assert!(loaded(&[hides("*"), other]).is_ok());
    }

    fn at(index: u16) -> FieldPath {
        FieldPath(Box::new([index]))
    }

    #[test]
    fn a_location_has_text_and_fields() {
        let field = |name: &str| match name {
            "name" => Ok(at(0)),
            other => Err(Mistake::new(format!("no {other:?}"))),
        };
        let parsed = Location::parse("/v1/{name}:x", field).unwrap();
        let parts = [LocationPart::Text("/v1/".into()), LocationPart::Field(at(0)), LocationPart::Text(":x".into())];
        assert_eq!(*parsed.0, parts);
        assert_eq!(
            *Location::parse("{name}{name}", field).unwrap().0,
            [LocationPart::Field(at(0)), LocationPart::Field(at(0))]
        );
        for (bad, why) in [
            ("/v1/{nmae}", "no \"nmae\""),
            ("/v1/{name", "not closed"),
            ("/v1/name}", "without an opening"),
            ("/v1/{name}/ä", "percent-encode"),
            ("/v1/{name} x", "percent-encode"),
            ("{}", "no \"\""),
        ] {
            let mistake = Location::parse(bad, field).unwrap_err();
            assert!(mistake.text.contains(why), "{bad}: {}", mistake.text);
        }
    }
}
