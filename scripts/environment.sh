# Sourced by the other scripts: makes .venv once and keeps it in step with the requirements files.
#
#   PYTHON      interpreter to make .venv with        (default: python3.11, else python3)
#   FRAMEWORKS  packages of frameworks to install     (default: torch mindspore paddlepaddle)
#   usage:      . scripts/environment.sh requirements.txt [more requirements files]

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
FRAMEWORKS=${FRAMEWORKS-torch mindspore paddlepaddle}

if [ -z "${PYTHON:-}" ]; then
    PYTHON=$(command -v python3.11 || command -v python3) || { echo "error: Python 3.10 or newer is needed" >&2; exit 1; }
fi
# A shim of a version manager may be on the path and still not work: try it.
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || PYTHON=$(command -v python3)
"$PYTHON" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || {
    echo "error: $PYTHON is not Python 3.10 to 3.13; name another one with PYTHON=..." >&2; exit 1; }

if [ ! -x .venv/bin/python ]; then
    echo "making .venv with $PYTHON"
    "$PYTHON" -m venv .venv || { rm -rf .venv; echo "error: cannot make .venv (Debian: apt install python3-venv)" >&2; exit 1; }
fi

# The lines of the requirements files, without those of frameworks that are not wanted.
wanted_requirements() {
    local framework unwanted=()
    for framework in torch mindspore paddlepaddle; do
        [[ " $FRAMEWORKS " == *" $framework "* ]] || unwanted+=(-e "^$framework==")
    done
    if [ ${#unwanted[@]} -eq 0 ]; then cat "$@"; else cat "$@" | grep -v "${unwanted[@]}"; fi
}

# The stamp is written last, so an interrupted installation is taken up again.
wanted=$({ wanted_requirements "$@"; cat pyproject.toml; } | cksum)
if [ "$(cat .venv/installed 2>/dev/null)" != "$wanted" ]; then
    echo "installing the requirements into .venv (once)"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r <(wanted_requirements "$@") || exit 1
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable . || exit 1
    echo "$wanted" > .venv/installed
fi
for framework in $FRAMEWORKS; do  # a marker in requirements.txt leaves out what this Python cannot have
    compgen -G ".venv/lib/python*/site-packages/$framework-*.dist-info" >/dev/null ||
        echo "note: $framework is left out: it has no wheel for $(.venv/bin/python --version)" >&2
done
export PATH="$PWD/.venv/bin:$PATH"
