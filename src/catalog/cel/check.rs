//! Whether an expression can work at all: it parses, and calls and names nothing that does not exist. The library finds
//! such mistakes only when a message makes it come by.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cel::Program;
use cel::common::ast::{EntryExpr, Expr, IdedEntryExpr, IdedExpr};
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};

/// Why an expression cannot work.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault(pub String);

/// What `this` is, as far as fields can be told from no fields.
#[derive(Clone, Debug)]
pub(super) enum This {
    Message(MessageDescriptor),
    List(Box<This>),
    /// Keys and values.
    Map(Box<This>, Box<This>),
    /// A number, a string, ...: something without fields.
    Scalar,
    /// As that, and a number, a truth value or an enum: no text.
    Number,
    /// A well-known type, or the result of something that is not followed here.
    Unknown,
    /// As that, in a predefined rule: `rule` and `rules` can be named.
    Predefined,
}

/// The variables that an expression sees, innermost last.
type Scope<'e> = Vec<(&'e str, This)>;

/// What can be called: the functions of the `cel` crate 0.13 (`Context::default`), those that prost-protovalidate 0.6 adds,
/// and `dyn`, which is taken out before. Operators and what macros become are no names.
const FUNCTIONS: &[&str] = &[
    "bytes",
    "contains",
    "double",
    "duration",
    "dyn",
    "endsWith",
    "format",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getField",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "hasValue",
    "int",
    "isEmail",
    "isHostAndPort",
    "isHostname",
    "isInf",
    "isIp",
    "isIpPrefix",
    "isNan",
    "isUri",
    "isUriRef",
    "matches",
    "max",
    "min",
    "or",
    "orValue",
    "size",
    "startsWith",
    "string",
    "timestamp",
    "uint",
    "unique",
    "value",
];

/// Functions of text.
const OF_TEXT: &[&str] = &["contains", "endsWith", "matches", "startsWith"];

/// Functions that are called with a name in front.
const QUALIFIED: &[(&str, &str)] = &[("optional", "none"), ("optional", "of"), ("optional", "ofNonZeroValue")];

/// The first thing that is wrong with an expression.
pub(super) fn fault(expression: &str, this: &This) -> Option<Fault> {
    if expression.trim().is_empty() {
        return Some(Fault("the rule has no expression".into()));
    }
    // a panic of the parser is a mistake in the file, not the end of the process
    let program = match catch_unwind(AssertUnwindSafe(|| Program::compile(expression))) {
        Ok(Ok(program)) => program,
        Ok(Err(errors)) => {
            let error = errors.errors.first();
            let (line, column) = error.map_or((0, 0), |error| error.pos);
            let text = error.map_or("the parser refuses it", |error| error.msg.trim());
            return Some(Fault(format!("{text}, in line {line}, column {column} of the expression")));
        }
        Err(_) => return Some(Fault("the parser fails over it".into())),
    };
    let mut scope: Scope<'_> = vec![("this", this.clone()), ("now", This::Scalar)];
    if matches!(this, This::Predefined) {
        scope.extend([("rule", This::Unknown), ("rules", This::Unknown)]);
    }
    type_of(program.expression(), &mut scope).err()
}

/// What an expression results in; an error if it cannot.
fn type_of<'e>(expression: &'e IdedExpr, scope: &mut Scope<'e>) -> Result<This, Fault> {
    match &expression.expr {
        Expr::Ident(name) => {
            let known = scope.iter().rev().find(|(known, _)| known == name);
            known.map(|(_, what)| what.clone()).ok_or_else(|| Fault(format!("there is no variable {name:?}")))
        }
        Expr::Literal(_) => Ok(This::Scalar),
        Expr::Select(select) => {
            let operand = type_of(&select.operand, scope)?;
            operand.field(&select.field)
        }
        Expr::Call(call) => {
            let qualifies = |target: &IdedExpr| match &target.expr {
                Expr::Ident(name) => QUALIFIED.contains(&(name.as_str(), call.func_name.as_str())),
                _ => false,
            };
            let mut results = Vec::with_capacity(call.args.len());
            let qualified = call.target.as_ref().is_some_and(|target| qualifies(target));
            if let Some(target) = call.target.as_ref().filter(|_| !qualified)
                && matches!(type_of(target, scope)?, This::Number)
                && OF_TEXT.contains(&call.func_name.as_str())
            {
                return Err(Fault(format!("{:?} is asked of a value that is no text", call.func_name)));
            }
            for arg in &call.args {
                results.push(type_of(arg, scope)?);
            }
            let is_name = call.func_name.starts_with(|c: char| c.is_ascii_alphabetic());
            if is_name && !qualified && !FUNCTIONS.contains(&call.func_name.as_str()) {
                return Err(Fault(format!("there is no function {:?}", call.func_name)));
            }
            Ok(if call.func_name == "_[_]" {
                results.first().map_or(This::Unknown, This::element)
            } else {
                This::Unknown
            })
        }
        Expr::List(list) => {
            list.elements.iter().try_for_each(|element| type_of(element, scope).map(drop))?;
            Ok(This::Unknown)
        }
        Expr::Map(map) => {
            map.entries.iter().try_for_each(|entry| entry_type(entry, scope))?;
            Ok(This::Unknown)
        }
        Expr::Comprehension(each) => {
            let range = type_of(&each.iter_range, scope)?;
            type_of(&each.accu_init, scope)?;
            let outside = scope.len();
            scope.push((&each.accu_var, This::Unknown));
            scope.push((&each.iter_var, range.item()));
            scope.extend(each.iter_var2.iter().map(|name| (name.as_str(), This::Unknown)));
            let inside = [&each.loop_cond, &each.loop_step, &each.result];
            let checked = inside.into_iter().try_for_each(|part| type_of(part, scope).map(drop));
            scope.truncate(outside);
            checked.map(|()| This::Unknown)
        }
        // the cel crate has none, and panics
        Expr::Struct(message) => Err(Fault(format!("a {} cannot be made in an expression", message.type_name))),
        Expr::Unspecified => Err(Fault("a part of the expression is empty".into())),
    }
}

