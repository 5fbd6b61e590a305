//! The bookstore's memory: shelves and books, their seed, and the errors that their contract promises.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;
use prost_types::{Duration, Timestamp};

use super::messages::bookstore_v1::{Audiobook, Book, Ebook, Format, Genre, Price, Print, Shelf};
use crate::status::{Any, Code, FieldViolation, Status, bad_request, error_info};

/// The store. Its size is bounded: `MOST_SHELVES`, `MOST_BOOKS`, `LARGEST_BOOK`.
pub(super) struct Shelves {
    inner: Mutex<Inner>,
}

struct Inner {
    /// By id: in the order in which the shelves were put up, because ids are given in order.
    shelves: BTreeMap<u64, OneShelf>,
    next_shelf: u64,
    next_etag: u64,
    books: usize,
}

struct OneShelf {
    theme: String,
    create_time: Timestamp,
    /// In the order in which they were put there.
    books: Vec<Book>,
    next_book: u64,
}

const MOST_SHELVES: usize = 1_000;
const MOST_BOOKS: usize = 1_000;
/// Bytes of one encoded book.
const LARGEST_BOOK: usize = 64 << 10;
/// Bytes of a shelf's theme, or of an id.
const LONGEST_TEXT: usize = 256;

const DOMAIN: &str = "bookstore.transom.example";
/// 1 January 2026: when the seed was put up.
const OPENING: Timestamp = Timestamp { seconds: 1_767_225_600, nanos: 0 };
/// The name of what is never there.
const NOWHERE: u64 = 404;

// === impl Shelves ===

impl Shelves {
    pub(super) fn seeded() -> Shelves {
        let mut inner = Inner { shelves: BTreeMap::new(), next_shelf: 1, next_etag: 1, books: 0 };
        for (theme, books) in seed() {
            let id = inner.put_up(theme.to_owned(), OPENING);
            for mut book in books {
                book.update_time = Some(OPENING);
                inner.put(id, None, book);
            }
        }
        Shelves { inner: Mutex::new(inner) }
    }

