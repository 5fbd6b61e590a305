//! Whether an expression can work at all: it parses, and calls and names nothing that does not exist. The library finds
//! such mistakes only when a message makes it come by.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use cel::Program;
use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedEntryExpr, IdedExpr, LiteralValue};
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
    /// Something without fields.
    Scalar(Sort),
    /// A well-known type, or the result of something that is not followed here.
    Unknown,
    /// As that, in a predefined rule: `rule` and `rules` can be named.
    Predefined,
}

/// Values of different sorts are never compared, nor added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Bool,
    Number,
    String,
    Bytes,
    Time,
}

/// What an expression can do, and what it may cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sound {
    /// It copies a list for each element of a list: the library builds the result of `map` and `filter` so, and fetches
    /// `this.list` so wherever it is named.
    pub steep: bool,
}

/// Where in an expression one is.
struct Scope<'e> {
    /// The variables that can be named, innermost last.
    variables: Vec<(&'e str, This)>,
    /// How many comprehensions one is in.
    depth: usize,
    sound: Sound,
}

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

/// Functions that are called with a name in front.
const QUALIFIED: &[(&str, &str)] = &[("optional", "none"), ("optional", "of"), ("optional", "ofNonZeroValue")];

/// Those of them that strings alone have, or bytes.
const OF_TEXT: &[&str] = &[
    "endsWith",
    "isEmail",
    "isHostAndPort",
    "isHostname",
    "isIp",
    "isIpPrefix",
    "isUri",
    "isUriRef",
    "matches",
    "startsWith",
];

/// Looks at an expression; an error is the first thing that is wrong with it.
pub(super) fn look(expression: &str, this: &This) -> Result<Sound, Fault> {
    if expression.trim().is_empty() {
        return Err(Fault("the rule has no expression".into()));
    }
    // a panic of the parser is a mistake in the file, not the end of the process
    let program = match catch_unwind(AssertUnwindSafe(|| Program::compile(expression))) {
        Ok(Ok(program)) => program,
        Ok(Err(errors)) => {
            let error = errors.errors.first();
            let (line, column) = error.map_or((0, 0), |error| error.pos);
            let text = error.map_or("the parser refuses it", |error| error.msg.trim());
            return Err(Fault(format!("{text}, in line {line}, column {column} of the expression")));
        }
        Err(_) => return Err(Fault("the parser fails over it".into())),
    };
    let mut variables = vec![("this", this.clone()), ("now", This::Scalar(Sort::Time))];
    if matches!(this, This::Predefined) {
        variables.extend([("rule", This::Unknown), ("rules", This::Unknown)]);
    }
    let mut scope = Scope { variables, depth: 0, sound: Sound::default() };
    type_of(program.expression(), &mut scope).map(|_| scope.sound)
}

/// What an expression results in; an error if it cannot.
fn type_of<'e>(expression: &'e IdedExpr, scope: &mut Scope<'e>) -> Result<This, Fault> {
    match &expression.expr {
        Expr::Ident(name) => {
            let known = scope.variables.iter().rev().find(|(known, _)| known == name);
            let what = known.map(|(_, what)| what.clone());
            let what = what.ok_or_else(|| Fault(format!("there is no variable {name:?}")))?;
            scope.sound.steep |= scope.depth > 0 && name == "this" && matches!(what, This::List(_) | This::Map(..));
            Ok(what)
        }
        Expr::Literal(literal) => Ok(literal_type(literal)),
        Expr::Select(select) => {
            let field = type_of(&select.operand, scope)?.field(&select.field)?;
            scope.sound.steep |= scope.depth > 0 && !matches!(field, This::Scalar(_)) && is_from_this(&select.operand);
            Ok(if select.test { This::Scalar(Sort::Bool) } else { field })
        }
        Expr::Call(call) => call_type(call, scope),
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
            // only `map` and `filter` gather a list
            scope.sound.steep |= matches!(each.accu_init.expr, Expr::List(_));
            let outside = scope.variables.len();
            scope.depth += 1;
            scope.variables.push((&each.accu_var, This::Unknown));
            scope.variables.push((&each.iter_var, range.item()));
            scope.variables.extend(each.iter_var2.iter().map(|name| (name.as_str(), This::Unknown)));
            let inside = [&each.loop_cond, &each.loop_step, &each.result];
            let checked = inside.into_iter().try_for_each(|part| type_of(part, scope).map(drop));
            scope.variables.truncate(outside);
            scope.depth -= 1;
            checked.map(|()| This::Unknown)
        }
        // the cel crate has none, and panics
        Expr::Struct(message) => Err(Fault(format!("a {} cannot be made in an expression", message.type_name))),
        Expr::Unspecified => Err(Fault("a part of the expression is empty".into())),
    }
}

