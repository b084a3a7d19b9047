#!/usr/bin/env bash
# Assembles a real Apache Livy server with a local Spark for the conformance suite
# in the folder $1 and prints the path of its home. What is there already and is
# the pinned build is not fetched again. About 430 MB are downloaded, 400 MB kept.
#
# Livy is the newest whose server is published in Maven Central; what the sessions
# run inside Spark, livy-repl, is not published at all, so testdata/ReplDriver.java
# stands in for it and executes SQL (internal/decisions, "A real Livy").
set -euo pipefail

livy=0.7.1-incubating
spark=3.5.9
jars_sha256=ead9974eabb06bef40f87bca7c2617b8453ae45fd86067f0e43a8f271a814587 # of the list of every jar's sha256
spark_sha256=a3abb3fe419c6479ffc4977ae0ed3a67160719bdd6984897c134a91b992b7afa # the same, of Spark's commands and jars
archive_sha256=ea27adc39ddac9413b8951e45aa748cbed6c785971b81386efc41938f6243d93

if [ $# -ne 1 ] || [ -z "$1" ]; then
  echo "usage: livy.sh <cache folder>" >&2
  exit 2
fi

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
java=$(javac -version 2>&1 | sed -n 's/^javac \([0-9]*\).*/\1/p' || true)
if [ -z "$java" ] || [ "$java" -lt 17 ] || ! command -v jar >/dev/null || ! command -v mvn >/dev/null; then
  echo "The engine suite also runs against a real Apache Livy: it needs a JDK 17 (javac, jar) and Maven. Install them (Debian, Ubuntu: apt-get install openjdk-17-jdk-headless maven), then try again." >&2
  exit 1
fi
python3 -m pip --version >/dev/null 2>&1 || {
  echo "pip is missing: Spark comes from PyPI. Install Python 3.10 or later with pip (Debian, Ubuntu: apt-get install python3-pip python3-venv), then try again." >&2
  exit 1
}

# The checksum is the version: only the pinned build has it.
sum() { (cd "$1" && find "${@:2}" -type f -print0 2>/dev/null | LC_ALL=C sort -z | xargs -0r sha256sum | sha256sum | cut -d' ' -f1); }
whole() { [ -d "$1" ] && [ "$(sum "$@")" = "$want" ]; }

mkdir -p "$1"
cache=$(cd "$1" && pwd)
home=$cache/livy-$livy-spark-$spark
work=$(mktemp -d "$cache/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT

want=$jars_sha256
if ! whole "$home/jars" .; then
  cat >"$work/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>nightshift</groupId>
  <artifactId>livy</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.livy</groupId>
      <artifactId>livy-server</artifactId>
      <version>$livy</version>
    </dependency>
  </dependencies>
</project>
POM
  mvn -q -B -f "$work/pom.xml" -Dmaven.repo.local="$work/repository" \
    org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$work/jars" >&2
  whole "$work/jars" . || {
    echo "livy.sh: the jars of livy-server $livy are not those that are pinned here" >&2
    exit 1
  }
  mkdir -p "$home"
  rm -rf "$home/jars"
  mv "$work/jars" "$home/jars" # at once, so that nobody starts half of it
fi

want=$spark_sha256
if ! whole "$home/spark" .; then
  python3 -m pip download -q --no-deps --no-binary :all: -d "$work" "pyspark==$spark" >&2
  archive=$work/pyspark-$spark.tar.gz
  echo "$archive_sha256  $archive" | sha256sum -c --quiet - >&2 || {
    echo "livy.sh: pyspark $spark is not the archive that is pinned here" >&2
    exit 1
  }
  mkdir -p "$home" "$work/spark"
  tar -xzf "$archive" -C "$work/spark" --strip-components=2 "pyspark-$spark/deps/bin" "pyspark-$spark/deps/jars"
  whole "$work/spark" .
  rm -rf "$home/spark"
  mv "$work/spark" "$home/spark"
fi

# What Livy puts into each Spark driver: its RSC as published, and the stand-in.
driver=repl-$(sha256sum "$here/testdata/ReplDriver.java" | cut -c1-12).jar
if [ ! -f "$home/repl_2.12-jars/$driver" ]; then
  rm -rf "$home/rsc-jars" "$home/repl_2.12-jars"
  mkdir -p "$home/rsc-jars" "$work/classes" "$work/repl"
  cp "$home/jars/livy-api-$livy.jar" "$home/jars/livy-rsc-$livy.jar" "$home"/jars/netty-all-*.jar "$home/rsc-jars"
  javac -nowarn --release 17 -cp "$home/rsc-jars/*:$home/spark/jars/*" -d "$work/classes" "$here/testdata/ReplDriver.java" >&2
  jar --create --file "$work/repl/$driver" -C "$work/classes" .
  mv "$work/repl" "$home/repl_2.12-jars"
fi
echo "$home"
