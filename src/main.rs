//! The `transom` program: picks the allocator, hands the arguments to `cli`, returns its exit code.
#![forbid(unsafe_code)]

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    transom::cli::main()
}
