# Sourced by the other scripts: finds a Python >= 3.12, builds .venv from constraints.txt, installs what is missing.
# Nothing here relies on an active environment, and everything is done again only when its input has changed.
set -euo pipefail
unset VIRTUAL_ENV PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

say() { printf '%s\n' "$*" >&2; }

# The first interpreter that is at least 3.12, best first: 3.13 is what we develop on, and below it the real
# servers and clients of the tests cannot live beside mitmproxy.
find_python() {
  local candidate pyenv_root="${PYENV_ROOT:-$HOME/.pyenv}"
  local -a candidates=()
  [ -z "${SCIMPROXY_PYTHON:-}" ] || candidates+=("$SCIMPROXY_PYTHON")
  candidates+=(python3.13 "$pyenv_root"/versions/3.13*/bin/python3.13 python3.14 "$pyenv_root"/versions/3.14*/bin/python3.14
    python3.12 "$pyenv_root"/versions/3.12*/bin/python3.12 python3 python)
  for candidate in "${candidates[@]}"; do
    candidate=$(command -v "$candidate" 2>/dev/null) || continue
    if "$candidate" -c 'import sys, venv, ensurepip, sqlite3; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then
      printf '%s\n' "$candidate"
      return 0
    fi
  done
  say "scimproxy needs Python 3.12 or newer with venv and sqlite3, and none was found."
  say "Install one (for example: pyenv install 3.13, or your system's python3.13 and python3.13-venv packages),"
  say "or name it: SCIMPROXY_PYTHON=/path/to/python3.13 $0"
  return 3
}

# environment GROUP...: .venv with the project and these dependency groups, at the versions of constraints.txt.
environment() {
  local python want have="" group version
  local -a groups=()
  if [ -x .venv/bin/python ] && .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then
    python=.venv/bin/python
  else
    python=$(find_python)
    say "Building .venv with $("$python" --version) ..."
    rm -rf .venv
    "$python" -m venv .venv
  fi
  version=$(.venv/bin/python -c 'import sys; print(sys.version_info >= (3, 13))')
  for group in "$@"; do
    if [ "$group" = peers ] && [ "$version" != True ]; then
      say "Python 3.12: mitmproxy and the real SCIM servers and clients cannot share one environment; their tests will skip."
      continue
    fi
    groups+=(--group "$group")
  done
  want=$(cat pyproject.toml constraints.txt scripts/_environment.sh | cksum)
  for group in project "$@"; do
    [ "$(cat ".venv/.have-$group" 2>/dev/null)" = "$want" ] || have=no
  done
  if [ -n "$have" ]; then
    say "Installing scimproxy${*:+ and its $* packages} ..."
    .venv/bin/python -m pip install -qq --upgrade -c constraints.txt pip
    .venv/bin/python -m pip install -qq -c constraints.txt -e . ${groups[@]+"${groups[@]}"}
    for group in project "$@"; do printf '%s\n' "$want" > ".venv/.have-$group"; done
  fi
}

# program NAME PACKAGE: a program that tests use; installed through the system's packages where we may.
program() {
  command -v "$1" >/dev/null 2>&1 && return 0
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    say "Installing $2 ..."
    [ -n "${apt_updated:-}" ] || { apt-get update -qq >/dev/null 2>&1 || true; apt_updated=yes; }
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$2" >/dev/null 2>&1 || true
    command -v "$1" >/dev/null 2>&1 && return 0
  fi
  say "$1 is missing (package $2): the tests that need it will skip and say so."
}

# node_peer FOLDER: the npm packages of tests/peers/FOLDER, in .peers/FOLDER (nothing of them is committed).
node_peer() {
  local source="tests/peers/$1" there=".peers/$1" want
  command -v npm >/dev/null 2>&1 || return 0
  want=$(cat "$source/package.json" | cksum)
  if [ "$(cat "$there/.have" 2>/dev/null)" != "$want" ]; then
    say "Installing the npm packages of $source ..."
    rm -rf "$there" && mkdir -p "$there" && cp "$source/package.json" "$there/"
    if (cd "$there" && npm install --silent --no-audit --no-fund --no-package-lock >/dev/null 2>&1); then
      printf '%s\n' "$want" > "$there/.have"
    else
      say "npm could not install them: the tests that need them will skip and say so."
    fi
  fi
  cp "tests/peers/server.mjs" "$there/server.mjs"
}
