//! The demo's hand-written messages, held to the descriptors of `protos/*.proto`: every field of every message, with its
//! number and type.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage, Value};
use prost_types::{Duration, FieldMask, Timestamp};
use transom::demo::upstream::bookstore_v1::{
    Audiobook, Book, BookEvent, CreateBookRequest, CreateShelfRequest, DeleteBookRequest, DeleteShelfRequest, Ebook,
    Filter, Format, GetBookRequest, GetContentRequest, GetShelfRequest, Hit, HttpBody, ListBooksRequest,
    ListBooksResponse, ListShelvesRequest, ListShelvesResponse, MoveBookRequest, Price, Print, SearchBooksRequest,
    SearchBooksResponse, Shelf, UpdateBookRequest, WatchBooksRequest,
};
use transom::demo::upstream::echo_v1::{EchoRequest, EchoResponse};
use transom::demo::upstream::files_v1::{DownloadRequest, DownloadResponse, File, UploadRequest};
use transom::demo::upstream::helloworld::{HelloReply, HelloRequest};
use transom::demo::upstream::routeguide::{Feature, Point, Rectangle, RouteNote, RouteSummary};

const FILES: [&str; 5] = ["helloworld.proto", "echo.proto", "route_guide.proto", "bookstore.proto", "files.proto"];

/// Decodes messages that have all their fields by the descriptors, and notes what it has seen.
struct Examiner {
    pool: DescriptorPool,
    seen: BTreeSet<String>,
}

impl Examiner {
    fn new() -> Examiner {
        let protos = concat!(env!("CARGO_MANIFEST_DIR"), "/protos");
        let set = protox::compile(FILES, [protos]).expect("the protos compile");
        Examiner { pool: DescriptorPool::from_file_descriptor_set(set).expect("a pool"), seen: BTreeSet::new() }
    }

    fn full(&mut self, name: &str, message: &impl Message) {
        let descriptor = self.pool.get_message_by_name(name).expect(name);
        let read = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).expect(name);
        self.examine(&read);
    }

    fn examine(&mut self, message: &DynamicMessage) {
        let descriptor = message.descriptor();
        let name = descriptor.full_name().to_owned();
        assert_eq!(message.unknown_fields().count(), 0, "{name} has fields that its .proto does not know");
        for field in descriptor.fields() {
            let one_of_several = field.containing_oneof().is_some_and(|oneof| oneof.fields().len() > 1);
            let left_out = name == "google.api.HttpBody" && field.name() == "extensions";
            assert!(message.has_field(&field) || one_of_several || left_out, "{name}.{} is not there", field.name());
            match message.get_field(&field).as_ref() {
                Value::Message(inner) if message.has_field(&field) => self.examine(inner),
                Value::List(list) => list.iter().filter_map(Value::as_message).for_each(|inner| self.examine(inner)),
                _ => {}
            }
        }
        self.seen.insert(name);
    }
}

fn text() -> String {
    "text".into()
}

fn time() -> Option<Timestamp> {
    Some(Timestamp { seconds: 1, nanos: 1 })
}

fn duration() -> Option<Duration> {
    Some(Duration { seconds: 1, nanos: 1 })
}

fn mask() -> Option<FieldMask> {
    Some(FieldMask { paths: vec![text()] })
}

fn shelf() -> Shelf {
    Shelf { name: text(), theme: text(), create_time: time(), book_count: 1 }
}

fn book(format: Format) -> Book {
    Book {
        name: text(),
        title: text(),
        authors: vec![text()],
        genre: 1,
        publish_time: time(),
        reading_time: duration(),
        isbn: 1,
        rating: 1.0,
        thumbnail: vec![1],
        labels: BTreeMap::from([(text(), text())]),
        format: Some(format),
        price: Some(Price { currency_code: text(), units: 1, nanos: 1 }),
        stock: Some(1),
        subtitle: Some(text()),
        edition: Some(1),
        etag: text(),
        update_time: time(),
    }
}

fn printed() -> Book {
    book(Format::Print(Print { pages: 1, hardcover: true }))
}

fn greeter_echo_and_route_guide(examiner: &mut Examiner) {
    examiner.full("helloworld.HelloRequest", &HelloRequest { name: text() });
    examiner.full("helloworld.HelloReply", &HelloReply { message: text() });
    examiner.full("grpc.examples.echo.EchoRequest", &EchoRequest { message: text() });
    examiner.full("grpc.examples.echo.EchoResponse", &EchoResponse { message: text() });
    let location = Some(Point { latitude: 1, longitude: 1 });
    examiner.full("routeguide.Rectangle", &Rectangle { lo: location, hi: location });
    examiner.full("routeguide.Feature", &Feature { name: text(), location });
    examiner.full("routeguide.RouteNote", &RouteNote { location, message: text() });
    let summary = RouteSummary { point_count: 1, feature_count: 1, distance: 1, elapsed_time: 1 };
    examiner.full("routeguide.RouteSummary", &summary);
}

