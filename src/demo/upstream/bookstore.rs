//! `bookstore.v1.Bookstore`: the methods; what they keep is in `shelves`.

use std::cmp::Ordering;
use std::time::{Duration, Instant};

use prost_types::FieldMask;

use super::call::{Call, Outcome};
use super::messages::bookstore_v1::{
    Book, BookEvent, CreateBookRequest, CreateShelfRequest, DeleteBookRequest, DeleteShelfRequest, EventKind, Filter,
    GetBookRequest, GetContentRequest, GetShelfRequest, Hit, HttpBody, ListBooksRequest, ListBooksResponse,
    ListShelvesRequest, ListShelvesResponse, MoveBookRequest, SearchBooksRequest, SearchBooksResponse,
    UpdateBookRequest, WatchBooksRequest,
};
use super::shelves::{Shelves, invalid, not_found, now};
use crate::status::Status;

/// The length of a page when the caller does not say, and the most that a page has.
const USUAL_PAGE: usize = 50;
const LARGEST_PAGE: usize = 1_000;

/// Runs the method of this name; `None` if there is none.
pub(super) async fn dispatch(method: &str, call: &mut Call, store: &Shelves) -> Option<Outcome> {
    Some(match method {
        "ListShelves" => list_shelves(call, store).await,
        "CreateShelf" => create_shelf(call, store).await,
        "GetShelf" => get_shelf(call, store).await,
        "DeleteShelf" => delete_shelf(call, store).await,
        "ListBooks" => list_books(call, store).await,
        "CreateBook" => create_book(call, store).await,
        "GetBook" => get_book(call, store).await,
        "UpdateBook" => update_book(call, store).await,
        "DeleteBook" => delete_book(call, store).await,
        "MoveBook" => move_book(call, store).await,
        "WatchBooks" => watch_books(call, store).await,
        "SearchBooks" => search_books(call, store).await,
        "GetContent" => get_content(call).await,
        _ => return None,
    })
}

async fn list_shelves(call: &mut Call, store: &Shelves) -> Outcome {
    let request: ListShelvesRequest = call.only().await?;
    let (shelves, next_page_token) = page(store.list(), request.page_size, &request.page_token)?;
    call.send(&ListShelvesResponse { shelves, next_page_token }).await
}

async fn create_shelf(call: &mut Call, store: &Shelves) -> Outcome {
    let request: CreateShelfRequest = call.only().await?;
    let shelf = store.create(request.shelf.unwrap_or_default().theme)?;
    call.send(&shelf).await
}

async fn get_shelf(call: &mut Call, store: &Shelves) -> Outcome {
    let request: GetShelfRequest = call.only().await?;
    let shelf = store.shelf(&request.name)?;
    call.send(&shelf).await
}

async fn delete_shelf(call: &mut Call, store: &Shelves) -> Outcome {
    let request: DeleteShelfRequest = call.only().await?;
    store.delete(&request.name, request.force)?;
    call.send(&()).await
}

async fn list_books(call: &mut Call, store: &Shelves) -> Outcome {
    let request: ListBooksRequest = call.only().await?;
    store.shelf(&request.parent)?;
    let mut books = store.books(&request.parent)?;
    if let Some(filter) = &request.filter {
        books.retain(|book| passes(filter, book));
    }
    sort(&mut books, &request.order_by)?;
    let total_size = i32::try_from(books.len()).unwrap_or(i32::MAX);
    let (mut books, next_page_token) = page(books, request.page_size, &request.page_token)?;
    for book in &mut books {
        mask(book, request.read_mask.as_ref())?;
    }
    call.send(&ListBooksResponse { books, next_page_token, total_size }).await
}

async fn create_book(call: &mut Call, store: &Shelves) -> Outcome {
    let request: CreateBookRequest = call.only().await?;
    let book = store.add(&request.parent, &request.book_id, request.book.unwrap_or_default())?;
    call.send(&book).await
}

async fn get_book(call: &mut Call, store: &Shelves) -> Outcome {
    let request: GetBookRequest = call.only().await?;
    let mut book = store.book(&request.name)?;
    mask(&mut book, request.read_mask.as_ref())?;
    call.send(&book).await
}

async fn update_book(call: &mut Call, store: &Shelves) -> Outcome {
    let request: UpdateBookRequest = call.only().await?;
    let given = request.book.unwrap_or_default();
    let paths = match request.update_mask.filter(|mask| !mask.paths.is_empty()) {
        Some(mask) => check_paths(mask.paths, "update_mask")?,
        None => set_fields(&given),
    };
    let (name, etag) = (given.name.clone(), given.etag.clone());
    let book = store.update(&name, &etag, |book| {
        for path in &paths {
            copy_field(path, &given, book);
        }
        Ok(())
    })?;
    call.send(&book).await
}

