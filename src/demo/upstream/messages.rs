//! The messages of `protos/*.proto`, by hand: no `protoc`, no build script. The tests hold them to the descriptors.

/// `protos/helloworld.proto`.
pub mod helloworld {
    /// `helloworld.HelloRequest`.
    #[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
    pub struct HelloRequest {
        #[prost(string, tag = "1")]
        pub name: String,
    }

    /// `helloworld.HelloReply`.
    #[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
    pub struct HelloReply {
        #[prost(string, tag = "1")]
        pub message: String,
    }
}

/// `protos/echo.proto`.
pub mod echo {
    /// `grpc.examples.echo.EchoRequest`.
    #[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
    pub struct EchoRequest {
        #[prost(string, tag = "1")]
        pub message: String,
    }

    /// `grpc.examples.echo.EchoResponse`.
    #[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
    pub struct EchoResponse {
        #[prost(string, tag = "1")]
        pub message: String,
    }
}

/// `protos/route_guide.proto`.
pub mod routeguide {
    /// `routeguide.Point`: degrees times 10^7.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
    pub struct Point {
        #[prost(int32, tag = "1")]
        pub latitude: i32,
        #[prost(int32, tag = "2")]
        pub longitude: i32,
    }

    /// `routeguide.Rectangle`.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
    pub struct Rectangle {
        #[prost(message, optional, tag = "1")]
        pub lo: Option<Point>,
        #[prost(message, optional, tag = "2")]
        pub hi: Option<Point>,
    }

    /// `routeguide.Feature`.
    #[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
    pub struct Feature {
        #[prost(string, tag = "1")]
        pub name: String,
        #[prost(message, optional, tag = "2")]
        pub location: Option<Point>,
    }

    /// `routeguide.RouteNote`.
    #[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
    pub struct RouteNote {
        #[prost(message, optional, tag = "1")]
        pub location: Option<Point>,
        #[prost(string, tag = "2")]
        pub message: String,
    }

    /// `routeguide.RouteSummary`.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
    pub struct RouteSummary {
        #[prost(int32, tag = "1")]
        pub point_count: i32,
        #[prost(int32, tag = "2")]
        pub feature_count: i32,
        /// Metres.
        #[prost(int32, tag = "3")]
        pub distance: i32,
        /// Seconds.
        #[prost(int32, tag = "4")]
        pub elapsed_time: i32,
    }
}

/// `protos/bookstore.proto`.
pub mod bookstore_v1 {
    use std::collections::BTreeMap;

    use prost_types::{Duration, FieldMask, Timestamp};

    /// `bookstore.v1.Genre`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
    #[repr(i32)]
    pub enum Genre {
        Unspecified = 0,
        Novel = 1,
        Nonfiction = 2,
        Essay = 3,
        Poetry = 4,
    }

