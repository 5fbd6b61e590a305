//! `files.v1.Files`: uploads and downloads of `google.api.HttpBody`, with ranges by metadata.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::call::{Call, Outcome, Stop, frame};
use super::messages::bookstore_v1::HttpBody;
use super::messages::files::{DownloadRequest, DownloadResponse, File, UploadRequest};
use crate::status::{Code, Status};

/// The most that is kept of one file, and of all.
const LONGEST: usize = 16 << 20;
const MOST: usize = 64 << 20;
/// Content of one message of a download.
const PIECE: usize = 32 << 10;
/// The most that is sent in one message.
const WHOLE: u64 = 1 << 20;
/// The content of generated files repeats so.
const PERIOD: u64 = 251;

/// The files that are there.
#[derive(Default)]
pub(super) struct Files(Mutex<HashMap<String, Stored>>);

#[derive(Clone)]
struct Stored {
    file: File,
    content: Content,
}

#[derive(Clone)]
enum Content {
    Kept(Bytes),
    /// So many bytes, made as they are read.
    Generated(u64),
}

/// A method's calls; `None` if the service has no such method.
pub(super) async fn dispatch(method: &str, call: &mut Call, files: &Files) -> Option<Outcome> {
    Some(match method {
        "Upload" => upload(call, files, None).await,
        "Save" => save(call, files).await,
        "Count" => upload(call, files, Some("sink/count")).await,
        "Download" => download(call, files).await,
        "Get" => get(call, files).await,
        _ => return None,
    })
}

/// `path`: where it goes, whatever the messages say.
async fn upload(call: &mut Call, files: &Files, path: Option<&str>) -> Outcome {
    let (mut file, mut content, mut crc) = (File::default(), BytesMut::new(), flate2::Crc::new());
    while let Some(message) = call.receive::<UploadRequest>().await? {
        let body = message.content.unwrap_or_default();
        if file.messages == 0 {
            let named = if message.path.is_empty() { &message.filename } else { &message.path };
            file.path = path.unwrap_or(named).to_owned();
            file.content_type = body.content_type;
            file.filename = message.filename;
            file.note = message.note;
        }
        file.messages += 1;
        file.size += i64::try_from(body.data.len()).unwrap_or(i64::MAX);
        crc.update(&body.data);
        if file.is_kept() {
            if content.len() + body.data.len() > LONGEST {
                return Err(exhausted(format!("a file may have {LONGEST} bytes, but under \"sink/\"")).into());
            }
            content.extend_from_slice(&body.data);
        }
    }
    file.crc = crc.sum();
    files.put(file.clone(), content.freeze())?;
    call.send(&file).await
}

async fn save(call: &mut Call, files: &Files) -> Outcome {
    let UploadRequest { path, content, filename, note } = call.only().await?;
    let HttpBody { content_type, data } = content.unwrap_or_default();
    let mut crc = flate2::Crc::new();
    crc.update(&data);
    let size = i64::try_from(data.len()).unwrap_or(i64::MAX);
    let path = if path.is_empty() { filename.clone() } else { path };
    let file = File { path, content_type, size, crc: crc.sum(), filename, note, messages: 1 };
    files.put(file.clone(), data)?;
    call.send(&file).await
}

async fn get(call: &mut Call, files: &Files) -> Outcome {
    let Stored { file, content } = files.find(&call.only::<DownloadRequest>().await?.path)?;
    if content.len() > WHOLE {
        return Err(exhausted("a file of this size has to be downloaded".into()).into());
    }
    tell(&mut call.levers.initial, &file);
    let data = content.slice(0..content.len());
    let content = Some(HttpBody { content_type: file.content_type.clone(), data });
    call.send(&DownloadResponse { file: Some(file), content }).await
}

async fn download(call: &mut Call, files: &Files) -> Outcome {
    let Stored { file, content } = files.find(&call.only::<DownloadRequest>().await?.path)?;
    tell(&mut call.levers.initial, &file);
    call.pause(call.levers.delay).await?;
    let whole = 0..content.len();
    let asked = range(&call.head.headers, call.levers.initial.get("etag"), whole.end);
    if asked.is_err() {
        put(&mut call.levers.trailing, "content-range", &format!("bytes */{}", whole.end));
    }
    let range = asked?;
    if let Some(range) = &range {
        let text = format!("bytes {}-{}/{}", range.start, range.end.saturating_sub(1), whole.end);
        put(&mut call.levers.initial, "content-range", &text);
    }
    let mut range = range.unwrap_or(whole);
    let mut content_type = file.content_type;
    let mut sent = 0;
    // an empty file is a message as well
    while !range.is_empty() || sent == 0 {
        cut_after(call, sent)?;
        let end = range.end.min(range.start.saturating_add(PIECE as u64));
        let data = content.slice(range.start..end);
        range.start = end;
        let message = HttpBody { content_type: std::mem::take(&mut content_type), data };
        call.send_frame(frame(&message)).await?;
        call.pause(call.levers.interval.unwrap_or_default()).await?;
        sent += 1;
        if call.levers.count == Some(sent) {
            break;
        }
    }
    cut_after(call, sent)?;
    match call.levers.status.take() {
        Some(status) if !status.is_ok() => Err(status.into()),
        _ => Ok(()),
    }
}

fn cut_after(call: &Call, sent: u64) -> Outcome {
    match call.levers.cut {
        Some(cut) if cut.after <= sent => Err(Stop::Cut),
        _ => Ok(()),
    }
}

