# Sourced by the other scripts: creates .venv and updates it when the requirements change.
#
#   PYTHON      interpreter that creates .venv         (default: python3.11, else python3)
#   FRAMEWORKS  framework packages to install        (default: torch mindspore paddlepaddle)
#   usage:      . scripts/environment.sh requirements.txt [more requirements files]

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
FRAMEWORKS=${FRAMEWORKS-torch mindspore paddlepaddle}

if [ -z "${PYTHON:-}" ]; then
    PYTHON=$(command -v python3.11 || command -v python3) || { echo "error: Python 3.10 or newer is needed" >&2; exit 1; }
fi
# A version manager's shim may be on the path without working, so try it.
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || PYTHON=$(command -v python3)
"$PYTHON" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || {
    echo "error: $PYTHON is not Python 3.10 to 3.13; choose another one with PYTHON=..." >&2; exit 1; }

if [ ! -x .venv/bin/python ]; then
    echo "creating .venv with $PYTHON"
    "$PYTHON" -m venv .venv || { rm -rf .venv; echo "error: cannot create .venv (Debian: apt install python3-venv)" >&2; exit 1; }
fi

# Without bytecode files each process would compile everything it imports: 3 seconds of a core per framework.
unset PYTHONDONTWRITEBYTECODE

# Print the requirements without the frameworks that are not wanted.
wanted_requirements() {
    local framework unwanted=()
    for framework in torch mindspore paddlepaddle; do
        [[ " $FRAMEWORKS " == *" $framework "* ]] || unwanted+=(-e "^$framework==")
    done
    if [ ${#unwanted[@]} -eq 0 ]; then cat "$@"; else cat "$@" | grep -v "${unwanted[@]}"; fi
}

# The stamp is written last, so an interrupted installation is repeated.
wanted=$({ wanted_requirements "$@"; cat pyproject.toml; } | cksum)
if [ "$(cat .venv/installed 2>/dev/null)" != "$wanted" ]; then
    echo "installing the requirements into .venv (once)"
    # Python compiles the few modules that are used; compiling all 15,000 would take a third of the installation.
    install=(.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile)
    "${install[@]}" -r <(wanted_requirements "$@") || exit 1
    "${install[@]}" --no-deps --editable . || exit 1
    echo "$wanted" > .venv/installed
fi
for framework in $FRAMEWORKS; do  # markers in requirements.txt skip frameworks that do not support this Python
    compgen -G ".venv/lib/python*/site-packages/$framework-*.dist-info" >/dev/null ||
        echo "note: $framework is skipped: it has no wheel for $(.venv/bin/python --version)" >&2
done
export PATH="$PWD/.venv/bin:$PATH"