    /// `bookstore.v1.Shelf`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Shelf {
        #[prost(string, tag = "1")]
        pub name: String,
        #[prost(string, tag = "2")]
        pub theme: String,
        #[prost(message, optional, tag = "3")]
        pub create_time: Option<Timestamp>,
        #[prost(int64, tag = "4")]
        pub book_count: i64,
    }

    /// `bookstore.v1.Book.Price`.
    #[derive(Clone, PartialEq, Eq, prost::Message)]
    pub struct Price {
        #[prost(string, tag = "1")]
        pub currency_code: String,
        #[prost(int64, tag = "2")]
        pub units: i64,
        #[prost(int32, tag = "3")]
        pub nanos: i32,
    }

    /// `bookstore.v1.Book.Print`.
    #[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
    pub struct Print {
        #[prost(int32, tag = "1")]
        pub pages: i32,
        #[prost(bool, tag = "2")]
        pub hardcover: bool,
    }

    /// `bookstore.v1.Book.Ebook`.
    #[derive(Clone, PartialEq, Eq, prost::Message)]
    pub struct Ebook {
        #[prost(string, tag = "1")]
        pub url: String,
        #[prost(uint64, tag = "2")]
        pub size_bytes: u64,
    }

    /// `bookstore.v1.Book.Audiobook`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Audiobook {
        #[prost(message, optional, tag = "1")]
        pub length: Option<Duration>,
        #[prost(string, repeated, tag = "2")]
        pub narrators: Vec<String>,
    }

    /// The oneof `format` of `bookstore.v1.Book`.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Format {
        #[prost(message, tag = "11")]
        Print(Print),
        #[prost(message, tag = "12")]
        Ebook(Ebook),
        #[prost(message, tag = "13")]
        Audiobook(Audiobook),
    }

    /// `bookstore.v1.Book`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Book {
        #[prost(string, tag = "1")]
        pub name: String,
        #[prost(string, tag = "2")]
        pub title: String,
        #[prost(string, repeated, tag = "3")]
        pub authors: Vec<String>,
        #[prost(enumeration = "Genre", tag = "4")]
        pub genre: i32,
        #[prost(message, optional, tag = "5")]
        pub publish_time: Option<Timestamp>,
        #[prost(message, optional, tag = "6")]
        pub reading_time: Option<Duration>,
        #[prost(int64, tag = "7")]
        pub isbn: i64,
        #[prost(double, tag = "8")]
        pub rating: f64,
        #[prost(bytes = "vec", tag = "9")]
        pub thumbnail: Vec<u8>,
        #[prost(btree_map = "string, string", tag = "10")]
        pub labels: BTreeMap<String, String>,
        #[prost(oneof = "Format", tags = "11, 12, 13")]
        pub format: Option<Format>,
        #[prost(message, optional, tag = "14")]
        pub price: Option<Price>,
        /// `google.protobuf.Int32Value`.
        #[prost(message, optional, tag = "15")]
        pub stock: Option<i32>,
        /// `google.protobuf.StringValue`.
        #[prost(message, optional, tag = "16")]
        pub subtitle: Option<String>,
        #[prost(int32, optional, tag = "17")]
        pub edition: Option<i32>,
        #[prost(string, tag = "18")]
        pub etag: String,
        #[prost(message, optional, tag = "19")]
        pub update_time: Option<Timestamp>,
    }

    /// `bookstore.v1.BookEvent.Kind`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
    #[repr(i32)]
    pub enum EventKind {
        Unspecified = 0,
        Added = 1,
        Changed = 2,
        Lent = 3,
        Returned = 4,
        Removed = 5,
    }

    /// `bookstore.v1.BookEvent`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct BookEvent {
        #[prost(int64, tag = "1")]
        pub sequence: i64,
        #[prost(enumeration = "EventKind", tag = "2")]
        pub kind: i32,
        #[prost(message, optional, tag = "3")]
        pub book: Option<Book>,
        #[prost(message, optional, tag = "4")]
        pub time: Option<Timestamp>,
    }

    /// `bookstore.v1.ListShelvesRequest`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct ListShelvesRequest {
        #[prost(int32, tag = "1")]
        pub page_size: i32,
        #[prost(string, tag = "2")]
        pub page_token: String,
    }

    /// `bookstore.v1.ListShelvesResponse`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct ListShelvesResponse {
        #[prost(message, repeated, tag = "1")]
        pub shelves: Vec<Shelf>,
        #[prost(string, tag = "2")]
        pub next_page_token: String,
    }

    /// `bookstore.v1.CreateShelfRequest`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct CreateShelfRequest {
        #[prost(message, optional, tag = "1")]
        pub shelf: Option<Shelf>,
    }

    /// `bookstore.v1.GetShelfRequest`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct GetShelfRequest {
        #[prost(string, tag = "1")]
        pub name: String,
    }

    /// `bookstore.v1.DeleteShelfRequest`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct DeleteShelfRequest {
        #[prost(string, tag = "1")]
        pub name: String,
        #[prost(bool, tag = "2")]
        pub force: bool,
    }

    /// `bookstore.v1.ListBooksRequest.Filter`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Filter {
        #[prost(enumeration = "Genre", tag = "1")]
        pub genre: i32,
        #[prost(string, repeated, tag = "2")]
        pub authors: Vec<String>,
        #[prost(double, tag = "3")]
        pub min_rating: f64,
        #[prost(message, optional, tag = "4")]
        pub published_after: Option<Timestamp>,
        #[prost(message, optional, tag = "5")]
        pub max_reading_time: Option<Duration>,
        /// `google.protobuf.BoolValue`.
        #[prost(message, optional, tag = "6")]
        pub in_stock: Option<bool>,
    }

    /// `bookstore.v1.ListBooksRequest`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct ListBooksRequest {
        #[prost(string, tag = "1")]
        pub parent: String,
        #[prost(int32, tag = "2")]
        pub page_size: i32,
        #[prost(string, tag = "3")]
        pub page_token: String,
        #[prost(message, optional, tag = "4")]
        pub filter: Option<Filter>,
        #[prost(string, tag = "5")]
        pub order_by: String,
        #[prost(message, optional, tag = "6")]
        pub read_mask: Option<FieldMask>,
    }

    /// `bookstore.v1.ListBooksResponse`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct ListBooksResponse {
        #[prost(message, repeated, tag = "1")]
        pub books: Vec<Book>,
        #[prost(string, tag = "2")]
        pub next_page_token: String,
        #[prost(int32, tag = "3")]
        pub total_size: i32,
    }

    /// `bookstore.v1.CreateBookRequest`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct CreateBookRequest {
        #[prost(string, tag = "1")]
        pub parent: String,
        #[prost(message, optional, tag = "2")]
        pub book: Option<Book>,
        #[prost(string, tag = "3")]
        pub book_id: String,
    }

    /// `bookstore.v1.GetBookRequest`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct GetBookRequest {
        #[prost(string, tag = "1")]
        pub name: String,
        #[prost(message, optional, tag = "2")]
        pub read_mask: Option<FieldMask>,
    }

    /// `bookstore.v1.UpdateBookRequest`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct UpdateBookRequest {
        #[prost(message, optional, tag = "1")]
        pub book: Option<Book>,
        #[prost(message, optional, tag = "2")]
        pub update_mask: Option<FieldMask>,
    }

    /// `bookstore.v1.DeleteBookRequest`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct DeleteBookRequest {
        #[prost(string, tag = "1")]
        pub name: String,
    }

    /// `bookstore.v1.MoveBookRequest`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct MoveBookRequest {
        #[prost(string, tag = "1")]
        pub name: String,
        #[prost(string, tag = "2")]
        pub destination: String,
    }

    /// `bookstore.v1.WatchBooksRequest`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct WatchBooksRequest {
        #[prost(string, tag = "1")]
        pub parent: String,
        #[prost(int32, tag = "2")]
        pub count: i32,
        #[prost(int64, tag = "3")]
        pub after: i64,
    }

    /// `bookstore.v1.SearchBooksRequest`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct SearchBooksRequest {
        #[prost(string, tag = "1")]
        pub parent: String,
        #[prost(string, tag = "2")]
        pub query: String,
        #[prost(enumeration = "Genre", repeated, tag = "3")]
        pub genres: Vec<i32>,
        #[prost(int32, tag = "4")]
        pub limit: i32,
    }

    /// `bookstore.v1.SearchBooksResponse.Hit`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Hit {
        #[prost(message, optional, tag = "1")]
        pub book: Option<Book>,
        #[prost(double, tag = "2")]
        pub score: f64,
    }

    /// `bookstore.v1.SearchBooksResponse`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct SearchBooksResponse {
        #[prost(message, repeated, tag = "1")]
        pub hits: Vec<Hit>,
        #[prost(message, optional, tag = "2")]
        pub elapsed: Option<Duration>,
    }

    /// `bookstore.v1.GetContentRequest`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct GetContentRequest {
        #[prost(string, tag = "1")]
        pub path: String,
    }

    /// `google.api.HttpBody`, without its extensions.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct HttpBody {
        #[prost(string, tag = "1")]
        pub content_type: String,
        #[prost(bytes = "bytes", tag = "2")]
        pub data: bytes::Bytes,
    }
}