    /// A method that panicked cannot have left a half-made change that matters more than the demo's going on.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn list(&self) -> Vec<Shelf> {
        let inner = self.lock();
        inner.shelves.iter().map(|(id, shelf)| shelf.describe(*id)).collect()
    }

    pub(super) fn create(&self, theme: String) -> Result<Shelf, Status> {
        if theme.is_empty() || theme.len() > LONGEST_TEXT {
            return Err(invalid("shelf.theme", format!("has to have 1 to {LONGEST_TEXT} bytes")));
        }
        let mut inner = self.lock();
        if inner.shelves.len() >= MOST_SHELVES {
            return Err(full(format!("the store takes {MOST_SHELVES} shelves")));
        }
        let id = inner.put_up(theme, now());
        inner.shelves.get(&id).map(|shelf| shelf.describe(id)).ok_or_else(|| no_shelf(&shelf_name(id)))
    }

    pub(super) fn shelf(&self, name: &str) -> Result<Shelf, Status> {
        let inner = self.lock();
        let (id, shelf) = inner.find(name)?;
        Ok(shelf.describe(id))
    }

    pub(super) fn delete(&self, name: &str, force: bool) -> Result<(), Status> {
        let mut inner = self.lock();
        let (id, shelf) = inner.find(name)?;
        let books = shelf.books.len();
        if books > 0 && !force {
            let text = format!("{name} has {books} books; send force to take them down too");
            return Err(Status::new(Code::FailedPrecondition, text).with(shelf_not_empty(name)));
        }
        inner.shelves.remove(&id);
        inner.books -= books;
        Ok(())
    }

    /// The books of a shelf, or of all shelves if the name is empty.
    pub(super) fn books(&self, parent: &str) -> Result<Vec<Book>, Status> {
        let inner = self.lock();
        if parent.is_empty() {
            return Ok(inner.shelves.values().flat_map(|shelf| shelf.books.iter().cloned()).collect());
        }
        Ok(inner.find(parent)?.1.books.clone())
    }

    pub(super) fn book(&self, name: &str) -> Result<Book, Status> {
        let inner = self.lock();
        let (_, shelf) = inner.find_of_book(name)?;
        shelf.books.iter().find(|book| book.name == name).cloned().ok_or_else(|| no_book(name))
    }

    /// Puts a book on a shelf, under the id that is asked for or else one of the store's choice.
    pub(super) fn add(&self, parent: &str, id: &str, mut book: Book) -> Result<Book, Status> {
        let mut inner = self.lock();
        let (shelf, there) = inner.find(parent)?;
        check(&book)?;
        if !id.is_empty() {
            check_id(id)?;
            let name = format!("{parent}/books/{id}");
            if there.books.iter().any(|book| book.name == name) {
                let taken = error_info("BOOK_EXISTS", DOMAIN, &[("name", &name)]);
                return Err(Status::new(Code::AlreadyExists, format!("{name} is taken")).with(taken));
            }
        }
        if inner.books >= MOST_BOOKS {
            return Err(full(format!("the store takes {MOST_BOOKS} books")));
        }
        book.update_time = Some(now());
        Ok(inner.put(shelf, (!id.is_empty()).then_some(id), book))
    }

    /// Changes a book in place. `change` gets a copy: what it refuses leaves the book as it was.
    pub(super) fn update(
        &self,
        name: &str,
        etag: &str,
        change: impl FnOnce(&mut Book) -> Result<(), Status>,
    ) -> Result<Book, Status> {
        let mut inner = self.lock();
        let (shelf, there) = inner.find_of_book(name)?;
        let found = there.books.iter().find(|book| book.name == name).ok_or_else(|| no_book(name))?;
        if !etag.is_empty() && etag != found.etag {
            let text = format!("{name} was changed in between: its etag is {}", found.etag);
            let stale = error_info("ETAG_MISMATCH", DOMAIN, &[("name", name), ("etag", &found.etag)]);
            return Err(Status::new(Code::Aborted, text).with(stale));
        }
        let mut changed = found.clone();
        change(&mut changed)?;
        check(&changed)?;
        changed.etag = inner.etag();
        changed.update_time = Some(now());
        if let Some(book) = inner.book_mut(shelf, name) {
            book.clone_from(&changed);
        }
        Ok(changed)
    }

    pub(super) fn remove(&self, name: &str) -> Result<Book, Status> {
        let mut inner = self.lock();
        let (shelf, there) = inner.find_of_book(name)?;
        let at = there.books.iter().position(|book| book.name == name).ok_or_else(|| no_book(name))?;
        inner.take(shelf, at).ok_or_else(|| no_book(name))
    }

    /// Moves a book to the end of another shelf, where it keeps its id unless that is taken.
    pub(super) fn relocate(&self, name: &str, destination: &str) -> Result<Book, Status> {
        let mut inner = self.lock();
        let (from, there) = inner.find_of_book(name)?;
        let at = there.books.iter().position(|book| book.name == name).ok_or_else(|| no_book(name))?;
        let (to, shelf) = inner.find(destination)?;
        if from == to {
            return there.books.get(at).cloned().ok_or_else(|| no_book(name));
        }
        let id = name.rsplit('/').next().unwrap_or_default();
        let wanted = format!("{destination}/books/{id}");
        let free = shelf.books.iter().all(|book| book.name != wanted);
        let mut book = inner.take(from, at).ok_or_else(|| no_book(name))?;
        book.update_time = Some(now());
        Ok(inner.put(to, free.then_some(id), book))
    }
}

// === impl Inner ===

impl Inner {
    fn find(&self, name: &str) -> Result<(u64, &OneShelf), Status> {
        let id = name.strip_prefix("shelves/").and_then(canonical).ok_or_else(|| no_shelf(name))?;
        self.shelves.get(&id).map(|shelf| (id, shelf)).ok_or_else(|| no_shelf(name))
    }

    /// The shelf on which a book of this name would be.
    fn find_of_book(&self, name: &str) -> Result<(u64, &OneShelf), Status> {
        let (shelf, _) = name.split_once("/books/").ok_or_else(|| no_book(name))?;
        self.find(shelf).map_err(|_| no_book(name))
    }

    fn book_mut(&mut self, shelf: u64, name: &str) -> Option<&mut Book> {
        self.shelves.get_mut(&shelf)?.books.iter_mut().find(|book| book.name == name)
    }

    fn put_up(&mut self, theme: String, create_time: Timestamp) -> u64 {
        let id = self.next_shelf;
        self.next_shelf = following(id);
        self.shelves.insert(id, OneShelf { theme, create_time, books: Vec::new(), next_book: 1 });
        id
    }

    /// Puts a book on a shelf that is there, under a free id.
    fn put(&mut self, shelf: u64, id: Option<&str>, mut book: Book) -> Book {
        book.etag = self.etag();
        if let Some(there) = self.shelves.get_mut(&shelf) {
            let id = id.map(str::to_owned).unwrap_or_else(|| there.free_id(shelf));
            book.name = format!("{}/books/{id}", shelf_name(shelf));
            there.books.push(book.clone());
            self.books += 1;
        }
        book
    }