fn shelves(examiner: &mut Examiner) {
    examiner.full("bookstore.v1.ListShelvesRequest", &ListShelvesRequest { page_size: 1, page_token: text() });
    let answer = ListShelvesResponse { shelves: vec![shelf()], next_page_token: text() };
    examiner.full("bookstore.v1.ListShelvesResponse", &answer);
    examiner.full("bookstore.v1.CreateShelfRequest", &CreateShelfRequest { shelf: Some(shelf()) });
    examiner.full("bookstore.v1.GetShelfRequest", &GetShelfRequest { name: text() });
    examiner.full("bookstore.v1.DeleteShelfRequest", &DeleteShelfRequest { name: text(), force: true });
}

fn books(examiner: &mut Examiner) {
    let ebook = book(Format::Ebook(Ebook { url: text(), size_bytes: 1 }));
    let audiobook = book(Format::Audiobook(Audiobook { length: duration(), narrators: vec![text()] }));
    let books = vec![printed(), ebook, audiobook];
    let answer = ListBooksResponse { books, next_page_token: text(), total_size: 1 };
    examiner.full("bookstore.v1.ListBooksResponse", &answer);
    let filter = Filter {
        genre: 1,
        authors: vec![text()],
        min_rating: 1.0,
        published_after: time(),
        max_reading_time: duration(),
        in_stock: Some(true),
    };
    let list = ListBooksRequest {
        parent: text(),
        page_size: 1,
        page_token: text(),
        filter: Some(filter),
        order_by: text(),
        read_mask: mask(),
    };
    examiner.full("bookstore.v1.ListBooksRequest", &list);
    let create = CreateBookRequest { parent: text(), book: Some(printed()), book_id: text() };
    examiner.full("bookstore.v1.CreateBookRequest", &create);
    examiner.full("bookstore.v1.GetBookRequest", &GetBookRequest { name: text(), read_mask: mask() });
    let update = UpdateBookRequest { book: Some(printed()), update_mask: mask() };
    examiner.full("bookstore.v1.UpdateBookRequest", &update);
    examiner.full("bookstore.v1.DeleteBookRequest", &DeleteBookRequest { name: text() });
    examiner.full("bookstore.v1.MoveBookRequest", &MoveBookRequest { name: text(), destination: text() });
    examiner.full("bookstore.v1.WatchBooksRequest", &WatchBooksRequest { parent: text(), count: 1, after: 1 });
    let event = BookEvent { sequence: 1, kind: 1, book: Some(printed()), time: time() };
    examiner.full("bookstore.v1.BookEvent", &event);
    let search = SearchBooksRequest { parent: text(), query: text(), genres: vec![1], limit: 1 };
    examiner.full("bookstore.v1.SearchBooksRequest", &search);
    let hits = vec![Hit { book: Some(printed()), score: 1.0 }];
    examiner.full("bookstore.v1.SearchBooksResponse", &SearchBooksResponse { hits, elapsed: duration() });
    examiner.full("bookstore.v1.GetContentRequest", &GetContentRequest { path: text() });
    examiner.full("google.api.HttpBody", &HttpBody { content_type: text(), data: vec![1].into() });
}

fn files(examiner: &mut Examiner) {
    let (path, content_type, filename, note) = (text(), text(), text(), text());
    let file = File { path, content_type, size: 1, crc: 1, filename, note, messages: 1 };
    let content = Some(HttpBody { content_type: text(), data: vec![1].into() });
    let upload = UploadRequest { path: text(), content: content.clone(), filename: text(), note: text() };
    examiner.full("files.v1.UploadRequest", &upload);
    examiner.full("files.v1.DownloadRequest", &DownloadRequest { path: text() });
    examiner.full("files.v1.DownloadResponse", &DownloadResponse { file: Some(file), content });
}

/// All messages that the files define, nested ones too, but for the entries of maps.
fn defined(pool: &DescriptorPool) -> BTreeSet<String> {
    fn below(message: MessageDescriptor) -> Vec<MessageDescriptor> {
        message.child_messages().flat_map(below).chain([message.clone()]).collect()
    }
    let files = pool.files().filter(|file| FILES.contains(&file.name()));
    let messages = files.flat_map(|file| file.messages().flat_map(below).collect::<Vec<_>>());
    messages.filter(|message| !message.is_map_entry()).map(|message| message.full_name().to_owned()).collect()
}

#[test]
fn the_messages_have_every_field_of_their_protos() {
    let mut examiner = Examiner::new();
    greeter_echo_and_route_guide(&mut examiner);
    shelves(&mut examiner);
    books(&mut examiner);
    files(&mut examiner);
    let missing: Vec<_> = defined(&examiner.pool).difference(&examiner.seen).cloned().collect();
    assert_eq!(missing, Vec::<String>::new(), "messages that no example was made of");
}