/// `protos/files.proto`.
pub mod files {
    use super::bookstore_v1::HttpBody;

    /// `files.v1.UploadRequest`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct UploadRequest {
        #[prost(string, tag = "1")]
        pub path: String,
        #[prost(message, optional, tag = "2")]
        pub content: Option<HttpBody>,
        #[prost(string, tag = "3")]
        pub filename: String,
        #[prost(string, tag = "4")]
        pub note: String,
    }

    /// `files.v1.File`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct File {
        #[prost(string, tag = "1")]
        pub path: String,
        #[prost(string, tag = "2")]
        pub content_type: String,
        #[prost(int64, tag = "3")]
        pub size: i64,
        #[prost(fixed32, tag = "4")]
        pub crc: u32,
        #[prost(string, tag = "5")]
        pub filename: String,
        #[prost(string, tag = "6")]
        pub note: String,
        #[prost(int64, tag = "7")]
        pub messages: i64,
    }

    /// `files.v1.DownloadRequest`.
    #[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
    pub struct DownloadRequest {
        #[prost(string, tag = "1")]
        pub path: String,
    }

    /// `files.v1.DownloadResponse`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct DownloadResponse {
        #[prost(message, optional, tag = "1")]
        pub file: Option<File>,
        #[prost(message, optional, tag = "2")]
        pub content: Option<HttpBody>,
    }
}

