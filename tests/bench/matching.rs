//! What it takes to find the rule of a path, among ten, a thousand and ten thousand: `cargo bench --bench matching`.
//!
//! Rules come by tens, one ten for each kind of resource, so that there are a thousand kinds at the end. Each case asks for
//! 64 of the kinds in turn. Beside it stands matchit, which axum routes by, with those of the rules that it has words for
//! (neither verbs behind a colon nor segments behind a `**`), and the HTTP methods of a path in a list behind it. The mark at
//! the end is the project's promise; the exit code is 1 if it is missed.

mod counting;
mod timing;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use counting::Counting;
use http::Method;
use timing::{Way, time};
use transom::catalog::{Catalog, HttpRule, RuleBinding, Source, Verb, load};
use transom::route::{Match, Table};

#[global_allocator]
static ALLOCATOR: Counting<mimalloc::MiMalloc> = Counting(mimalloc::MiMalloc);

/// Nanoseconds that any case may take among the most rules.
const PROMISED: f64 = 1000.0;

const SIZES: [usize; 3] = [10, 1_000, 10_000];

/// Paths of one case.
const PATHS: usize = 64;

const PROTO: &str = r#"
syntax = "proto3";
package b;
message M { string name = 1; string id = 2; string item = 3; string path = 4; }
service S { rpc Put(M) returns (M); }
"#;

/// The rules of a kind: `#` is its number. Where matchit has words for one, how it says that.
const RULES: [(&str, &str, Option<&str>); 10] = [
    ("GET", "/v1/kinds#", Some("/v1/kinds#")),
    ("POST", "/v1/kinds#", Some("/v1/kinds#")),
    ("GET", "/v1/kinds#/{id}", Some("/v1/kinds#/{id}")),
    ("PATCH", "/v1/kinds#/{id}", Some("/v1/kinds#/{id}")),
    ("DELETE", "/v1/kinds#/{id}", Some("/v1/kinds#/{id}")),
    ("GET", "/v1/{name=projects/*/kinds#/*}", Some("/v1/projects/{project}/kinds#/{kind}")),
    ("GET", "/v1/{name=projects/*/kinds#/*}/items/{item}", Some("/v1/projects/{project}/kinds#/{kind}/items/{item}")),
    ("POST", "/v1/{name=projects/*/kinds#/*}:cancel", None),
    ("GET", "/v1/files#/{path=**}", Some("/v1/files#/{*path}")),
    ("GET", "/v1/trees#/{path=**}/meta/{id}", None),
];

/// What is asked for, and what comes of it. `found`: a rule, else 405 or nothing.
struct Case {
    name: &'static str,
    verb: Method,
    path: &'static str,
    found: bool,
    /// Whether matchit can be asked as well.
    beside: bool,
}

fn main() -> ExitCode {
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    // rows of the other benchmark
    if !asked.is_empty() && asked.iter().all(|name| name != "matching") {
        return ExitCode::SUCCESS;
    }
    println!("| rules | case | way | ns per match | allocations |");
    println!("| --: | --- | --- | --: | --: |");
    let worst = SIZES.map(|size| measure(size, &cases()));
    let [.., most] = worst;
    let met = most < PROMISED;
    println!(
        "\nmatching: {most:.0} ns at most among {} rules, promised {PROMISED:.0}: {}",
        SIZES[2],
        ["MISSED", "met"][usize::from(met)]
    );
    if met { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn cases() -> [Case; 9] {
    let case = |name, verb, path| Case { name, verb, path, found: true, beside: true };
    [
        case("a literal", Method::POST, "/v1/kinds#"),
        case("`*`", Method::GET, "/v1/kinds#/some-id-1234"),
        case("`*`, the last of three verbs", Method::DELETE, "/v1/kinds#/some-id-1234"),
        case(
            "two `*` in a variable, one behind",
            Method::GET,
            "/v1/projects/some-project/kinds#/some-kind/items/an-item",
        ),
        case("`**`", Method::GET, "/v1/files#/covers/moby-dick/front/large.png"),
        Case { beside: false, ..case("a verb", Method::POST, "/v1/projects/some-project/kinds#/some-kind:cancel") },
        Case {
            beside: false,
            ..case("`**` and two segments", Method::GET, "/v1/trees#/covers/moby-dick/front/meta/size")
        },
        Case {
            found: false,
            ..case("nothing there", Method::GET, "/v1/projects/some-project/sorts#/some-kind/items/x")
        },
        Case { found: false, ..case("405, with its `Allow`", Method::PUT, "/v1/kinds#/some-id-1234") },
    ]
}

/// Prints the rows of one size; the longest time of any hit.
fn measure(size: usize, cases: &[Case]) -> f64 {
    let (_catalog, table) = table(size);
    let router = router(size);
    let mut worst = 0f64;
    for case in cases {
        let paths: Vec<String> = (0..PATHS).map(|n| numbered(case.path, n * 37 % (size / RULES.len()))).collect();
        let ours = || {
            paths.iter().filter(|path| matches!(table.template(&case.verb, None, path), Match::Found { .. })).count()
        };
        assert_eq!(ours(), if case.found { PATHS } else { 0 }, "{}", case.name);
        let theirs = || paths.iter().filter(|path| routed(&router, &case.verb, path)).count();
        let mut ways = vec![Way::new("transom", || {
            std::hint::black_box(ours());
        })];
        if case.beside {
            assert_eq!(theirs(), ours(), "{}", case.name);
            ways.push(Way::new("matchit", || {
                std::hint::black_box(theirs());
            }));
        }
        for cost in time(ways, PATHS) {
            println!("| {size} | {} | {} | {:.0} | {:.1} |", case.name, cost.name, cost.nanos, cost.allocations);
            if cost.name == "transom" {
                worst = worst.max(cost.nanos);
            }
        }
    }
    worst
}

fn numbered(template: &str, number: usize) -> String {
    template.replace('#', &number.to_string())
}

fn table(size: usize) -> (Arc<Catalog>, Table) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("matching");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("b.proto"), PROTO).expect("a file");
    let rules = (0..size / RULES.len()).flat_map(|n| RULES.map(|(verb, template, _)| (verb, numbered(template, n))));
    let bindings =
        rules.map(|(verb, template)| RuleBinding::new(Verb::parse(verb).expect("a verb"), template)).collect();
    let rule = HttpRule { bindings, ..HttpRule::new("b.S.Put", Verb::Any, "/") };
    let source = Source { proto_paths: vec![folder], rules: vec![rule], ..Source::new("b", "c") };
    let catalog = [Arc::new(load(&source).expect("loads").catalog)];
    let (table, _) = Table::build(&catalog).expect("no conflicts");
    let [catalog] = catalog;
    (catalog, table)
}

fn router(size: usize) -> matchit::Router<Vec<Method>> {
    let mut router: matchit::Router<Vec<Method>> = matchit::Router::new();
    for n in 0..size / RULES.len() {
        for (verb, _, path) in RULES {
            let Some(path) = path.map(|path| numbered(path, n)) else { continue };
            let verb: Method = verb.parse().expect("a verb");
            match router.at_mut(&path) {
                // a template finds itself, and nothing closer
                Ok(found) => found.value.push(verb),
                Err(_) => router.insert(path, vec![verb]).expect("no conflict"),
            }
        }
    }
    router
}

fn routed(router: &matchit::Router<Vec<Method>>, verb: &Method, path: &str) -> bool {
    router.at(path).is_ok_and(|found| found.value.contains(verb))
}
