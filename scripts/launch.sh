# Sourced by the run_*.sh scripts: environment variables, checks and each framework's launcher.
#
#   FRAMEWORK     pytorch (default), mindspore or paddle
#   CONFIG        recipe                               (default: configs/jester/trn_bn_inception.yaml)
#   DEVICE        gpu (default), cpu or ascend
#   OUTPUT        run folder                           (default: runs/<name of the recipe's file>)
#   NPROC         processes on this machine            (default: all GPUs; on cpu 2 to train, 1 to evaluate)
#   NNODES, NODE_RANK, MASTER_ADDR, MASTER_PORT        several machines: how many, which one this is (from 0), and an
#                 address and a free port of machine 0, the same everywhere (default port: 29500)
#   NODE_ADDR     address of this machine              (default: the one from which it reaches MASTER_ADDR)

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
[ -d .venv/bin ] && export PATH="$PWD/.venv/bin:$PATH"

FRAMEWORK=${FRAMEWORK:-pytorch}
CONFIG=${CONFIG:-configs/jester/trn_bn_inception.yaml}
DEVICE=${DEVICE:-gpu}
NNODES=${NNODES:-1}
NODE_RANK=${NODE_RANK:-0}
MASTER_ADDR=${MASTER_ADDR:-127.0.0.1}
OUTPUT=${OUTPUT:-runs/$(basename "${CONFIG%.yaml}")}

export TRISHIFT_SCRIPT=1  # errors then mention DEVICE instead of an option of the Python command

fail() { echo "error: $*" >&2; exit 1; }

usage() { echo "usage: bash $(basename "$0") $*" >&2; exit 2; }

require_path() { [ -e "$2" ] || fail "$1 $2 does not exist"; }

# A path relative to the caller's folder as an absolute one; published names and addresses of weights as they are.
weights() { (cd "$start" && if [ -e "$1" ]; then realpath "$1"; else printf '%s\n' "$1"; fi) }

check_device() {
    case "$DEVICE" in
        gpu) nvidia-smi -L >/dev/null 2>&1 || fail "no NVIDIA GPU was found on this machine; set DEVICE=cpu" ;;
        cpu|ascend) ;;
        *) fail "DEVICE=$DEVICE is unknown; use gpu, cpu or ascend" ;;
    esac
}

count_processes() {
    if [ -n "${NPROC:-}" ]; then echo "$NPROC"
    elif [ "$DEVICE" = gpu ]; then nvidia-smi -L | wc -l
    else echo 2
    fi
}

# Evaluation and prediction need no launcher: `--devices` starts processes that do not talk to each other.
count_independent() { if [ "$DEVICE" = cpu ]; then echo "${NPROC:-1}"; else count_processes; fi; }

# One machine: any free port, unless MASTER_PORT is set. Several machines: MASTER_PORT, on which all must agree.
choose_port() {
    python - "$MASTER_ADDR" "${MASTER_PORT:-0}" "$NNODES" <<'PYTHON'
import socket, sys
address, port, nodes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if nodes > 1:
    print(port or 29500)
    sys.exit()
with socket.socket() as probe:
    try:
        probe.bind((address, port))
    except OSError as error:
        sys.exit(f"error: MASTER_PORT={port} on {address} cannot be used ({error.strerror}); choose another one")
    print(probe.getsockname()[1])
PYTHON
}

# The address from which this machine reaches MASTER_ADDR, and MASTER_ADDR as a number, which Paddle needs.
find_addresses() {
    python - "$MASTER_ADDR" "${NODE_ADDR:-}" <<'PYTHON'
import socket, sys
master, own = sys.argv[1:]
try:
    master = socket.gethostbyname(master)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:  # sends nothing
        probe.connect((master, 9))
        print(own or probe.getsockname()[0], master)
except OSError as error:
    sys.exit(f"error: MASTER_ADDR={sys.argv[1]} cannot be reached from this machine ({error.strerror}); check name and network")
PYTHON
}

