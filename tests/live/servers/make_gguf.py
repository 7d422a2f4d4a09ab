"""Make the tiny model that llama.cpp serves: `python make_gguf.py FILE`, with the Python of llama.cpp's environment.

A Llama of 2 layers with random weights. Its vocabulary is bytes and pairs of letters, so that no tokenizer is trained.
"""

import itertools
import string
import sys
from pathlib import Path

import gguf  # type: ignore[import-not-found]
import numpy as np

WIDTH, INNER, LAYERS, HEADS, CONTEXT = 64, 128, 2, 4, 4096
CHAT_TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
SPECIAL, BYTES = ("<unk>", "<s>", "</s>"), tuple(f"<0x{byte:02X}>" for byte in range(256))
PIECES = ("▁", *string.ascii_letters, *map("".join, itertools.product(string.ascii_lowercase, repeat=2)))
KINDS = gguf.TokenType


def main() -> None:
    file = Path(sys.argv[1])
    file.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(file, "llama")
    write_settings(writer)
    write_vocabulary(writer)
    write_weights(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_settings(writer: gguf.GGUFWriter) -> None:
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(SPECIAL) + len(BYTES) + len(PIECES))


def write_vocabulary(writer: gguf.GGUFWriter) -> None:
    kinds = [KINDS.UNKNOWN, KINDS.CONTROL, KINDS.CONTROL, *[KINDS.BYTE] * len(BYTES), *[KINDS.NORMAL] * len(PIECES)]
    writer.add_tokenizer_model("llama")
    writer.add_token_list([*SPECIAL, *BYTES, *PIECES])
    writer.add_token_scores([0.0] * (len(SPECIAL) + len(BYTES)) + [float(len(piece)) for piece in PIECES])
    writer.add_token_types(kinds)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(CHAT_TEMPLATE)


def write_weights(writer: gguf.GGUFWriter) -> None:
    random = np.random.default_rng(0)

    def add(name: str, *shape: int) -> None:
        writer.add_tensor(name, random.normal(0, 0.5, shape).astype(np.float32))

    def add_norm(name: str) -> None:
        writer.add_tensor(name, np.ones(WIDTH, np.float32))

    words = len(SPECIAL) + len(BYTES) + len(PIECES)
    add("token_embd.weight", words, WIDTH)
    add("output.weight", words, WIDTH)
    add_norm("output_norm.weight")
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        for name in ("attn_norm", "ffn_norm"):
            add_norm(f"{block}.{name}.weight")
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"{block}.{name}.weight", WIDTH, WIDTH)
        add(f"{block}.ffn_gate.weight", INNER, WIDTH)
        add(f"{block}.ffn_up.weight", INNER, WIDTH)
        add(f"{block}.ffn_down.weight", WIDTH, INNER)


if __name__ == "__main__":
    main()
