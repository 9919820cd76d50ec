.PHONY: demo test test-debian13 lint bench deb fuzz soak install-test-deps

# The main job, with nothing installed but Rust and a C compiler.
demo:
	cargo run --locked -- demo

# Every test; the last line counts them.
test: install-test-deps
	@.ci/test

# The tests that have to do with servers or with the package, with Debian 13's servers and systemd.
test-debian13: install-test-deps
	@.ci/debian-tree .tools/debian13/bare trixie
	@.ci/debian-tree .tools/debian13/servers trixie prosody ejabberd mariadb-server
	@DEBIAN_TREES=$(CURDIR)/.tools/debian13 .ci/test rig_ e2e_ xmpp:: buffer:: drills:: package:: cgroup::

lint: install-test-deps
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	@if cargo deny --version >/dev/null 2>&1; then cargo deny check; else \
	    echo "cargo-deny is not installed (cargo install --locked cargo-deny); make test holds the crates to deny.toml"; fi
	xmllint --noout --schema schema/windmill.xsd fixtures/*.xml

# The speed goals, as ratios.
bench: install-test-deps
	cargo bench --locked

# The Debian package, in target/debian.
deb: install-test-deps
	packaging/build-deb

# Each fuzz target for MINUTES (default 1).
fuzz:
	@.ci/fuzz $(MINUTES)

# Load and random faults for MINUTES (default 3); then the books balance and memory is flat.
soak: install-test-deps
	SOAK_MINUTES=$(or $(MINUTES),3) cargo test --locked --test it -- --ignored --exact --nocapture \
	    e2e_soak::books_balance_after_a_long_bad_day

# What the tests need and what is missing: Debian packages, and slixmpp in .venv.
install-test-deps:
	@.ci/install-test-deps
