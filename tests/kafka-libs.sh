#!/usr/bin/env bash
# Puts Apache Kafka's own jars into a directory outside the checkout and prints its path. Run again, it only prints.
#
# The jars come from docker/kafka-test/pom.xml through Maven, into a directory beside the final one that is renamed when
# it is complete: a download that was cut short is never taken for a whole one. With them lies kafka.jsa, the loaded classes of a
# broker that ran once: with it brokers and tools start in half the time, and without it they start all the same.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly pom=docker/kafka-test/pom.xml
readonly settings=docker/kafka-test/server.properties

# Seconds that the broker whose classes are kept may take to start.
readonly START_MAX=120

version=$(sed -n 's|.*<kafka.version>\(.*\)</kafka.version>.*|\1|p' "$pom")
# A changed pom is another directory, and so is another Java, whose classes are in the archive too.
key=$( (cat "$pom"; java -version 2>&1) | cksum | cut -d' ' -f1)
libs="${XDG_CACHE_HOME:-$HOME/.cache}/flagtrail/kafka-$version-$key"

# The flags of the test kit: an archive of classes fits only the collector that it was made with.
readonly java_flags=(-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData)

# Runs a broker until it serves, and keeps the classes that it has loaded.
archive_classes() {
  local work=$1 port=$((15000 + RANDOM % 15000)) broker waited=0
  {
    cat "$settings"
    echo "node.id=1"
    echo "controller.quorum.voters=1@127.0.0.1:$port"
    echo "listeners=INTERNAL://127.0.0.1:$((port + 1)),CONTROLLER://127.0.0.1:$port"
    echo "listener.security.protocol.map=INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT"
    echo "log.dirs=$work/data"
  } >"$work/server.properties"
  java "${java_flags[@]}" -cp "$libs/*" kafka.tools.StorageTool format --cluster-id archive-of-classes --config "$work/server.properties" \
    >"$work/log" 2>&1 || return 1
  java "${java_flags[@]}" -XX:ArchiveClassesAtExit="$work/kafka.jsa" -cp "$libs/*" \
    kafka.Kafka "$work/server.properties" >>"$work/log" 2>&1 &
  broker=$!
  until grep -q "Kafka Server started" "$work/log" || ((waited++ >= START_MAX * 10)); do
    kill -0 "$broker" 2>/dev/null || return 1
    sleep 0.1
  done
  # The classes are written as it ends.
  kill "$broker"
  wait "$broker" || true
  [[ -f $work/kafka.jsa ]] || return 1
  # Into the same file system first: then the rename is one step.
  cp "$work/kafka.jsa" "$libs/kafka.jsa.$$" && mv "$libs/kafka.jsa.$$" "$libs/kafka.jsa"
}

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

if [[ ! -f $libs/kafka.jsa ]]; then
  work=$(mktemp -d)
  trap 'rm -rf "${incoming:-}" "$work"' EXIT
  archive_classes "$work" || echo "kafka-libs: no archive of classes, brokers start slower: $(tail -n 1 "$work/log")" >&2
fi

echo "$libs"
