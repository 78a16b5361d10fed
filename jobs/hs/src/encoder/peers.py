"""The encoder in PyTorch and transformers: the figures that tests compare with, and the speed of encoding.

    python peers.py figures > peers.json         tokens, embeddings and gradients on fixed tiny weights, in 64 bits
    python peers.py speed ENCODER TEXTS [BATCH]  texts a second of an encoder's folder on a file of texts, 2 threads

Needs torch and transformers; the figures were made with torch 2.15.0 and transformers 5.24.0.
"""

import json
import pathlib
import sys
import time

import torch
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast

TEXTS = ["Frozen shrimps, peeled", "horse", "10 pcs black smartphone", "", "Ünknown STEEL-pipes 冷凍"]
CODES = 5


def tiny():
    config = BertConfig(
        vocab_size=24, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
        hidden_act="gelu", max_position_embeddings=16, type_vocab_size=2, layer_norm_eps=1e-12,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, attn_implementation="eager",
    )
    model = BertModel(config, add_pooling_layer=False)
    with torch.no_grad():
        for number, (name, weight) in enumerate(sorted(model.named_parameters())):
            at = torch.arange(weight.numel(), dtype=torch.float64)
            around = 1.0 if name.endswith("LayerNorm.weight") else 0.0
            weight.copy_((around + 0.3 * torch.sin(0.37 * at + number)).reshape(weight.shape))
    return model


def pooled(states, mask):
    mean = (states * mask.unsqueeze(2)).sum(1) / mask.sum(1, keepdim=True)
    return torch.nn.functional.normalize(mean, dim=1) * states.shape[2] ** 0.5


def figures():
    torch.set_default_dtype(torch.float64)
    folder = pathlib.Path(__file__).parent
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tiny_tokenizer.json"), pad_token="[PAD]")
    tokens = tokenizer(TEXTS, padding=True, truncation=True, max_length=16, return_tensors="pt")
    ids, mask = tokens["input_ids"], tokens["attention_mask"].double()
    model = tiny()
    embeddings = pooled(model(input_ids=ids, attention_mask=tokens["attention_mask"]).last_hidden_state, mask)
    at = torch.arange(CODES * 33, dtype=torch.float64)
    head = (0.1 * torch.cos(0.23 * at)).reshape(CODES, 33).requires_grad_()
    logits = torch.cat((embeddings, torch.ones(len(TEXTS), 1)), dim=1) @ head.T
    loss = torch.nn.functional.cross_entropy(logits, torch.arange(len(TEXTS)) % CODES)
    loss.backward()
    gradients = {}
    layer = {name: weight for name, weight in model.named_parameters() if name.startswith("encoder.layer.1.")}
    for name, weight in {"head": head, **layer}.items():
        gradient = weight.grad.flatten()
        at = torch.arange(len(gradient), dtype=torch.float64)
        gradients[name] = [(gradient * torch.cos(0.1 * at)).sum().item(), (gradient * torch.sin(0.3 * at)).sum().item()]
    told = {
        "tokens": [row[kept > 0].tolist() for row, kept in zip(ids, mask)],
        "embeddings": embeddings.tolist(),
        "loss": loss.item(),
        "gradients": gradients,
    }
    json.dump(told, sys.stdout, indent=1)
    print()


def speed(encoder, file, batch=32):
    torch.set_num_threads(2)
    texts = pathlib.Path(file).read_text().splitlines()
    tokenizer, model = AutoTokenizer.from_pretrained(encoder), AutoModel.from_pretrained(encoder).eval()

    def encode():
        with torch.inference_mode():
            tokens = tokenizer(texts, truncation=True, max_length=128)["input_ids"]
            order = sorted(range(len(texts)), key=lambda text: len(tokens[text]))
            for first in range(0, len(order), batch):
                part = tokenizer.pad({"input_ids": [tokens[text] for text in order[first : first + batch]]}, return_tensors="pt")
                pooled(model(**part).last_hidden_state, part["attention_mask"].float())

    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        encode()
        seconds.append(time.perf_counter() - begun)
    median = sorted(seconds)[1]
    print(f"{len(texts) / median:.1f} texts a second, {len(texts)} texts, torch {torch.__version__}, 2 threads")


if __name__ == "__main__":
    if sys.argv[1] == "figures":
        figures()
    else:
        speed(*sys.argv[2:4], *map(int, sys.argv[4:]))
