# Common commands. Each is one line that can as well be typed.

# What there is.
default:
    @just --list

# The whole check of a change.
ci:
    .ci/run

# Format everything.
fmt:
    cargo fmt --all

# Lints, as strict as the whole check.
clippy:
    cargo clippy --workspace --all-targets -- -D warnings

# File sizes, dependency directions, leftovers, links.
tidy:
    cargo run --package xtask -- tidy

# All tests, as the README says.
test:
    cargo test --workspace

# Licences, advisories and duplicates (needs cargo-deny).
deny:
    cargo deny check

# The access log, live, into counts per IP.
demo:
    cargo run --release -- demo

# Ratios against plain loops; see BENCHMARKS.md.
bench:
    cargo bench --package riverrun

# A binary for shipping.
dist:
    cargo build --profile dist

# The user guide in a browser (needs mdbook).
book:
    mdbook serve docs --open

# Fuzz the batch decoder (needs cargo-fuzz and a nightly toolchain).
fuzz target="batch":
    cd log-store && cargo +nightly fuzz run {{target}}