async fn delete_book(call: &mut Call, store: &Shelves) -> Outcome {
    let request: DeleteBookRequest = call.only().await?;
    store.remove(&request.name)?;
    call.send(&()).await
}

async fn move_book(call: &mut Call, store: &Shelves) -> Outcome {
    let request: MoveBookRequest = call.only().await?;
    let book = store.relocate(&request.name, &request.destination)?;
    call.send(&book).await
}

async fn watch_books(call: &mut Call, store: &Shelves) -> Outcome {
    let request: WatchBooksRequest = call.only().await?;
    store.shelf(&request.parent)?;
    let count = match usize::try_from(request.count) {
        Ok(0) => 5,
        Ok(count) => count,
        Err(_) => return Err(invalid("count", "may not be negative").into()),
    };
    let Ok(first) = usize::try_from(request.after) else {
        return Err(invalid("after", "may not be negative").into());
    };
    call.open()?;
    for at in first..first.saturating_add(count) {
        if at > first {
            call.pause(Duration::from_millis(300)).await?;
        }
        let books = store.books(&request.parent)?;
        let Some(book) = at.checked_rem(books.len()).and_then(|at| books.get(at)) else { return Ok(()) };
        let event = BookEvent {
            sequence: i64::try_from(at).unwrap_or(i64::MAX).saturating_add(1),
            kind: [EventKind::Lent, EventKind::Returned, EventKind::Changed].map(i32::from)[at % 3],
            book: Some(book.clone()),
            time: Some(now()),
        };
        call.send(&event).await?;
    }
    Ok(())
}

async fn search_books(call: &mut Call, store: &Shelves) -> Outcome {
    let request: SearchBooksRequest = call.only().await?;
    let start = Instant::now();
    let words: Vec<String> = request.query.split_whitespace().map(str::to_lowercase).collect();
    let limit = page_size(request.limit, "limit")?;
    let books = store.books(&request.parent)?.into_iter();
    let mut hits: Vec<Hit> = books
        .filter(|book| request.genres.is_empty() || request.genres.contains(&book.genre))
        .map(|book| Hit { score: score(&book, &words), book: Some(book) })
        .filter(|hit| hit.score > 0.0)
        .collect();
    hits.sort_by(|a, b| b.score.total_cmp(&a.score));
    hits.truncate(limit);
    let elapsed = prost_types::Duration::try_from(start.elapsed()).ok();
    call.send(&SearchBooksResponse { hits, elapsed }).await
}

async fn get_content(call: &mut Call) -> Outcome {
    let GetContentRequest { path } = call.only().await?;
    let file = path.strip_prefix("files/").filter(|file| !file.is_empty());
    if file.is_none_or(|file| file == "404" || file.starts_with("404/")) {
        return Err(not_found("FILE_NOT_FOUND", "bookstore.v1.File", &path).into());
    }
    let data = format!("contents of {path}\n").into();
    call.send(&HttpBody { content_type: "text/plain".into(), data }).await
}

/// One page of a list, and the token of the next: the offset at which that begins.
fn page<T>(items: Vec<T>, size: i32, token: &str) -> Result<(Vec<T>, String), Status> {
    let size = page_size(size, "page_size")?;
    let start: usize = match token {
        "" => 0,
        token => token.parse().map_err(|_| invalid("page_token", "is not one of this list"))?,
    };
    let end = items.len().min(start.saturating_add(size));
    let next = if end < items.len() { end.to_string() } else { String::new() };
    Ok((items.into_iter().take(end).skip(start).collect(), next))
}

fn page_size(size: i32, field: &str) -> Result<usize, Status> {
    match usize::try_from(size) {
        Ok(0) => Ok(USUAL_PAGE),
        Ok(size) => Ok(size.min(LARGEST_PAGE)),
        Err(_) => Err(invalid(field, "may not be negative")),
    }
}

