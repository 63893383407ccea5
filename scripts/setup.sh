# Sourced by the scripts beside it: makes .venv where there is none and installs medimg into it.
# Usage: setup EXTRAS [--wheels DIR]; after it, $root is the checkout and $bin the venv's programs.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=$root/.venv/bin

say() { printf '%s\n' "$*" >&2; }

find_python() {
  for name in python3 python python3.13 python3.12 python3.11; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$name"
      return
    fi
  done
  say "medimg needs Python 3.11 or newer, and none of python3, python, python3.13 to 3.11 is one."
  exit 1
}

setup() {
  local extras=$1 source=()
  shift
  while [ $# -gt 0 ]; do
    case $1 in
      --wheels)
        [ -d "${2:-}" ] || { say "--wheels ${2:-}: no such folder"; exit 2; }
        source=(--no-index --find-links "$(cd "$2" && pwd)")
        shift 2 ;;
      *) say "unknown option $1; usage: scripts/$(basename "$0") [--wheels DIR]"; exit 2 ;;
    esac
  done
  local stamp=$root/.venv/.medimg-$extras wanted
  wanted=$(cat "$root/pyproject.toml" "$root/constraints.txt" | cksum)
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then return; fi
  if [ ! -x "$bin/python" ]; then
    say "Making .venv ..."
    "$(find_python)" -m venv "$root/.venv"
  fi
  if ! "$bin/python" -m pip --version >/dev/null 2>&1; then "$bin/python" -m ensurepip -q; fi
  if [ ${#source[@]} -eq 0 ] && ! "$bin/python" -c 'import torch' 2>/dev/null; then
    say "Installing medimg: about 3 GB are downloaded, most of it torch with CUDA, and about 6 GB"
    say "of disk are taken. The README says how to take a CPU-only torch instead."
  else
    say "Installing medimg ..."
  fi
  "$bin/python" -m pip install --quiet --disable-pip-version-check --progress-bar off \
    "${source[@]}" -c "$root/constraints.txt" -e "$root[$extras]"
  echo "$wanted" > "$stamp"
  say "Installed in .venv."
}
