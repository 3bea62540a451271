# Trishift in a container; the folder of the user's files is mounted at /work.
#
#   docker build --tag trishift .                                    CPU
#   docker build --tag trishift:gpu --build-arg DEVICE=gpu .         PyTorch with CUDA
#   docker run --rm --volume "$PWD:/work" trishift quickstart --tiny
#   docker run --rm --gpus all --user "$(id -u):$(id -g)" --volume "$PWD:/work" trishift:gpu train --config gestures/tsm
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS wheel
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim
# PyTorch's wheels of the package index contain CUDA; those of its own index for CPUs are a tenth of the size.
ARG DEVICE=cpu
ARG EXTRAS=pytorch,export
ARG TORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu
# OpenMP, for Paddle and MindSpore.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=wheel /wheels /wheels
COPY requirements.txt /wheels/
RUN case "$DEVICE" in \
        cpu) export PIP_EXTRA_INDEX_URL="$TORCH_CPU_INDEX" ;; \
        gpu) ;; \
        *) echo "error: DEVICE=$DEVICE is unknown; use cpu or gpu" >&2; exit 1 ;; \
    esac \
    && pip install --no-cache-dir --constraint /wheels/requirements.txt "$(echo /wheels/trishift-*.whl)[$EXTRAS]" \
    && rm -r /wheels
# An ordinary user; any other one (docker run --user) can write these folders, too.
RUN useradd --uid 1000 trishift && install --directory --mode 1777 /work /cache
USER 1000
ENV TRISHIFT_HOME=/cache/trishift MPLCONFIGDIR=/cache/matplotlib
WORKDIR /work
ENTRYPOINT ["trishift"]
CMD ["--help"]