fn passes(filter: &Filter, book: &Book) -> bool {
    let seconds = |time: &Option<prost_types::Timestamp>| time.map(|time| (time.seconds, time.nanos));
    (filter.genre == 0 || filter.genre == book.genre)
        && (filter.authors.is_empty() || filter.authors.iter().any(|author| book.authors.contains(author)))
        && book.rating >= filter.min_rating
        && seconds(&filter.published_after).is_none_or(|after| seconds(&book.publish_time) > Some(after))
        && filter.max_reading_time.is_none_or(|most| {
            book.reading_time.is_some_and(|time| (time.seconds, time.nanos) <= (most.seconds, most.nanos))
        })
        && filter.in_stock.is_none_or(|wanted| wanted == book.stock.is_some_and(|stock| stock > 0))
}

fn sort(books: &mut [Book], order_by: &str) -> Result<(), Status> {
    let (field, descending) = match order_by.trim().split_once(' ') {
        None => (order_by.trim(), false),
        Some((field, "desc")) => (field, true),
        Some((field, "asc")) => (field, false),
        Some(_) => ("", false),
    };
    let time = |book: &Book| book.publish_time.map(|time| (time.seconds, time.nanos));
    let compare: fn(&Book, &Book) -> Ordering = match field {
        "" if order_by.is_empty() => return Ok(()),
        "title" => |a, b| a.title.cmp(&b.title),
        "rating" => |a, b| a.rating.total_cmp(&b.rating),
        "publish_time" => return sort_by_key(books, descending, time),
        _ => return Err(invalid("order_by", "has to be title, rating or publish_time, with desc or without")),
    };
    books.sort_by(|a, b| if descending { compare(b, a) } else { compare(a, b) });
    Ok(())
}

fn sort_by_key<K: Ord>(books: &mut [Book], descending: bool, key: impl Fn(&Book) -> K) -> Result<(), Status> {
    books.sort_by(|a, b| if descending { key(b).cmp(&key(a)) } else { key(a).cmp(&key(b)) });
    Ok(())
}

/// How well a book fits: the share of its words that were asked for, if all that were asked for are there.
fn score(book: &Book, words: &[String]) -> f64 {
    let mut text = book.title.to_lowercase();
    for part in book.subtitle.iter().chain(&book.authors) {
        text.push(' ');
        text.push_str(&part.to_lowercase());
    }
    if words.is_empty() {
        return 1.0;
    }
    if !words.iter().all(|word| text.contains(word.as_str())) {
        return 0.0;
    }
    let asked: usize = words.iter().map(String::len).sum();
    (asked as f64 / text.len().max(1) as f64).min(1.0)
}

/// Reduces a book to the fields that a `read_mask` names.
fn mask(book: &mut Book, mask: Option<&FieldMask>) -> Result<(), Status> {
    let Some(mask) = mask.filter(|mask| !mask.paths.is_empty()) else { return Ok(()) };
    let paths = check_paths(mask.paths.clone(), "read_mask")?;
    let whole = std::mem::take(book);
    for path in &paths {
        copy_field(path, &whole, book);
        match path.as_str() {
            "name" => book.name.clone_from(&whole.name),
            "etag" => book.etag.clone_from(&whole.etag),
            "update_time" => book.update_time = whole.update_time,
            _ => {}
        }
    }
    Ok(())
}

/// All fields of a book by name; a mask may name these and `*`.
const FIELDS: &[&str] = &[
    "name",
    "title",
    "authors",
    "genre",
    "publish_time",
    "reading_time",
    "isbn",
    "rating",
    "thumbnail",
    "labels",
    "print",
    "ebook",
    "audiobook",
    "price",
    "stock",
    "subtitle",
    "edition",
    "etag",
    "update_time",
];

fn check_paths(paths: Vec<String>, field: &str) -> Result<Vec<String>, Status> {
    if paths.iter().any(|path| path == "*") {
        return Ok(FIELDS.iter().map(|field| (*field).to_owned()).collect());
    }
    match paths.iter().find(|path| !FIELDS.contains(&path.as_str())) {
        Some(path) => Err(invalid(field, format!("names \"{path}\", which is not a field of a book"))),
        None => Ok(paths),
    }
}

/// Copies one field that callers may change. The name, the etag and the time of change are the store's.
fn copy_field(path: &str, from: &Book, to: &mut Book) {
    match path {
        "title" => to.title.clone_from(&from.title),
        "authors" => to.authors.clone_from(&from.authors),
        "genre" => to.genre = from.genre,
        "publish_time" => to.publish_time = from.publish_time,
        "reading_time" => to.reading_time = from.reading_time,
        "isbn" => to.isbn = from.isbn,
        "rating" => to.rating = from.rating,
        "thumbnail" => to.thumbnail.clone_from(&from.thumbnail),
        "labels" => to.labels.clone_from(&from.labels),
        "print" | "ebook" | "audiobook" => copy_format(path, from, to),
        "price" => to.price.clone_from(&from.price),
        "stock" => to.stock = from.stock,
        "subtitle" => to.subtitle.clone_from(&from.subtitle),
        "edition" => to.edition = from.edition,
        _ => {}
    }
}