    fn take(&mut self, shelf: u64, at: usize) -> Option<Book> {
        let books = &mut self.shelves.get_mut(&shelf)?.books;
        (at < books.len()).then(|| {
            self.books -= 1;
            books.remove(at)
        })
    }

    fn etag(&mut self) -> String {
        let etag = format!("e{}", self.next_etag);
        self.next_etag += 1;
        etag
    }
}

// === impl OneShelf ===

impl OneShelf {
    fn describe(&self, id: u64) -> Shelf {
        Shelf {
            name: shelf_name(id),
            theme: self.theme.clone(),
            create_time: Some(self.create_time),
            book_count: i64::try_from(self.books.len()).unwrap_or(i64::MAX),
        }
    }

    fn free_id(&mut self, shelf: u64) -> String {
        loop {
            let id = self.next_book.to_string();
            self.next_book = following(self.next_book);
            let name = format!("{}/books/{id}", shelf_name(shelf));
            if self.books.iter().all(|book| book.name != name) {
                return id;
            }
        }
    }
}

fn following(id: u64) -> u64 {
    if id + 1 == NOWHERE { NOWHERE + 1 } else { id + 1 }
}

fn shelf_name(id: u64) -> String {
    format!("shelves/{id}")
}

/// An id in the one form that the store gives it: "01" and "+1" name nothing.
fn canonical(text: &str) -> Option<u64> {
    text.parse().ok().filter(|id: &u64| id.to_string() == text)
}

fn check(book: &Book) -> Result<(), Status> {
    if book.title.is_empty() {
        return Err(invalid("book.title", "may not be empty"));
    }
    if book.encoded_len() > LARGEST_BOOK {
        return Err(invalid("book", format!("is longer than {LARGEST_BOOK} bytes")));
    }
    Ok(())
}

fn check_id(id: &str) -> Result<(), Status> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if id.len() > LONGEST_TEXT || !id.bytes().all(allowed) || id == NOWHERE.to_string() {
        let text = format!("has to be letters, digits, '-', '_' or '.', {LONGEST_TEXT} at most, and not {NOWHERE}");
        return Err(invalid("book_id", text));
    }
    Ok(())
}

/// The time by the system's clock.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(since.subsec_nanos()).unwrap_or(0),
    }
}

/// INVALID_ARGUMENT with the one field that is to blame.
pub(super) fn invalid(field: &str, description: impl Into<String>) -> Status {
    let violation = FieldViolation { field: field.to_owned(), description: description.into() };
    Status::new(Code::InvalidArgument, format!("{field} {}", violation.description)).with(bad_request(&[violation]))
}

/// NOT_FOUND with what was looked for.
pub(super) fn not_found(reason: &str, kind: &str, name: &str) -> Status {
    Status::new(Code::NotFound, format!("{name} is not there"))
        .with(error_info(reason, DOMAIN, &[("name", name)]))
        .with(detail(
            "google.rpc.ResourceInfo",
            &ResourceInfo { resource_type: kind.into(), resource_name: name.into() },
        ))
}

fn no_shelf(name: &str) -> Status {
    not_found("SHELF_NOT_FOUND", "bookstore.v1.Shelf", name)
}

fn no_book(name: &str) -> Status {
    not_found("BOOK_NOT_FOUND", "bookstore.v1.Book", name)
}

fn full(text: String) -> Status {
    Status::new(Code::ResourceExhausted, text)
}

fn shelf_not_empty(name: &str) -> Any {
    let violation = Violation { kind: "SHELF_NOT_EMPTY".into(), subject: name.into() };
    detail("google.rpc.PreconditionFailure", &PreconditionFailure { violations: vec![violation] })
}

fn detail(name: &str, message: &impl Message) -> Any {
    Any { type_url: format!("type.googleapis.com/{name}"), value: message.encode_to_vec().into() }
}

#[derive(Clone, PartialEq, prost::Message)]
struct ResourceInfo {
    #[prost(string, tag = "1")]
    resource_type: String,
    #[prost(string, tag = "2")]
    resource_name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PreconditionFailure {
    #[prost(message, repeated, tag = "1")]
    violations: Vec<Violation>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Violation {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "2")]
    subject: String,
}

