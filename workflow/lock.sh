#!/usr/bin/env bash
# Resolves pyproject.toml afresh and writes the exact versions to requirements.lock.
set -euo pipefail
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$1" -m venv "$scratch/venv"
pip() { "$scratch/venv/bin/python" -m pip --disable-pip-version-check -q "$@"; }
pip install --upgrade setuptools wheel
pip install "$(grep -o 'torch==[0-9.]*' pyproject.toml | head -1)" # first, or a newer torch comes along
pip install ".[book,export,test,workflow]"
{
  sed -n '/^#/p' requirements.lock
  "$scratch/venv/bin/python" -m pip --disable-pip-version-check list --format=freeze |
    grep -vE '^(lithe|pip)==' | sed 's/+cpu$//'
} >"$scratch/lock"
cp "$scratch/lock" requirements.lock
echo "lithe: requirements.lock holds $(grep -c == requirements.lock) packages"
