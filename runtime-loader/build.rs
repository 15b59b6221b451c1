//! Leaves unwinding tables out of the one static binary: it aborts on a panic, and they are a tenth of its size.

use std::env;
use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=static.ld");
    let is = |key: &str, value: &str| env::var(key).is_ok_and(|set| set.split(',').any(|one| one == value));
    // Cargo does not tell a build script how panics end; only the profile `loader` is built with "z".
    let is_static = is("CARGO_CFG_TARGET_FEATURE", "crt-static") && is("OPT_LEVEL", "z");
    if let (true, Ok(folder)) = (is_static, env::var("CARGO_MANIFEST_DIR")) {
        let script = Path::new(&folder).join("static.ld");
        println!("cargo:rustc-link-arg-bins=-Wl,-T,{}", script.display());
        println!("cargo:rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
        // Functions with the same instructions are one: generic code has many. No address of a function is compared.
        println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
    }
}
