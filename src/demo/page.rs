//! The demo's web page, built from `web-demo` and carried in the binary.

use crate::proxy::Page;

/// The file behind a path (without its query), or `None` if the page has no such file.
pub fn find(path: &str) -> Option<Page> {
    let (content_type, bytes): (_, &'static [u8]) = match path {
        "/" | "/index.html" => ("text/html; charset=utf-8", INDEX),
        "/app.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "/app.css" => ("text/css; charset=utf-8", STYLE),
        _ => return None,
    };
    Some(Page { content_type, bytes, cache: "no-cache" })
}

const INDEX: &[u8] = include_bytes!("../../web-demo/dist/index.html");
const SCRIPT: &[u8] = include_bytes!("../../web-demo/dist/app.js");
const STYLE: &[u8] = include_bytes!("../../web-demo/dist/app.css");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_and_what_it_loads_are_there() {
        let index = find("/").expect("a page");
        assert_eq!(Some(index), find("/index.html"));
        let text = std::str::from_utf8(index.bytes).expect("UTF-8");
        for part in ["app.js", "app.css"] {
            assert!(text.contains(part), "index.html loads {part}");
            assert!(find(&format!("/{part}")).is_some_and(|page| !page.bytes.is_empty()));
        }
        assert_eq!(find("/../Cargo.toml"), None);
        assert_eq!(find(""), None);
    }
}
