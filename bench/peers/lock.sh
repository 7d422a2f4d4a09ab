#!/bin/sh
# lock.sh UV: resolve the peers' lock files anew. The versions of the peers themselves stand here.
set -eu
uv=${1:?usage: lock.sh UV}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

lock() {
    "$uv" pip compile --system-certs --quiet --no-emit-index-url --no-header --no-annotate --python-version 3.11 "$@" -
}

# torch of PyPI asks for gigabytes of CUDA, which a load generator has no use for
never=$(mktemp)
trap 'rm -f "$never"' EXIT
for package in cuda-bindings cuda-toolkit nvidia-cublas nvidia-cudnn-cu13 nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvshmem-cu13 triton; do
    echo "$package ; sys_platform == 'never'"
done >"$never"

echo "aiperf==0.13.0" | lock >"$here/aiperf.lock"
printf 'guidellm==0.8.1\ntorch==2.13.0\n' | lock --override "$never" | sed 's/^torch==.*/&+cpu/' >"$here/guidellm.lock"
