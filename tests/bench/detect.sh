#!/usr/bin/env bash
# Measures how fast each fault is seen and left behind, beside its bound. usage: tests/bench/detect.sh [--times N] [--only WORD]
set -euo pipefail
exec "$(dirname "$0")/run.sh" detect "$@"