fn call_type<'e>(call: &'e CallExpr, scope: &mut Scope<'e>) -> Result<This, Fault> {
    let name = call.func_name.as_str();
    let qualified = call.target.as_ref().is_some_and(|target| match &target.expr {
        Expr::Ident(prefix) => QUALIFIED.contains(&(prefix.as_str(), name)),
        _ => false,
    });
    if let Some(target) = call.target.as_ref().filter(|_| !qualified) {
        let target = type_of(target, scope)?;
        if OF_TEXT.contains(&name) && !target.may_be_text() {
            return Err(Fault(format!("{name:?} is asked of a value that is no string")));
        }
    }
    let args = call.args.iter().map(|arg| type_of(arg, scope)).collect::<Result<Vec<This>, Fault>>()?;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if is_name && !qualified && !FUNCTIONS.contains(&name) {
        return Err(Fault(format!("there is no function {name:?}")));
    }
    match (name, &args[..]) {
        ("_[_]", [value, _]) => Ok(value.element()),
        ("_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_" | "_+_", [This::Scalar(left), This::Scalar(right)])
            if left != right =>
        {
            Err(Fault(format!("{left} and {right} do not go together")))
        }
        _ => Ok(This::Unknown),
    }
}

fn literal_type(literal: &LiteralValue) -> This {
    This::Scalar(match literal {
        LiteralValue::Boolean(_) => Sort::Bool,
        LiteralValue::Int(_) | LiteralValue::UInt(_) | LiteralValue::Double(_) => Sort::Number,
        LiteralValue::String(_) => Sort::String,
        LiteralValue::Bytes(_) => Sort::Bytes,
        LiteralValue::Null => return This::Unknown,
    })
}

/// Whether an operand is `this`, or a field of it.
fn is_from_this(operand: &IdedExpr) -> bool {
    match &operand.expr {
        Expr::Ident(name) => name == "this",
        Expr::Select(select) => is_from_this(&select.operand),
        _ => false,
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
            Kind::Bool => This::Scalar(Sort::Bool),
            Kind::String => This::Scalar(Sort::String),
            Kind::Bytes => This::Scalar(Sort::Bytes),
            _ => This::Scalar(Sort::Number),
        }
    }

    fn field(&self, name: &str) -> Result<This, Fault> {
        match self {
            This::Message(message) => match message.get_field_by_name(name) {
                Some(field) => Ok(This::of(&field)),
                None => Err(Fault(format!("message {} has no field {name:?}", message.full_name()))),
            },
            This::Map(_, value) => Ok((**value).clone()),
            This::Scalar(_) | This::List(_) => Err(Fault(format!("{name:?} is asked of a value that has no fields"))),
            This::Unknown | This::Predefined => Ok(This::Unknown),
        }
    }

    fn may_be_text(&self) -> bool {
        matches!(self, This::Scalar(Sort::String | Sort::Bytes) | This::Unknown | This::Predefined)
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

impl fmt::Display for Sort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Sort::Bool => "a bool",
            Sort::Number => "a number",
            Sort::String => "a string",
            Sort::Bytes => "bytes",
            Sort::Time => "a time",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str) -> Option<String> {
        let pool = DescriptorPool::global();
        // FileDescriptorProto has lists of messages and a message, all of protobuf's own names
        let this = pool.get_message_by_name("google.protobuf.FileDescriptorProto").unwrap();
        look(expression, &This::Message(this)).err().map(|Fault(text)| text)
    }

    #[test]
    fn expressions_that_copy_lists_are_known() {
        let pool = DescriptorPool::global();
        let this = This::Message(pool.get_message_by_name("google.protobuf.FileDescriptorProto").unwrap());
        for (expression, steep) in [
            ("this.dependency.all(d, d != this.name)", false),
            ("this.message_type.all(m, m.field.exists(f, f.name == m.name))", false),
            ("this.dependency.size() > 1 && 'a' in this.dependency", false),
            ("this.dependency.map(d, d).size() > 1", true),
            ("this.dependency.filter(d, d != '').size() > 1", true),
            ("this.dependency.all(d, d in this.dependency)", true),
        ] {
            assert_eq!(look(expression, &this), Ok(Sound { steep }), "{expression}");
        }
        let list = This::List(Box::new(This::Scalar(Sort::Number)));
        assert_eq!(look("this.all(a, this.exists_one(b, a == b))", &list), Ok(Sound { steep: true }));
        assert_eq!(look("this.all(a, a > 1)", &list), Ok(Sound::default()));
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
            "this.name + 'x' > 'y' && dyn(this.name) != 1 && this.public_dependency[0] > 1u && this.options == null",
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
            ("that.name == ''", "no variable \"that\""),
            ("rule == 1", "no variable \"rule\""),
            ("size(this.name) > len(this.name)", "no function \"len\""),
            ("this.dependency.all(d, e > 1)", "no variable \"e\""),
            ("google.protobuf.Duration{seconds: 1} == this.name", "cannot be made"),
            ("this.dependency.all(d, d.x)", "no fields"),
            ("this.name == 1", "a string and a number do not go together"),
            ("this.dependency[0] + b'x' == b'y'", "a string and bytes"),
            ("this.public_dependency.exists(d, d > 'x')", "a number and a string"),
            ("this.public_dependency[0].startsWith('a')", "no string"),
            ("has(this.options) == 1", "a bool and a number"),
            ("now > 5", "a time and a number"),
        ] {
            let fault = check(bad).unwrap_or_default();
            assert!(fault.contains(told), "{bad}: {fault}");
        }
    }

    #[test]
    fn predefined_rules_see_the_rule() {
        assert_eq!(look("this > rule && this < rules.gt", &This::Predefined), Ok(Sound::default()));
        assert!(look("rul", &This::Predefined).is_err());
    }
}
