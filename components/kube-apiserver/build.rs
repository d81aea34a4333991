//! How the program is linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // A generic function for two types is often the same code twice: once is enough, and it is a good part of what an idle
    // server holds in memory. The linker that comes with Rust does it, which is the usual one for this target only.
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    if is("TARGET", "x86_64-unknown-linux-gnu") && is("PROFILE", "release") {
        println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
    }
}
