//! The `ciliumc` program: see [`ciliumc::cli`].

/// A tree of YAML is millions of small allocations; `cargo xtask bench front` shows what this is worth.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    ciliumc::cli::main()
}
