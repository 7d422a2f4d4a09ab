#!/bin/sh
# serve.sh PYTHON MODEL_DIR PORT [vLLM's own options]: vLLM on the CPU at 127.0.0.1; the model is served by its folder's name.
# PYTHONSAFEPATH keeps the folder it is called from, which may hold a `vllm`, off the import path.
set -eu
python=${1:?usage: serve.sh PYTHON MODEL_DIR PORT [options]} model=${2:?} port=${3:?}
shift 3
exec env PYTHONSAFEPATH=1 HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 VLLM_CPU_KVCACHE_SPACE="${VLLM_CPU_KVCACHE_SPACE:-2}" \
    "$python" -m vllm.entrypoints.openai.api_server \
    --model "$model" --served-model-name "$(basename "$model")" --host 127.0.0.1 --port "$port" \
    --dtype float32 --max-model-len 4096 --generation-config vllm --enforce-eager "$@"
