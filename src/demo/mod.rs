//! What `transom demo` shows: a real gRPC server over loopback sockets, and the web page that calls it.

pub mod page;
pub mod upstream;

/// The configuration of the demo's edge, `catalogs/demo.yaml`. It reads two environment variables, which
/// `transom demo` gives it: `DEMO_LISTEN` (`IP:PORT`) and `DEMO_UPSTREAM` (a URL). Its import root is `../protos`.
pub const CONFIG: &str = include_str!("../../catalogs/demo.yaml");

/// The `.proto` files that `CONFIG` names, by import name: a binary that was installed has no `protos` folder near it.
/// What they import is part of every catalog.
pub const PROTOS: [(&str, &str); 5] = [
    ("helloworld.proto", include_str!("../../protos/helloworld.proto")),
    ("echo.proto", include_str!("../../protos/echo.proto")),
    ("route_guide.proto", include_str!("../../protos/route_guide.proto")),
    ("bookstore.proto", include_str!("../../protos/bookstore.proto")),
    ("files.proto", include_str!("../../protos/files.proto")),
];