# The network interface with an address, on which processes of CPUs exchange tensors.
interface_of() { ip -o -4 addr show to "$1" 2>/dev/null | awk 'NR == 1 {print $2}'; }

# Leave an old run and its logs alone: count up like `trishift train`, unless the arguments resume or replace the run.
choose_output() {
    local wanted=$OUTPUT number=2
    [[ " $* " == *" --resume"* || " $* " == *" --overwrite "* || $NNODES -gt 1 ]] && return
    while [ -e "$OUTPUT/recipe.yaml" ]; do OUTPUT=$wanted-$((number++)); done
    [ "$OUTPUT" = "$wanted" ] || echo "$wanted holds a run already; this one goes to $OUTPUT"
}

# Ask a launcher to stop. msrun would end at once and leave its processes behind, so they are asked themselves.
stop() {
    if [ "$FRAMEWORK" = mindspore ]; then pkill -TERM -P "$1"; else kill -TERM "$1" 2>/dev/null; fi
}

# Run a command and pass SIGTERM on to it, which Kubernetes and `docker stop` send to this shell only.
passing_on() {
    local child status=0
    "$@" <&0 & child=$!
    trap 'stop "$child"' TERM
    trap ':' INT  # the terminal sends it to the command as well
    wait "$child" || status=$?
    while kill -0 "$child" 2>/dev/null; do status=0; wait "$child" || status=$?; done  # a signal ended the wait
    trap - TERM INT
    return "$status"
}

# Run a script in NPROC processes. Each launcher stops all processes when one of them fails.
launch() {
    local processes port logs status=0
    processes=$(count_processes) && port=$(choose_port) || exit 1
    logs=$OUTPUT/ranks
    if [ "$NNODES" -gt 1 ]; then
        local addresses interface
        addresses=$(find_addresses) || exit 1
        read -r NODE_ADDR MASTER_ADDR <<<"$addresses"
        interface=$(interface_of "$NODE_ADDR")
        [ -n "$interface" ] && export GLOO_SOCKET_IFNAME=${GLOO_SOCKET_IFNAME:-$interface}
        logs=$OUTPUT/ranks/node_$NODE_RANK
    fi
    rm -rf "$logs"; mkdir -p "$logs" || fail "$OUTPUT cannot be written; set OUTPUT to another folder"
    case "$FRAMEWORK" in
        pytorch)
            export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
            passing_on torchrun --nproc_per_node "$processes" --nnodes "$NNODES" \
                --node_rank "$NODE_RANK" --master_addr "$MASTER_ADDR" --master_port "$port" \
                ${NODE_ADDR:+--local_addr "$NODE_ADDR"} "$@" || status=$? ;;
        paddle)
            local machines=()
            [ "$NNODES" -gt 1 ] && machines=(--nnodes "$NNODES" --rank "$NODE_RANK" --master "$MASTER_ADDR:$port" --host "$NODE_ADDR")
            passing_on python -m paddle.distributed.launch --nproc_per_node "$processes" "${machines[@]}" \
                --log_dir "$logs" "$@" || status=$? ;;
        mindspore)
            passing_on msrun --worker_num $((processes * NNODES)) --local_worker_num "$processes" --node_rank "$NODE_RANK" \
                --master_addr "$MASTER_ADDR" --master_port "$port" --log_dir "$logs" --join=True \
                --cluster_time_out=60 "$@" || status=$?
            cat "$logs/worker_$((processes * NODE_RANK)).log" 2>/dev/null || true ;;
        *) fail "FRAMEWORK=$FRAMEWORK is unknown; use pytorch, mindspore or paddle" ;;
    esac
    if [ "$status" -ne 0 ]; then
        grep -hE '^(error:|stopped after)' "$logs"/*log* 2>/dev/null | sort -u >&2 || true
        fail "a process exited with status $status; logs of the ranks, if the launcher writes them: $logs"
    fi
}
