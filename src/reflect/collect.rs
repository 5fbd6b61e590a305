//! Which questions are asked: for the services, for the file of each service that is wanted, and for what those files
//! import, until nothing is missing.
//!
//! Servers differ. Some send all that a file imports with it, some the file alone; some know a file under another name than
//! its importers do; some have never heard of files that only options need. Extensions are not asked for: options arrive as
//! they are encoded, and the files that declare `google.api.http` or `buf.validate` are imported by those that use them.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::descriptor::Head;
use super::message::{Answer, Question, shown};
use super::services::Services;
use super::set::Set;
use super::stream::{MAX_KEPT, Talk, Trouble, Version};
use crate::catalog::{is_at_hand, is_protobufs_own};
use crate::status::Code;
use crate::upstream::{Cluster, Pool};
use crate::wire::Malformed;

/// What one endpoint has.
#[derive(Debug)]
pub(super) struct Collected {
    pub version: Version,
    pub set: Set,
    /// What deserves a word.
    pub remarks: Vec<String>,
}

/// Why one endpoint told nothing that could be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub text: String,
    pub hint: Option<String>,
    /// Whether it may be over soon.
    pub may_pass: bool,
}

/// Questions on their way. Answers come in order; more at a time would only make more answers that repeat one another.
const WINDOW: usize = 8;
/// Files of one server.
const MAX_FILES: usize = 20_000;

struct Collector<'c> {
    talk: Talk,
    services: &'c Services,
    files: BTreeMap<String, Bytes>,
    kept: usize,
    /// Services of which the file is there.
    owned: HashSet<String>,
    imports: BTreeSet<String>,
    /// What files are called by those that import them, where they have another name.
    aliases: BTreeMap<String, String>,
    /// Imports that the server does not have, and what it said.
    missing: BTreeMap<String, String>,
    wanted: BTreeSet<String>,
}

/// Asks one endpoint for all that it has. `cluster` has this endpoint alone; the deadline is `timeout` from some moment on.
pub(super) async fn collect(
    pool: &Pool,
    cluster: &Arc<Cluster>,
    services: &Services,
    deadline: Instant,
    timeout: Duration,
) -> Result<Collected, Failure> {
    for version in Version::ALL {
        let began = Talk::begin(pool, cluster, version, deadline, timeout).await;
        let mut talk = began.map_err(|trouble| Failure::of(&Question::Services, &trouble))?;
        talk.say(&Question::Services).await.map_err(|trouble| Failure::of(&Question::Services, &trouble))?;
        match talk.hear().await {
            Ok(Answer::Services(listed)) => {
                let collector = Collector::new(talk, services);
                return collector.run(listed).await.map(|(set, remarks)| Collected { version, set, remarks });
            }
            Ok(Answer::Error { code, message }) => {
                return Err(Failure::of(&Question::Services, &Trouble::Status { code, message }));
            }
            Ok(_) => return Err(Failure::new("asked for its services: it answers something else")),
            Err(trouble) if trouble.is_unimplemented() => {}
            Err(trouble) => return Err(Failure::of(&Question::Services, &trouble)),
        }
    }
    Err(Failure::new("it serves no reflection, neither grpc.reflection.v1 nor v1alpha").hint(
        "register the reflection service with the server, or give its files by `proto_paths` or `descriptor_sets`",
    ))
}

// === impl Failure ===

impl Failure {
    pub(super) fn new(text: impl Into<String>) -> Failure {
        Failure { text: text.into(), hint: None, may_pass: false }
    }

    fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    fn of(question: &Question, trouble: &Trouble) -> Failure {
        let text = match trouble {
            Trouble::Unreachable(_) => trouble.to_string(),
            _ => format!("asked {question}: {trouble}"),
        };
        let failure = Failure { may_pass: trouble.may_pass(), ..Failure::new(text) };
        match trouble {
            Trouble::Unreachable(_) => failure.hint("a pin does without the upstream: `reflect: {pin: FILE}`"),
            Trouble::Status { code: Code::Unauthenticated | Code::PermissionDenied, .. } => {
                failure.hint("the server has to let the edge ask; or pin its descriptors to a file: `pin: FILE`")
            }
            _ => failure,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

// === impl Collector ===

impl<'c> Collector<'c> {
    fn new(talk: Talk, services: &'c Services) -> Collector<'c> {
        Collector {
            talk,
            services,
            files: BTreeMap::new(),
            kept: 0,
            owned: HashSet::new(),
            imports: BTreeSet::new(),
            aliases: BTreeMap::new(),
            missing: BTreeMap::new(),
            wanted: BTreeSet::new(),
        }
    }

    async fn run(mut self, listed: Vec<String>) -> Result<(Set, Vec<String>), Failure> {
        self.wanted = listed.iter().filter(|service| self.services.takes(service)).cloned().collect();
        if self.wanted.is_empty() {
            let all =
                if listed.is_empty() { "it lists none".to_owned() } else { format!("it lists {}", some(&listed)) };
            return Err(Failure::new(format!("it has no service that is wanted: {all}"))
                .hint("`services` says which are; health and reflection count only where they are named in full"));
        }
        let mut queue: VecDeque<Question> = self.wanted.iter().cloned().map(Question::Symbol).collect();
        let mut asked: VecDeque<Question> = VecDeque::new();
        loop {
            while asked.len() < WINDOW
                && let Some(question) = queue.pop_front()
            {
                if !self.is_settled(&question) {
                    self.talk.say(&question).await.map_err(|trouble| Failure::of(&question, &trouble))?;
                    asked.push_back(question);
                }
            }
            let Some(question) = asked.pop_front() else { break };
            let answer = self.talk.hear().await.map_err(|trouble| Failure::of(&question, &trouble))?;
            self.take(&question, answer, &mut queue)?;
        }
        self.finish(&listed)
    }

    /// Whether an answer to another question has answered this one.
    fn is_settled(&self, question: &Question) -> bool {
        match question {
            Question::Services => true,
            Question::Symbol(service) => self.owned.contains(service),
            Question::File(name) => self.files.contains_key(name),
        }
    }

    fn take(&mut self, question: &Question, answer: Answer, queue: &mut VecDeque<Question>) -> Result<(), Failure> {
        match (question, answer) {
            (_, Answer::Files(files)) if !files.is_empty() => {
                let first = self.take_files(question, files, queue)?;
                match question {
                    Question::File(name) if !self.files.contains_key(name) => {
                        self.aliases.insert(name.clone(), first);
                    }
                    Question::Symbol(service) if !self.owned.contains(service) => {
                        let text =
                            format!("asked {question}: it answers with files of which none declares the service");
                        return Err(Failure::new(text).hint(without(service)));
                    }
                    _ => {}
                }
            }
            // whatever the code: servers say NOT_FOUND, UNKNOWN or INVALID_ARGUMENT of a file that they do not have
            (Question::File(name), Answer::Error { code, message }) => {
                self.missing.insert(name.clone(), said(code, &message));
            }
            (Question::File(name), Answer::Files(_)) => {
                self.missing.insert(name.clone(), "it answers with no file".to_owned());
            }
            (Question::Symbol(service), Answer::Error { code, message }) => {
                let text = format!("asked {question}, which it lists: {}", said(code, &message));
                return Err(Failure::new(text).hint(without(service)));
            }
            (question, _) => return Err(Failure::new(format!("asked {question}: it answers something else"))),
        }
        Ok(())
    }

    /// Keeps files, and asks for what they import. The name of the first one is the answer to the question.
    fn take_files(
        &mut self,
        question: &Question,
        files: Vec<Bytes>,
        queue: &mut VecDeque<Question>,
    ) -> Result<String, Failure> {
        let mut first = None;
        for file in files {
            let head = Head::read(&file).map_err(|Malformed(why)| {
                Failure::new(format!("asked {question}: the answer holds what is no file descriptor: {why}"))
            })?;
            first.get_or_insert_with(|| head.name.clone());
            // the copy in this program stands in for these, as it does in descriptor sets
            if !is_protobufs_own(&head.name) {
                self.take_file(head, file, queue)?;
            }
        }
        Ok(first.unwrap_or_default())
    }

    fn take_file(&mut self, head: Head, file: Bytes, queue: &mut VecDeque<Question>) -> Result<(), Failure> {
        if let Some(known) = self.files.get(&head.name) {
            return match *known == file {
                true => Ok(()),
                false => Err(Failure::new(format!("it has two different files named \"{}\"", shown(&head.name)))),
            };
        }
        self.kept = self.kept.saturating_add(file.len());
        if self.kept > MAX_KEPT || self.files.len() >= MAX_FILES {
            let text = format!("it has more than {MAX_KEPT} bytes or {MAX_FILES} files of descriptors");
            return Err(Failure::new(text).hint("take fewer services by `services`"));
        }
        self.owned.extend(head.services);
        for import in head.imports {
            if !is_protobufs_own(&import) && self.imports.insert(import.clone()) {
                queue.push_back(Question::File(import));
            }
        }
        self.files.insert(head.name, file);
        Ok(())
    }

    /// Settles what every import means, and makes the set.
    fn finish(mut self, listed: &[String]) -> Result<(Set, Vec<String>), Failure> {
        let mut remarks = Vec::new();
        let mut dropped = BTreeSet::new();
        for (name, why) in &self.missing {
            if is_at_hand(name) {
                continue;
            }
            match self.only_namesake(name) {
                Some(other) => drop(self.aliases.insert(name.clone(), other)),
                None => {
                    // if a type of it is needed, the catalog does not load and says which
                    remarks.push(format!("it does not have the file \"{}\", which others import: {why}", shown(name)));
                    dropped.insert(name.clone());
                }
            }
        }
        for pattern in self.services.idle(listed) {
            remarks.push(format!("no service of it fits the pattern {pattern:?}"));
        }
        let import = |name: &str| match self.aliases.get(name) {
            Some(other) => Some(other.clone()),
            None => Some(name.to_owned()).filter(|name| !dropped.contains(name)),
        };
        let set = Set::build(&self.files, &import, &|service| self.wanted.contains(service)).map_err(Failure::new)?;
        Ok((set, remarks))
    }

    /// The one file whose path ends as this one does: registered under `order.proto`, imported as `shop/order.proto`.
    fn only_namesake(&self, name: &str) -> Option<String> {
        let is_tail = |long: &str, short: &str| long.strip_suffix(short).is_some_and(|rest| rest.ends_with('/'));
        let mut alike = self.files.keys().filter(|known| is_tail(known, name) || is_tail(name, known));
        alike.next().filter(|_| alike.next().is_none()).cloned()
    }
}

fn without(service: &str) -> String {
    format!("to do without it: services: [\"!{service}\"]")
}

fn said(code: Code, message: &str) -> String {
    if message.is_empty() { code.name().to_owned() } else { format!("{}: {message}", code.name()) }
}

/// The first few names.
fn some(names: &[String]) -> String {
    const FEW: usize = 5;
    let first: Vec<&str> = names.iter().take(FEW).map(String::as_str).collect();
    let more = names.len().saturating_sub(FEW);
    if more > 0 { format!("{} and {more} more", first.join(", ")) } else { first.join(", ") }
}