/// `protos/grpc/reflection/v1/reflection.proto`; `v1alpha` has the same messages.
pub mod reflection {
    use bytes::Bytes;

    /// `grpc.reflection.v1.ServerReflectionRequest`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Request {
        #[prost(string, tag = "1")]
        pub host: String,
        #[prost(oneof = "Question", tags = "3, 4, 5, 6, 7")]
        pub question: Option<Question>,
    }

    /// What a request asks for.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Question {
        #[prost(string, tag = "3")]
        FileByFilename(String),
        #[prost(string, tag = "4")]
        FileContainingSymbol(String),
        #[prost(message, tag = "5")]
        FileContainingExtension(Extension),
        #[prost(string, tag = "6")]
        AllExtensionNumbersOfType(String),
        #[prost(string, tag = "7")]
        ListServices(String),
    }

    /// `grpc.reflection.v1.ExtensionRequest`.
    #[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
    pub struct Extension {
        #[prost(string, tag = "1")]
        pub containing_type: String,
        #[prost(int32, tag = "2")]
        pub extension_number: i32,
    }

    /// `grpc.reflection.v1.ServerReflectionResponse`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Response {
        #[prost(string, tag = "1")]
        pub host: String,
        #[prost(message, optional, tag = "2")]
        pub request: Option<Request>,
        #[prost(oneof = "Answer", tags = "4, 5, 6, 7")]
        pub answer: Option<Answer>,
    }

    /// What a response answers.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Answer {
        #[prost(message, tag = "4")]
        Files(FileDescriptors),
        #[prost(message, tag = "5")]
        Extensions(ExtensionNumbers),
        #[prost(message, tag = "6")]
        Services(Services),
        #[prost(message, tag = "7")]
        Error(ErrorResponse),
    }

    /// `grpc.reflection.v1.FileDescriptorResponse`.
    #[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
    pub struct FileDescriptors {
        #[prost(bytes = "bytes", repeated, tag = "1")]
        pub file_descriptor_proto: Vec<Bytes>,
    }

    /// `grpc.reflection.v1.ExtensionNumberResponse`.
    #[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
    pub struct ExtensionNumbers {
        #[prost(string, tag = "1")]
        pub base_type_name: String,
        #[prost(int32, repeated, tag = "2")]
        pub extension_number: Vec<i32>,
    }

    /// `grpc.reflection.v1.ListServiceResponse`.
    #[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
    pub struct Services {
        #[prost(message, repeated, tag = "1")]
        pub service: Vec<Service>,
    }

    /// `grpc.reflection.v1.ServiceResponse`.
    #[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
    pub struct Service {
        #[prost(string, tag = "1")]
        pub name: String,
    }

    /// `grpc.reflection.v1.ErrorResponse`.
    #[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
    pub struct ErrorResponse {
        #[prost(int32, tag = "1")]
        pub error_code: i32,
        #[prost(string, tag = "2")]
        pub error_message: String,
    }
}
