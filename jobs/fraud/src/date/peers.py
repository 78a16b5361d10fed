"""DATE in PyTorch, written from its description: the figures that tests compare with, and the time of an epoch.

    python peers.py figures > peers.json     forward pass, loss and gradients on fixed weights, in 64 bits
    python peers.py epoch [ROWS]             seconds of an epoch and of scoring, random items, 2 threads, batch 256

Needs torch; the figures were made with torch 2.15.0.
"""

import json
import sys
import time

import torch
from torch import nn

WIDTH, HEADS = 16, 4


class Date(nn.Module):
    def __init__(self, trees, leaves, importers, codes):
        super().__init__()
        self.leaf = nn.Embedding(leaves, WIDTH)
        self.query, self.key, self.value, self.join = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.norm = nn.LayerNorm((trees, WIDTH))
        self.ask = nn.Linear(2 * WIDTH, WIDTH)
        self.ask_weight = nn.Parameter(torch.zeros(WIDTH))
        self.fuse = nn.Linear(3 * WIDTH, WIDTH)
        self.hide = nn.Linear(WIDTH, WIDTH)
        self.logit = nn.Linear(WIDTH, 1)
        self.revenue = nn.Linear(WIDTH, 1)
        self.importer = nn.Embedding(importers, WIDTH, padding_idx=0)
        self.code = nn.Embedding(codes, WIDTH, padding_idx=0)

    def forward(self, leaves, importers, codes):
        block = self.leaf(leaves)
        rows, trees, _ = block.shape

        def split(x):
            return x.reshape(rows, trees, HEADS, -1).transpose(1, 2)

        query, key, value = (split(torch.relu(of(block))) for of in (self.query, self.key, self.value))
        shares = torch.softmax(query @ key.transpose(2, 3) / (WIDTH // HEADS) ** 0.5, dim=-1)
        block = torch.relu(self.join((shares @ value).transpose(1, 2).reshape(rows, trees, WIDTH)))
        block = self.norm(block)
        importer, code = self.importer(importers), self.code(codes)
        query = (importer * code).unsqueeze(1).expand(-1, trees, -1)
        asked = torch.relu(self.ask(torch.cat((query, block), dim=-1))) @ self.ask_weight
        taken = (torch.softmax(asked, dim=1).unsqueeze(-1) * block).sum(1)
        hidden = nn.functional.leaky_relu(self.fuse(torch.cat((importer, code, taken), dim=-1)))
        hidden = nn.functional.leaky_relu(self.hide(hidden))
        return self.logit(hidden).squeeze(-1), self.revenue(hidden).squeeze(-1)


def loss_of(logits, revenue, labels, wanted, weight=10.0):
    """The mean over all rows; the revenue counts where it is known."""
    error = torch.where(torch.isnan(wanted), 0.0, revenue - torch.nan_to_num(wanted))
    cross_entropy = nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
    return (cross_entropy + weight * (error**2).sum()) / len(labels)


def figures():
    torch.set_default_dtype(torch.float64)
    trees, rows = 11, 6
    model = Date(trees, 3 * trees, 5, 4)
    with torch.no_grad():
        for number, (name, weight) in enumerate(model.named_parameters()):
            at = torch.arange(weight.numel(), dtype=torch.float64)
            weight.copy_((0.6 * torch.sin(0.37 * at + number)).reshape(weight.shape))
            if name in ("importer.weight", "code.weight"):
                weight[0] = 0.0
    leaves = torch.tensor([[3 * t + (7 * r + 5 * t) % 3 for t in range(trees)] for r in range(rows)])
    importers = torch.tensor([2 * r % 5 for r in range(rows)])
    codes = torch.tensor([r % 4 for r in range(rows)])
    labels = torch.tensor([float(r % 2) for r in range(rows)])
    wanted = torch.tensor([0.0, 0.5, float("nan"), 0.25, 0.0, 0.9])
    logits, revenue = model(leaves, importers, codes)
    loss = loss_of(logits, revenue, labels, wanted, weight=1.0)
    loss.backward()
    gradients = {}
    for name, weight in model.named_parameters():
        gradient = weight.grad.flatten()
        at = torch.arange(len(gradient), dtype=torch.float64)
        gradients[name] = [(gradient * torch.cos(0.1 * at)).sum().item(), (gradient * torch.sin(0.3 * at)).sum().item()]
    told = {"logits": logits.tolist(), "revenue": revenue.tolist(), "loss": loss.item(), "gradients": gradients}
    json.dump(told, sys.stdout, indent=1)
    print()


def epoch(rows=37385, trees=100, leaves=16, importers=8000, codes=6000, batch=256):
    torch.set_num_threads(2)
    torch.manual_seed(0)
    model = Date(trees, trees * leaves, importers, codes)
    for weight in model.parameters():
        if weight.dim() > 1:
            nn.init.xavier_uniform_(weight)
        else:
            nn.init.uniform_(weight, -0.1, 0.1)
    first = torch.arange(trees) * leaves
    items = (
        torch.randint(0, leaves, (rows, trees)) + first,
        torch.randint(0, importers, (rows,)),
        torch.randint(0, codes, (rows,)),
    )
    labels, wanted = torch.randint(0, 2, (rows,)).float(), torch.rand(rows)
    optimiser = torch.optim.RAdam(
        model.parameters(), lr=0.005, betas=(0.95, 0.999), eps=1e-5, weight_decay=0.01, decoupled_weight_decay=True
    )
    slow = [weight.detach().clone() for weight in model.parameters()]

    def train():
        for step, at in enumerate(range(0, rows, batch)):
            optimiser.zero_grad()
            part = [column[at : at + batch] for column in items]
            loss_of(*model(*part), labels[at : at + batch], wanted[at : at + batch]).backward()
            optimiser.step()
            if step % 6 == 5:
                with torch.no_grad():
                    for kept, weight in zip(slow, model.parameters()):
                        kept += 0.5 * (weight - kept)
                        weight.copy_(kept)

    def score():
        with torch.no_grad():
            for at in range(0, rows, 1024):
                model(*(column[at : at + 1024] for column in items))

    for name, work in (("epoch", train), ("scoring", score)):
        seconds = []
        for _ in range(3):
            begun = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - begun)
        median = sorted(seconds)[1]
        print(f"{name}: {median:.2f} s, {rows / median:.0f} rows a second, torch {torch.__version__}, 2 threads")


if __name__ == "__main__":
    if sys.argv[1] == "figures":
        figures()
    else:
        epoch(*map(int, sys.argv[2:]))