fn entry_type<'e>(entry: &'e IdedEntryExpr, scope: &mut Scope<'e>) -> Result<(), Fault> {
    match &entry.expr {
        EntryExpr::MapEntry(entry) => {
            type_of(&entry.key, scope)?;
            type_of(&entry.value, scope).map(drop)
        }
        EntryExpr::StructField(field) => type_of(&field.value, scope).map(drop),
    }
}

// === impl This ===

impl This {
    pub fn of_message(pool: &DescriptorPool, name: &str) -> This {
        pool.get_message_by_name(name).map_or(This::Unknown, |message| This::one(&Kind::Message(message)))
    }

    /// The value of a field with this number of the message with this name.
    pub fn of_field(pool: &DescriptorPool, message: &str, number: u64) -> This {
        let number = u32::try_from(number).unwrap_or_default();
        let field = pool.get_message_by_name(message).and_then(|message| message.get_field(number));
        field.as_ref().map_or(This::Unknown, This::of)
    }

    /// What the rules of a list's items, of a map's keys or values are about.
    pub fn inner(&self, keys: bool) -> This {
        match self {
            This::List(item) => (**item).clone(),
            This::Map(key, _) if keys => (**key).clone(),
            This::Map(_, value) => (**value).clone(),
            _ => This::Unknown,
        }
    }

    fn of(field: &FieldDescriptor) -> This {
        let kind = field.kind();
        if let (true, Some(entry)) = (field.is_map(), kind.as_message()) {
            let part = |field: FieldDescriptor| Box::new(This::one(&field.kind()));
            return This::Map(part(entry.map_entry_key_field()), part(entry.map_entry_value_field()));
        }
        if field.is_list() { This::List(Box::new(This::one(&kind))) } else { This::one(&kind) }
    }

    fn one(kind: &Kind) -> This {
        match kind {
            Kind::Message(message) if message.full_name().starts_with("google.protobuf.") => This::Unknown,
            Kind::Message(message) => This::Message(message.clone()),
            Kind::String | Kind::Bytes => This::Scalar,
            _ => This::Number,
        }
    }

    fn field(&self, name: &str) -> Result<This, Fault> {
        match self {
            This::Message(message) => match message.get_field_by_name(name) {
                Some(field) => Ok(This::of(&field)),
                None => Err(Fault(format!("message {} has no field {name:?}", message.full_name()))),
            },
            This::Map(_, value) => Ok((**value).clone()),
            This::Scalar | This::Number | This::List(_) => Err(Fault(format!("{name:?} is asked of a value that has no fields"))),
            This::Unknown | This::Predefined => Ok(This::Unknown),
        }
    }

    /// What `value[index]` is.
    fn element(&self) -> This {
        self.inner(false)
    }

    /// What a comprehension goes over: of maps the keys.
    fn item(&self) -> This {
        self.inner(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str) -> Option<String> {
        let pool = DescriptorPool::global();
        // FileDescriptorProto has lists of messages and a message, all of protobuf's own names
        let this = pool.get_message_by_name("google.protobuf.FileDescriptorProto").unwrap();
        fault(expression, &This::Message(this)).map(|Fault(text)| text)
    }

    #[test]
    fn what_works_is_left_alone() {
        for good in [
            "this.name == '' || this.name.startsWith('a')",
            "has(this.options) && this.message_type.all(m, m.name.size() > 1)",
            "this.dependency.exists(d, d.matches('^a')) ? '' : 'none %s'.format([this.name])",
            "now - timestamp('2024-01-01T00:00:00Z') > duration('1s')",
            "this.dependency.map(d, d + d).unique() && {'a': this.name}.a == 'x' && this.dependency[0] in ['x']",
            "this.dependency.filter(d, d != '').size() == 1 // a comment",
            "optional.of(this.name).hasValue()",
        ] {
            assert_eq!(check(good), None, "{good}");
        }
    }

    #[test]
    fn what_cannot_work_is_told() {
        for (bad, told) in [
            ("", "no expression"),
            ("this.name ==", "line 1"),
            ("this.nam == ''", "has no field \"nam\""),
            ("has(this.nam)", "has no field \"nam\""),
            ("this.name.first == ''", "no fields"),
            ("this.public_dependency.all(d, d.startsWith('a'))", "is no text"),
            ("that.name == ''", "no variable \"that\""),
            ("rule == 1", "no variable \"rule\""),
            ("size(this.name) > len(this.name)", "no function \"len\""),
            ("this.dependency.all(d, e > 1)", "no variable \"e\""),
            ("google.protobuf.Duration{seconds: 1} == this.name", "cannot be made"),
            ("this.dependency.all(d, d.x)", "no fields"),
        ] {
            let fault = check(bad).unwrap_or_default();
            assert!(fault.contains(told), "{bad}: {fault}");
        }
    }

    #[test]
    fn predefined_rules_see_the_rule() {
        assert_eq!(fault("this > rule && this < rules.gt", &This::Predefined), None);
        assert!(fault("rul", &This::Predefined).is_some());
    }
}
