#!/usr/bin/env bash
# Puts Apache Kafka's own jars into a directory outside the checkout and prints its path. Run again, it only prints.
#
# The jars come from docker/kafka-test/pom.xml through Maven, into a directory beside the final one that is renamed when
# it is complete: a download that was cut short is never taken for a whole one.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

pom=docker/kafka-test/pom.xml
version=$(sed -n 's|.*<kafka.version>\(.*\)</kafka.version>.*|\1|p' "$pom")
# A changed pom is another directory.
libs="${XDG_CACHE_HOME:-$HOME/.cache}/flagtrail/kafka-$version-$(cksum <"$pom" | cut -d' ' -f1)"

if [[ ! -d $libs ]]; then
  command -v mvn >/dev/null || { echo "kafka-libs: Maven is missing: install the package maven" >&2; exit 1; }
  mkdir -p "$(dirname "$libs")"
  incoming=$(mktemp -d "$libs.XXXXXX")
  trap 'rm -rf "$incoming"' EXIT
  mvn -q -f "$pom" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$incoming" >&2
  chmod 755 "$incoming"
  # Lost to another run that finished first: then its directory is as good. -T so that nothing is moved into it.
  mv -T "$incoming" "$libs" 2>/dev/null || [[ -d $libs ]]
fi

echo "$libs"
