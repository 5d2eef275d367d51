#!/usr/bin/env bash
# Everything that is checked before a change is taken: formatting, lints, the build without Kafka, every test (those against
# real Apache Kafka brokers and with clients in other languages included).
#
#   ./tests/run.sh              all of it
#   TEST_THREADS=4 ./tests/run.sh   more tests at a time; three of them may run three brokers of half a gigabyte each
#
# The made-up year in crates/flagtrail/tests/it/scenario has 12,000 records here, as in any debug build; in an optimised one it has 50,000:
#
#   cargo test --release -p flagtrail --test it scenario
#
# It needs Rust and a C toolchain, and network for what it fetches. On Debian and Ubuntu it installs what else is missing; elsewhere it
# says what to install. The brokers are started and stopped by the tests; nothing is left running.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly JAVA_MIN=17
readonly threads=${TEST_THREADS:-2}

# What configures a Flagtrail on this machine must not configure the ones under test.
for variable in $(compgen -e | grep '^FLAGTRAIL_' || true); do
  unset "$variable"
done

output=$(mktemp)
trap 'rm -f "$output"' EXIT

step() {
  printf '\n==> [%4ds] %s\n' "$SECONDS" "$*"
}

die() {
  printf 'run.sh: %s\n' "$*" >&2
  exit 1
}

has() {
  command -v "$1" >/dev/null
}

java_is_recent() {
  local version
  has java && has javac || return 1
  version=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
  [[ -n $version && $version -ge $JAVA_MIN ]]
}

# Where it may, Go fetches the Go that a program of ours asks for; GOTOOLCHAIN=local forbids it.
go_is_recent() {
  go -C tests/clients/tlog list -m >/dev/null
}

# Rust and a C toolchain are the reader's to choose.
require_toolchain() {
  local missing=()
  has cargo || missing+=("Rust 1.90 or later (https://rustup.rs)")
  has cc || missing+=("a C compiler (Debian, Ubuntu: build-essential)")
  has make || missing+=("make (Debian, Ubuntu: build-essential)")
  has perl || missing+=("perl, which builds the bundled OpenSSL (Debian, Ubuntu: perl)")
  if ((${#missing[@]})); then
    printf 'run.sh: missing: %s\n' "${missing[@]}" >&2
    exit 1
  fi
}

install_missing() {
  local packages=() as_root=()
  java_is_recent || packages+=(default-jdk-headless)
  has mvn || packages+=(maven)
  # Debian's python3 has the module and not what it needs: only a try tells.
  { has python3 && python3 -c 'import ensurepip, venv' 2>/dev/null; } || packages+=(python3 python3-venv)
  has node || packages+=(nodejs)
  has npm || packages+=(npm)
  has go || packages+=(golang-go)
  has openssl || packages+=(openssl)
  if ((${#packages[@]} == 0)); then
    go_is_recent || die "install the Go that tests/clients/tlog/go.mod asks for"
    return 0
  fi

  has apt-get || die "install a JDK of version $JAVA_MIN or later, Maven, Python 3 with venv, Node.js, npm and Go (missing here, by Debian's names: ${packages[*]})"
  if ((EUID != 0)); then
    has sudo || die "run as root: apt-get install ${packages[*]}"
    as_root=(sudo)
  fi
  echo "installing ${packages[*]}"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
  java_is_recent || die "the JDK is older than $JAVA_MIN: install a later one"
  go_is_recent || die "Go is older than tests/clients/tlog/go.mod asks for: install a later one"
}

# Adds up what the test binaries say of themselves.
count() {
  awk '
    /^test result: / {
      for (i = 2; i <= NF; i++) {
        if ($i == "passed;") passed += $(i - 1)
        if ($i == "failed;") failed += $(i - 1)
        if ($i == "ignored;") ignored += $(i - 1)
      }
    }
    END { printf "%d passed; %d failed; %d ignored", passed, failed, ignored }' "$output"
}

step "what the tests need"
require_toolchain
install_missing
FLAGTRAIL_KAFKA_LIBS=$(tests/kafka-libs.sh)
FLAGTRAIL_CLIENTS=$(tests/clients/prepare.sh)
export FLAGTRAIL_KAFKA_LIBS FLAGTRAIL_CLIENTS
# From here on a test that cannot find them fails instead of being skipped.
export FLAGTRAIL_REQUIRE_KAFKA=1 FLAGTRAIL_REQUIRE_CLIENTS=1

step "formatting"
cargo fmt --all --check

step "lints"
cargo clippy --workspace --all-targets -- -D warnings

step "the build without Kafka"
cargo check -p flagtrail --no-default-features

step "tests"
outcome=ok
cargo test --workspace --no-fail-fast -- --test-threads="$threads" | tee "$output" || outcome=FAILED

printf '\ntest result: %s. %s; finished in %ds\n' "$outcome" "$(count)" "$SECONDS"
[[ $outcome == ok ]]
