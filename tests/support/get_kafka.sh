#!/usr/bin/env bash
# Apache Kafka's jars for the tests, fetched once with Maven into the cache: pinned by version (RATCHET_KAFKA picks
# another one), checked by Maven. Prints the folder. Safe to call from several tests at once.
set -euo pipefail
version="${RATCHET_KAFKA:-3.9.1}"
slf4j=1.7.36
home="${XDG_CACHE_HOME:-$HOME/.cache}/ratchetd-tests/kafka-$version"

if [ ! -d "$home/lib" ]; then
  mkdir -p "$home"
  exec 9>"$home/lock"
  flock 9
  if [ ! -d "$home/lib" ]; then
    command -v mvn >/dev/null || { echo "get_kafka.sh: maven is missing (apt-get install maven)" >&2; exit 69; }
    work=$(mktemp -d "$home/fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    cat >"$work/pom.xml" <<POM
<project><modelVersion>4.0.0</modelVersion><groupId>ratchetd</groupId><artifactId>tests-kafka</artifactId><version>1</version>
<dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>$slf4j</version></dependency>
</dependencies></project>
POM
    (cd "$work" && mvn -q -B dependency:copy-dependencies -DoutputDirectory="$work/lib") >&2
    mv "$work/lib" "$home/lib"
  fi
fi
echo "$home/lib"
