# Sourced by the other scripts: makes .venv once and keeps it in step with the requirements files.
#
#   PYTHON    interpreter to make .venv with (default: python3.11, else python3)
#   usage:    . scripts/environment.sh requirements.txt [more requirements files]

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

if [ -z "${PYTHON:-}" ]; then
    PYTHON=$(command -v python3.11 || command -v python3) || { echo "error: Python 3.10 or newer is needed" >&2; exit 1; }
fi
# A shim of a version manager may be on the path and still not work: try it.
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || PYTHON=$(command -v python3)
"$PYTHON" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' || {
    echo "error: $PYTHON is not Python 3.10 to 3.12; name another one with PYTHON=..." >&2; exit 1; }

if [ ! -x .venv/bin/python ]; then
    echo "making .venv with $PYTHON"
    "$PYTHON" -m venv .venv || { rm -rf .venv; echo "error: cannot make .venv (Debian: apt install python3-venv)" >&2; exit 1; }
fi

# The stamp is written last, so an interrupted installation is taken up again.
wanted=$(cat "$@" pyproject.toml | cksum)
if [ "$(cat .venv/installed 2>/dev/null)" != "$wanted" ]; then
    echo "installing the requirements into .venv (once)"
    # An array and not `set --`, which would replace the arguments of the script that sources this one.
    requirements=()
    for file in "$@"; do requirements+=(-r "$file"); done
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "${requirements[@]}" || exit 1
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable . || exit 1
    echo "$wanted" > .venv/installed
fi
export PATH="$PWD/.venv/bin:$PATH"