/// What stands on the shelves at the start: names and order are the contract of `protos/bookstore.proto`.
fn seed() -> [(&'static str, Vec<Book>); 3] {
    let fiction = vec![
        Book {
            subtitle: Some("or, The Whale".into()),
            isbn: 9_780_142_437_247,
            edition: Some(2),
            thumbnail: PIXEL.to_vec(),
            labels: labels(&[("place", "window"), ("lent", "no")]),
            format: Some(Format::Print(Print { pages: 720, hardcover: true })),
            price: euros(24, 500_000_000),
            stock: Some(3),
            ..book("Moby-Dick", &["Herman Melville"], Genre::Novel, -3_730_233_600, 88_200, 4.5)
        },
        Book {
            subtitle: Some("or, The Modern Prometheus".into()),
            isbn: 9_780_141_439_471,
            format: Some(Format::Ebook(Ebook {
                url: "https://books.example/frankenstein".into(),
                size_bytes: 731_204,
            })),
            price: euros(0, 990_000_000),
            ..book("Frankenstein", &["Mary Shelley"], Genre::Novel, -4_796_668_800, 21_600, 4.25)
        },
        Book {
            subtitle: Some(String::new()),
            isbn: 9_780_141_439_549,
            format: Some(Format::Audiobook(Audiobook {
                length: Some(Duration { seconds: 128_520, nanos: 500_000_000 }),
                narrators: vec!["Juliet Stevenson".into()],
            })),
            stock: Some(0),
            ..book("Middlemarch", &["George Eliot"], Genre::Novel, -3_095_280_000, 104_400, 4.75)
        },
    ];
    let history = vec![
        Book {
            isbn: 9_780_140_437_645,
            format: Some(Format::Print(Print { pages: 1_312, hardcover: false })),
            price: euros(18, 0),
            stock: Some(1),
            ..book(
                "Decline and Fall of the Roman Empire",
                &["Edward Gibbon"],
                Genre::Nonfiction,
                -6_117_984_000,
                460_800,
                4.0,
            )
        },
        Book {
            subtitle: Some("A History".into()),
            isbn: 9_780_375_760_228,
            labels: labels(&[("lent", "yes")]),
            format: Some(Format::Print(Print { pages: 848, hardcover: false })),
            ..book("The French Revolution", &["Thomas Carlyle"], Genre::Nonfiction, -4_197_052_800, 111_600, 3.75)
        },
        Book {
            isbn: 9_780_140_447_606,
            edition: Some(12),
            format: Some(Format::Ebook(Ebook { url: "https://books.example/democracy".into(), size_bytes: 1_902_336 })),
            ..book(
                "Democracy in America",
                &["Alexis de Tocqueville", "Henry Reeve"],
                Genre::Nonfiction,
                -4_258_310_400,
                95_400,
                4.5,
            )
        },
    ];
    let science = vec![
        Book {
            isbn: 9_780_140_439_120,
            edition: Some(1),
            format: Some(Format::Print(Print { pages: 502, hardcover: true })),
            price: euros(12, 250_000_000),
            stock: Some(7),
            ..book("On the Origin of Species", &["Charles Darwin"], Genre::Nonfiction, -3_474_576_000, 61_200, 4.25)
        },
        Book {
            subtitle: Some("or, A Treatise of the Reflexions, Refractions, Inflexions and Colours of Light".into()),
            isbn: 9_780_486_602_059,
            format: Some(Format::Print(Print { pages: 406, hardcover: false })),
            ..book("Opticks", &["Isaac Newton"], Genre::Nonfiction, -8_394_192_000, 50_400, 4.0)
        },
        Book {
            isbn: 9_780_226_320_090,
            format: Some(Format::Print(Print { pages: 144, hardcover: false })),
            stock: Some(2),
            ..book("Sidereus Nuncius", &["Galileo Galilei"], Genre::Essay, -11_354_342_400, 9_000, 4.5)
        },
    ];
    [("Fiction", fiction), ("History", history), ("Science", science)]
}

/// A book with what every book has; `published` in seconds since 1970, `reading` in seconds.
fn book(title: &str, authors: &[&str], genre: Genre, published: i64, reading: i64, rating: f64) -> Book {
    Book {
        title: title.to_owned(),
        authors: authors.iter().map(|author| (*author).to_owned()).collect(),
        genre: genre.into(),
        publish_time: Some(Timestamp { seconds: published, nanos: 0 }),
        reading_time: Some(Duration { seconds: reading, nanos: 0 }),
        rating,
        ..Book::default()
    }
}

fn labels(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn euros(units: i64, nanos: i32) -> Option<Price> {
    Some(Price { currency_code: "EUR".into(), units, nanos })
}

/// A picture of one transparent pixel (GIF).
const PIXEL: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\
    \x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x01D\x00;";

#[cfg(test)]
mod tests {
    use super::*;

    fn some_book() -> Book {
        Book { title: "T".into(), ..Book::default() }
    }

    #[test]
    fn the_seed_has_the_names_of_the_contract() {
        let store = Shelves::seeded();
        let themes: Vec<_> =
            store.list().into_iter().map(|shelf| (shelf.name, shelf.theme, shelf.book_count)).collect();
        let expected = [("shelves/1", "Fiction"), ("shelves/2", "History"), ("shelves/3", "Science")];
        assert_eq!(themes, expected.map(|(name, theme)| (name.to_owned(), theme.to_owned(), 3)));
        for (name, title) in [
            ("shelves/1/books/1", "Moby-Dick"),
            ("shelves/1/books/3", "Middlemarch"),
            ("shelves/2/books/2", "The French Revolution"),
            ("shelves/3/books/2", "Opticks"),
        ] {
            assert_eq!(store.book(name).expect(name).title, title);
        }
    }

    #[test]
    fn no_shelf_and_no_book_ever_gets_the_name_of_what_is_not_there() {
        let store = Shelves::seeded();
        for _ in 0..500 {
            store.create("T".into()).expect("a shelf");
            store.add("shelves/1", "", some_book()).expect("a book");
        }
        assert_eq!(store.shelf("shelves/404").expect_err("no shelf").code, Code::NotFound);
        assert_eq!(store.book("shelves/1/books/404").expect_err("no book").code, Code::NotFound);
        assert_eq!(store.add("shelves/1", "404", some_book()).expect_err("refused").code, Code::InvalidArgument);
        assert!(store.shelf("shelves/405").is_ok() && store.book("shelves/1/books/405").is_ok());
    }

    #[test]
    fn the_store_stops_growing() {
        let store = Shelves::seeded();
        let last = (0..=MOST_SHELVES).map(|_| store.create("T".into())).find_map(Result::err);
        assert_eq!(last.expect("an end").code, Code::ResourceExhausted);
        let last = (0..=MOST_BOOKS).map(|_| store.add("shelves/2", "", some_book())).find_map(Result::err);
        assert_eq!(last.expect("an end").code, Code::ResourceExhausted);
        let large = Book { thumbnail: vec![0; LARGEST_BOOK], ..some_book() };
        assert_eq!(store.add("shelves/1", "", large).expect_err("too large").code, Code::InvalidArgument);
        store.delete("shelves/2", true).expect("gone");
        assert!(store.add("shelves/1", "", some_book()).is_ok());
    }

    #[test]
    fn names_that_only_look_alike_name_nothing() {
        let store = Shelves::seeded();
        for name in [
            "",
            "shelves",
            "shelves/",
            "shelves/01",
            "shelves/+1",
            "shelves/1/",
            "Shelves/1",
            "shelves/99999999999999999999",
        ] {
            assert_eq!(store.shelf(name).expect_err(name).code, Code::NotFound);
            assert_eq!(store.book(name).expect_err(name).code, Code::NotFound);
        }
    }

    #[test]
    fn a_book_moves_with_its_id_unless_that_is_taken() {
        let store = Shelves::seeded();
        assert_eq!(store.relocate("shelves/1/books/2", "shelves/3").expect("moved").name, "shelves/3/books/4");
        store.add("shelves/1", "emma", some_book()).expect("a book");
        assert_eq!(store.relocate("shelves/1/books/emma", "shelves/3").expect("moved").name, "shelves/3/books/emma");
        assert_eq!(store.book("shelves/1/books/2").expect_err("moved away").code, Code::NotFound);
        assert_eq!(store.relocate("shelves/1/books/1", "shelves/404").expect_err("no shelf").code, Code::NotFound);
        assert!(store.book("shelves/1/books/1").is_ok());
    }

    #[test]
    fn a_stale_etag_changes_nothing() {
        let store = Shelves::seeded();
        let name = "shelves/1/books/1";
        let old = store.book(name).expect("a book").etag;
        let rate = |rating| {
            move |book: &mut Book| {
                book.rating = rating;
                Ok(())
            }
        };
        let new = store.update(name, &old, rate(1.0)).expect("changed");
        assert_ne!(new.etag, old);
        assert_eq!(store.update(name, &old, rate(2.0)).expect_err("stale").code, Code::Aborted);
        assert_eq!(store.book(name).expect("a book").rating, 1.0);
    }
}