/// A member of the oneof is copied if it is the one that is set; if another is, naming it clears nothing but itself.
fn copy_format(path: &str, from: &Book, to: &mut Book) {
    if format_name(from) == Some(path) {
        to.format.clone_from(&from.format);
    } else if format_name(to) == Some(path) {
        to.format = None;
    }
}

fn format_name(book: &Book) -> Option<&'static str> {
    use super::messages::bookstore_v1::Format;
    Some(match book.format.as_ref()? {
        Format::Print(_) => "print",
        Format::Ebook(_) => "ebook",
        Format::Audiobook(_) => "audiobook",
    })
}

/// The fields that are set, for an update without a mask.
fn set_fields(book: &Book) -> Vec<String> {
    let blank = Book::default();
    let differs = |field: &&str| {
        let mut copy = blank.clone();
        copy_field(field, book, &mut copy);
        copy != blank
    };
    FIELDS.iter().copied().filter(|field| differs(field)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books() -> Vec<Book> {
        Shelves::seeded().books("shelves/1").expect("a shelf")
    }

    fn titles(books: &[Book]) -> Vec<&str> {
        books.iter().map(|book| book.title.as_str()).collect()
    }

    #[test]
    fn pages_come_one_after_another_and_a_token_from_nowhere_is_refused() {
        let (first, token) = page(vec![1, 2, 3], 2, "").expect("a page");
        assert_eq!((first, token.as_str()), (vec![1, 2], "2"));
        assert_eq!(page(vec![1, 2, 3], 2, &token).expect("a page"), (vec![3], String::new()));
        assert_eq!(page(vec![1], 2, "9").expect("a page"), (vec![], String::new()));
        assert!(page(vec![1], 2, "x").is_err());
        assert!(page(vec![1], -1, "").is_err());
    }

    #[test]
    fn books_are_ordered_either_way_and_by_no_other_field() {
        let mut sorted = books();
        for (order, first) in [
            ("title", "Frankenstein"),
            ("rating desc", "Middlemarch"),
            ("publish_time", "Frankenstein"),
            ("publish_time desc", "Middlemarch"),
        ] {
            sort(&mut sorted, order).expect(order);
            assert_eq!(titles(&sorted)[0], first, "{order}");
        }
        for order in ["isbn", "title down", " ", "desc"] {
            assert!(sort(&mut sorted, order).is_err(), "{order:?}");
        }
    }

    #[test]
    fn every_condition_of_a_filter_has_to_hold() {
        let find = |filter: Filter| {
            let books = books();
            books.iter().filter(|book| passes(&filter, book)).map(|book| book.title.clone()).collect::<Vec<_>>()
        };
        assert_eq!(find(Filter { min_rating: 4.5, ..Filter::default() }), ["Moby-Dick", "Middlemarch"]);
        assert_eq!(find(Filter { in_stock: Some(true), ..Filter::default() }), ["Moby-Dick"]);
        let authors = vec!["Mary Shelley".into(), "George Eliot".into()];
        assert_eq!(find(Filter { authors: authors.clone(), ..Filter::default() }), ["Frankenstein", "Middlemarch"]);
        let short = Some(prost_types::Duration { seconds: 86_400, nanos: 0 });
        assert_eq!(find(Filter { authors, max_reading_time: short, ..Filter::default() }), ["Frankenstein"]);
    }

    #[test]
    fn a_mask_keeps_what_it_names_and_refuses_what_is_not_there() {
        let paths = |paths: &[&str]| FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() };
        let mut book = books().remove(0);
        mask(&mut book, Some(&paths(&["name", "print"]))).expect("a mask");
        assert_eq!((book.name.as_str(), book.title.as_str()), ("shelves/1/books/1", ""));
        assert_eq!(format_name(&book), Some("print"));
        assert!(mask(&mut book, Some(&paths(&["colour"]))).is_err());
    }

    #[test]
    fn an_update_without_a_mask_takes_the_fields_that_are_set() {
        let given = Book { name: "n".into(), rating: 2.0, edition: Some(0), etag: "e".into(), ..Book::default() };
        assert_eq!(set_fields(&given), ["rating", "edition"]);
    }
}