/// The range that is asked for, if one is and it is meant for this very content (RFC 9110, 14.2 and 13.1.5).
fn range(asked: &HeaderMap, etag: Option<&HeaderValue>, size: u64) -> Result<Option<Range<u64>>, Status> {
    let text = |name: &str| asked.get(name).and_then(|value| value.to_str().ok());
    if asked.get("if-range").is_some_and(|wanted| Some(wanted) != etag) {
        return Ok(None);
    }
    let Some((first, last)) = text("range").and_then(|text| text.strip_prefix("bytes=")?.trim().split_once('-')) else {
        return Ok(None);
    };
    let number = |text: &str| text.parse::<u64>().ok();
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Some(first), None) if last.is_empty() => first..size,
        (None, Some(count)) if first.is_empty() => size.saturating_sub(count)..size,
        _ => return Ok(None),
    };
    if range.is_empty() {
        return Err(Status::new(Code::OutOfRange, format!("the file has {size} bytes")));
    }
    Ok(Some(range))
}

/// Metadata of a download.
fn tell(metadata: &mut HeaderMap, file: &File) {
    put(metadata, "accept-ranges", "bytes");
    put(metadata, "etag", &format!("\"{:08x}-{}\"", file.crc, file.size));
    let name = file.path.rsplit('/').next().unwrap_or_default();
    let plain = name.chars().all(|c| c.is_ascii_graphic() && c != '"' && c != '\\');
    put(metadata, "content-disposition", &if plain { format!("inline; filename=\"{name}\"") } else { "inline".into() });
}

fn put(metadata: &mut HeaderMap, name: &'static str, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        metadata.insert(HeaderName::from_static(name), value);
    }
}

fn exhausted(text: String) -> Status {
    Status::new(Code::ResourceExhausted, text)
}

// === impl Files ===

impl Files {
    fn put(&self, file: File, content: Bytes) -> Result<(), Status> {
        if !file.is_kept() {
            return Ok(());
        }
        if file.path.is_empty() {
            return Err(Status::new(Code::InvalidArgument, "the file has neither a path nor a name"));
        }
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let others = files.iter().filter(|(path, _)| **path != file.path);
        let held: u64 = others.map(|(_, stored)| stored.content.len()).sum();
        if held + content.len() as u64 > MOST as u64 {
            return Err(exhausted(format!("all files together may have {MOST} bytes")));
        }
        files.insert(file.path.clone(), Stored { file, content: Content::Kept(content) });
        Ok(())
    }

    fn find(&self, path: &str) -> Result<Stored, Status> {
        if let Some(size) = path.strip_prefix("generated/").and_then(|size| size.parse::<u64>().ok()) {
            let content_type = "application/octet-stream".to_owned();
            let length = i64::try_from(size).unwrap_or(i64::MAX);
            let file = File { path: path.to_owned(), content_type, size: length, ..File::default() };
            return Ok(Stored { file, content: Content::Generated(size) });
        }
        let files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.get(path).cloned().ok_or_else(|| Status::new(Code::NotFound, format!("there is no file {path:?}")))
    }
}

// === impl File ===

impl File {
    fn is_kept(&self) -> bool {
        !self.path.starts_with("sink/")
    }
}

// === impl Content ===

impl Content {
    fn len(&self) -> u64 {
        match self {
            Content::Kept(bytes) => bytes.len() as u64,
            Content::Generated(size) => *size,
        }
    }

    /// Bytes of a range that is not longer than a message.
    fn slice(&self, range: Range<u64>) -> Bytes {
        static PATTERN: std::sync::LazyLock<Bytes> = std::sync::LazyLock::new(|| {
            (0..PERIOD as usize + WHOLE as usize)
                .map(|at| u8::try_from(at as u64 % PERIOD).unwrap_or_default())
                .collect()
        });
        let cut = |bytes: &Bytes, range: Range<u64>| {
            let end = usize::try_from(range.end).unwrap_or(usize::MAX).min(bytes.len());
            bytes.slice(usize::try_from(range.start).unwrap_or(end).min(end)..end)
        };
        match self {
            Content::Kept(bytes) => cut(bytes, range),
            Content::Generated(_) => {
                let start = range.start % PERIOD;
                cut(&PATTERN, start..start + (range.end - range.start))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(fields: &[(&'static str, &'static str)]) -> Result<Option<Range<u64>>, Status> {
        let headers = fields
            .iter()
            .map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v)))
            .collect::<HeaderMap>();
        range(&headers, Some(&HeaderValue::from_static("\"e\"")), 100)
    }

    #[test]
    fn one_range_of_bytes_is_read_and_others_mean_the_whole() {
        for (text, expected) in [
            ("bytes=0-9", Some(0..10)),
            ("bytes=90-", Some(90..100)),
            ("bytes=90-200", Some(90..100)),
            ("bytes=-10", Some(90..100)),
            ("bytes=-200", Some(0..100)),
            ("bytes=9-0", None),
            ("bytes=0-1,3-4", None),
            ("lines=0-9", None),
        ] {
            assert_eq!(asked(&[("range", text)]).unwrap(), expected, "{text}");
        }
        assert_eq!(asked(&[("range", "bytes=100-")]).unwrap_err().code, Code::OutOfRange);
        assert_eq!(asked(&[("range", "bytes=0-1"), ("if-range", "\"e\"")]).unwrap(), Some(0..2));
        assert_eq!(asked(&[("range", "bytes=0-1"), ("if-range", "\"f\"")]).unwrap(), None);
        assert_eq!(asked(&[]).unwrap(), None);
    }

    #[test]
    fn generated_content_is_the_same_however_it_is_cut() {
        let content = Content::Generated(1 << 40);
        for start in [0u64, 1, 250, 251, 65_536, (1 << 40) - 10] {
            let bytes = content.slice(start..start + 10);
            let expected: Vec<u8> = (start..start + 10).map(|at| (at % 251) as u8).collect();
            assert_eq!(bytes, expected);
        }
    }
}
