//! `grpc.reflection.v1.ServerReflection` and `v1alpha`: what the server has, for grpcurl and for edges.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;

use bytes::Bytes;
use prost::Message as _;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto};

use super::call::{Call, Outcome};
use super::messages::reflection::{
    Answer, ErrorResponse, ExtensionNumbers, FileDescriptors, Question, Request, Response, Service, Services,
};
use crate::catalog::{descriptors_at_hand, is_at_hand};
use crate::demo::PROTOS;
use crate::status::Code;

/// The services of this server, by the files that declare them.
static FILES: LazyLock<Files> = LazyLock::new(Files::build);

const V1: &str = "grpc/reflection/v1/reflection.proto";
const V1ALPHA: &str = "grpc/reflection/v1alpha/reflection.proto";

#[derive(Default)]
struct Files {
    by_name: HashMap<String, File>,
    /// The file of each service, method, message, enum, field, value and extension.
    by_symbol: HashMap<String, String>,
    /// By the extended type and number.
    by_extension: BTreeMap<(String, i32), String>,
    services: Vec<String>,
}

struct File {
    bytes: Bytes,
    imports: Vec<String>,
}

/// `ServerReflectionInfo`. A file comes with all that it imports, and once in a stream unless it is asked for again.
pub(super) async fn info(call: &mut Call) -> Outcome {
    call.open()?;
    let mut sent = BTreeSet::new();
    while let Some(request) = call.receive::<Request>().await? {
        let answer = FILES.answer(request.question.as_ref(), &mut sent);
        let response = Response { host: request.host.clone(), request: Some(request), answer: Some(answer) };
        call.send(&response).await?;
    }
    Ok(())
}

// === impl Files ===

impl Files {
    fn build() -> Files {
        let mut wanted: Vec<&str> = PROTOS.iter().map(|(name, _)| *name).collect();
        wanted.extend([V1, V1ALPHA]);
        // a test proves that they compile; without it the server has no services to tell of
        let compiled = descriptors_at_hand(&wanted, &PROTOS).unwrap_or_default();
        let mut files = Files::default();
        for (name, bytes) in compiled {
            if let Ok(file) = FileDescriptorProto::decode(bytes.clone()) {
                files.note(&file);
                let is_reflection = [V1, V1ALPHA].contains(&&*name);
                if is_reflection || !is_at_hand(&name) {
                    files.services.extend(file.service.iter().map(|service| below(file.package(), service.name())));
                }
                files.by_name.insert(name.into(), File { bytes, imports: file.dependency });
            }
        }
        files.services.sort();
        files
    }

    fn note(&mut self, file: &FileDescriptorProto) {
        let package = file.package();
        file.message_type.iter().for_each(|message| self.note_message(file.name(), package, message));
        file.enum_type.iter().for_each(|declared| self.note_enum(file.name(), package, declared));
        for service in &file.service {
            let name = below(package, service.name());
            for method in &service.method {
                self.by_symbol.insert(below(&name, method.name()), file.name().to_owned());
            }
            self.by_symbol.insert(name, file.name().to_owned());
        }
        for extension in &file.extension {
            let extended = extension.extendee().trim_start_matches('.').to_owned();
            self.by_extension.insert((extended, extension.number()), file.name().to_owned());
            self.by_symbol.insert(below(package, extension.name()), file.name().to_owned());
        }
    }

    fn note_message(&mut self, file: &str, above: &str, message: &DescriptorProto) {
        let name = below(above, message.name());
        for field in &message.field {
            self.by_symbol.insert(below(&name, field.name()), file.to_owned());
        }
        message.nested_type.iter().for_each(|nested| self.note_message(file, &name, nested));
        message.enum_type.iter().for_each(|nested| self.note_enum(file, &name, nested));
        self.by_symbol.insert(name, file.to_owned());
    }

    fn note_enum(&mut self, file: &str, above: &str, declared: &EnumDescriptorProto) {
        for value in &declared.value {
            self.by_symbol.insert(below(above, value.name()), file.to_owned());
        }
        self.by_symbol.insert(below(above, declared.name()), file.to_owned());
    }

    fn answer(&self, question: Option<&Question>, sent: &mut BTreeSet<String>) -> Answer {
        let found = match question {
            Some(Question::ListServices(_)) => {
                let service = self.services.iter().map(|name| Service { name: name.clone() }).collect();
                return Answer::Services(Services { service });
            }
            Some(Question::AllExtensionNumbersOfType(name)) => return self.extension_numbers(name),
            Some(Question::FileByFilename(name)) => self.files_of(name, sent),
            Some(Question::FileContainingSymbol(symbol)) => {
                self.by_symbol.get(symbol).and_then(|name| self.files_of(name, sent))
            }
            Some(Question::FileContainingExtension(extension)) => {
                let key = (extension.containing_type.clone(), extension.extension_number);
                self.by_extension.get(&key).and_then(|name| self.files_of(name, sent))
            }
            None => return error(Code::InvalidArgument, "the request asks for nothing"),
        };
        found.map_or_else(|| error(Code::NotFound, "there is no such file or symbol"), Answer::Files)
    }

    /// The file, and what it imports as far as that was not sent.
    fn files_of(&self, name: &str, sent: &mut BTreeSet<String>) -> Option<FileDescriptors> {
        let first = self.by_name.get(name)?;
        sent.insert(name.to_owned());
        let mut found = vec![first.bytes.clone()];
        let mut queue: Vec<&String> = first.imports.iter().collect();
        while let Some(name) = queue.pop() {
            if let Some(file) = self.by_name.get(name).filter(|_| sent.insert(name.clone())) {
                found.push(file.bytes.clone());
                queue.extend(&file.imports);
            }
        }
        Some(FileDescriptors { file_descriptor_proto: found })
    }

    fn extension_numbers(&self, extended: &str) -> Answer {
        if !self.by_symbol.contains_key(extended) {
            return error(Code::NotFound, "there is no such type");
        }
        let numbers = self.by_extension.keys().filter(|(name, _)| name == extended).map(|(_, number)| *number);
        Answer::Extensions(ExtensionNumbers {
            base_type_name: extended.to_owned(),
            extension_number: numbers.collect(),
        })
    }
}

fn error(code: Code, message: &str) -> Answer {
    Answer::Error(ErrorResponse { error_code: code.number().into(), error_message: message.to_owned() })
}

fn below(above: &str, name: &str) -> String {
    if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_is_listed_and_comes_with_all_that_it_imports() {
        let mut sent = BTreeSet::new();
        let services = match FILES.answer(Some(&Question::ListServices(String::new())), &mut sent) {
            Answer::Services(services) => services.service,
            other => panic!("{other:?}"),
        };
        assert_eq!(services.len(), 7, "{services:?}");
        for service in &services {
            let answer = FILES.answer(Some(&Question::FileContainingSymbol(service.name.clone())), &mut sent);
            assert!(matches!(answer, Answer::Files(_)), "{service:?}: {answer:?}");
        }
        assert!(sent.contains("google/api/http.proto") && sent.contains("google/protobuf/descriptor.proto"));
        let rule = crate::demo::upstream::messages::reflection::Extension {
            containing_type: "google.protobuf.MethodOptions".into(),
            extension_number: 72_295_728,
        };
        let answer = FILES.answer(Some(&Question::FileContainingExtension(rule)), &mut sent);
        assert!(matches!(answer, Answer::Files(files) if files.file_descriptor_proto.len() == 1));
        let unknown = FILES.answer(Some(&Question::FileByFilename("no.proto".into())), &mut sent);
        assert!(matches!(unknown, Answer::Error(error) if error.error_code == 5));
    }
}
