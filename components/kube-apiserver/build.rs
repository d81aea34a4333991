//! How the program is linked.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if !is("TARGET", "x86_64-unknown-linux-gnu") || !is("PROFILE", "release") {
        return;
    }
    // A generic function for two types is often the same code twice: once is enough, and it is a good part of what an idle
    // server holds in memory. The linker that comes with Rust does it, which is the usual one for this target only.
    println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
    // A program that loads itself reads a megabyte of relocations when it starts, unless they are packed.
    if is_static() && unpacks() {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

fn is(name: &str, value: &str) -> bool {
    std::env::var(name).is_ok_and(|found| found == value)
}

fn is_static() -> bool {
    let features = std::env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    features.split(',').any(|feature| feature == "crt-static")
}

/// Whether the C library that the program is linked with understands packed relocations: glibc does since 2.36.
fn unpacks() -> bool {
    let told = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let told = told.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let version = told.unwrap_or_default();
    let mut numbers = version
        .trim()
        .trim_start_matches("glibc ")
        .split('.')
        .map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(2), Some(36))
}
