//! An explanation for people.

use std::fmt::Write;

use super::{Explanation, Fill, Told, UpstreamLine};

/// What values stand behind.
const WIDTH: usize = 12;

// === impl Explanation ===

impl Explanation {
    /// The explanation as lines of text; words of the request are shown as they are.
    pub fn to_text(&self) -> String {
        let mut out = format!("{}\n\n", self.request);
        match (&self.rule, &self.method) {
            (Some(rule), _) => line(&mut out, "rule", &format!("{} {}  {}", rule.verb, rule.template, rule.place)),
            (None, Some(_)) => line(&mut out, "rule", "none: the path is the method's own"),
            (None, None) => line(&mut out, "rule", "none"),
        }
        if let Some(method) = &self.method {
            line(&mut out, "method", &format!("{} ({})  {}", method.name, method.kind, method.place));
            line(&mut out, "", &format!("{} -> {}, catalog {:?}", method.request, method.response, method.catalog));
        }
        fills(&mut out, "path", &self.variables);
        fills(&mut out, "query", &self.query);
        if let Some(body) = &self.body {
            line(&mut out, "body", &format!("-> {body}"));
        }
        line(&mut out, "dialect", self.dialect);
        for (i, told) in self.routes.iter().enumerate() {
            let taken = if self.route.as_deref() == Some(&told.name) { "* " } else { "  " };
            let text = format!("{taken}{}:{} -> {}", told.name, told.asks(), told.target());
            line(&mut out, if i == 0 { "routes" } else { "" }, &text);
        }
        if !self.routes.is_empty() && self.route.is_none() {
            line(&mut out, "", "* none of them: the catalog's cluster");
        }
        for (i, (name, value)) in self.settings.iter().enumerate() {
            line(&mut out, if i == 0 { "settings" } else { "" }, &format!("{name}: {value}"));
        }
        if let Some(upstream) = &self.upstream {
            upstream.put(&mut out);
        }
        if let Some(told) = &self.told {
            told.put(&mut out);
        }
        if !self.others.is_empty() {
            out.push_str("\nother rules\n");
            for other in &self.others {
                // writing to a String cannot fail
                let _ = writeln!(
                    out,
                    "  {} {}  ({})  {}",
                    other.rule.verb, other.rule.template, other.method, other.rule.place
                );
                let _ = writeln!(out, "      {}", other.why);
            }
        }
        out
    }
}

// === impl UpstreamLine ===

impl UpstreamLine {
    fn put(&self, out: &mut String) {
        let endpoints =
            if self.to.endpoints.is_empty() { "none is known".into() } else { self.to.endpoints.join(", ") };
        out.push('\n');
        line(out, "upstream", &format!("cluster {:?}: {endpoints}", self.to.cluster));
        line(out, "", &format!("POST {}", self.path));
        for (i, (name, value)) in self.metadata.iter().enumerate() {
            line(out, if i == 0 { "metadata" } else { "" }, &format!("{name}: {value}"));
        }
        line(out, "deadline", self.deadline.as_deref().unwrap_or("none"));
        for (i, message) in self.messages.iter().enumerate() {
            line(out, if i == 0 { "message" } else { "" }, message.get());
        }
        if self.messages.is_empty() {
            line(out, "message", "none");
        }
    }
}

// === impl Told ===

impl Told {
    fn put(&self, out: &mut String) {
        out.push('\n');
        line(out, "answer", &format!("HTTP {}", self.status));
        for (name, value) in &self.headers {
            line(out, "", &format!("{name}: {value}"));
        }
        for text in self.body.lines() {
            line(out, "", text);
        }
    }
}

fn fills(out: &mut String, title: &str, fills: &[Fill]) {
    for (i, fill) in fills.iter().enumerate() {
        let to = match (&fill.field, &fill.why) {
            (Some(field), _) => field.clone(),
            (None, Some(why)) => format!("nothing: {why}"),
            (None, None) => "nothing".to_owned(),
        };
        line(out, if i == 0 { title } else { "" }, &format!("{} = {:?} -> {to}", fill.name, fill.value));
    }
}

fn line(out: &mut String, title: &str, text: &str) {
    let _ = writeln!(out, "{title:<WIDTH$}{text}");
}
