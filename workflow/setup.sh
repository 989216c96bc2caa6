#!/usr/bin/env bash
# Makes .venv from requirements.lock and installs the package into it, or says in one line what is missing.
set -u
python=${1:-}
say() { echo "lithe: $*" >&2; exit 1; }

[ -n "$python" ] || say "no Python found; install Python 3.11 or name one: make PYTHON=/path/to/python3.11"
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) ||
  say "'$python' does not run; install Python 3.11 or name one: make PYTHON=/path/to/python3.11"
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' ||
  say "Python $version is not supported (3.11 to 3.13 are); name another: make PYTHON=/path/to/python3.11"
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
  say "Python $version lacks its venv module; on Debian: apt install python$version-venv"

if ! .venv/bin/python -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" 2>/dev/null; then
  rm -rf .venv
  echo "lithe: making .venv with Python $version"
  "$python" -m venv .venv || say "could not make .venv here; is the folder writable and the disk not full?"
fi

log=.venv/install.log
echo "lithe: installing requirements.lock (minutes the first time; log: $log)"
{
  .venv/bin/python -m pip install --disable-pip-version-check --progress-bar off -r requirements.lock &&
    .venv/bin/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
} >"$log" 2>&1 || say "an install or download failed: $(grep -E '^ERROR' "$log" | head -1 | cut -c1-200) (full log: $log)"
touch .venv/ready
