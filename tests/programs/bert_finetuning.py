"""Fine-tuning of BERT on sentences with labels, in the words of PyTorch and transformers.

tests/test_dropin_text.py replaces the import lines between the two marks, and nothing else, and
runs it with gpugrad.

    python bert_finetuning.py SENTENCES.tsv MODEL_FOLDER EPOCHS
"""

# ruff: noqa: B905

import csv
import sys

# ---- imports ----
import torch
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset
from transformers import BertForSequenceClassification, BertTokenizer

# ---- end of imports ----

DATA, MODEL, EPOCHS = sys.argv[1], sys.argv[2], int(sys.argv[3])
MAX_LENGTH, BATCH_SIZE, LEARNING_RATE = 32, 16, 1e-3

torch.manual_seed(0)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

with open(DATA, encoding="utf-8", newline="") as file:
    rows = list(csv.DictReader(file, delimiter="\t"))
texts = [row["sentence"] for row in rows]
labels = [int(row["label"]) for row in rows]
cut = int(0.8 * len(rows))

tokenizer = BertTokenizer.from_pretrained(MODEL)


class SentenceDataset(Dataset):
    def __init__(self, texts, labels):
        self.encodings = tokenizer(
            texts, truncation=True, padding=True, max_length=MAX_LENGTH, return_tensors="pt"
        )
        self.labels = torch.tensor(labels)

    def __getitem__(self, idx):
        item = {key: val[idx] for key, val in self.encodings.items()}
        item["labels"] = self.labels[idx]
        return item

    def __len__(self):
        return len(self.labels)


train_loader = DataLoader(
    SentenceDataset(texts[:cut], labels[:cut]), batch_size=BATCH_SIZE, shuffle=True
)
test_loader = DataLoader(SentenceDataset(texts[cut:], labels[cut:]), batch_size=BATCH_SIZE)

model = BertForSequenceClassification.from_pretrained(MODEL, num_labels=2)
model.to(device)
print(sum(p.numel() for p in model.parameters()), "parameters,", len(tokenizer), "tokens")

optimizer = AdamW(model.parameters(), lr=LEARNING_RATE)
steps = EPOCHS * len(train_loader)
warmup = steps // 10
scheduler = LambdaLR(
    optimizer,
    lambda step: min((step + 1) / (warmup + 1), (steps - step) / (steps - warmup)),
)


def evaluate():
    model.eval()
    predictions, targets = [], []
    with torch.no_grad():
        for batch in test_loader:
            batch = {k: v.to(device) for k, v in batch.items()}
            outputs = model(
                input_ids=batch["input_ids"],
                attention_mask=batch["attention_mask"],
                token_type_ids=batch["token_type_ids"],
            )
            predictions.extend(torch.argmax(outputs.logits, dim=-1).cpu().numpy().tolist())
            targets.extend(batch["labels"].cpu().numpy().tolist())
    return sum(p == t for p, t in zip(predictions, targets)) / len(targets)


for epoch in range(EPOCHS):
    model.train()
    total_loss = 0.0
    for batch in train_loader:
        optimizer.zero_grad()
        input_ids = batch["input_ids"].to(device)
        attention_mask = batch["attention_mask"].to(device)
        outputs = model(input_ids, attention_mask=attention_mask, labels=batch["labels"].to(device))
        loss = outputs.loss
        loss.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        total_loss += loss.item()
    print(f"Epoch {epoch + 1}: loss {total_loss / len(train_loader):.4f}")

accuracy = evaluate()
model.save_pretrained("finetuned")
tokenizer.save_pretrained("finetuned")

model = BertForSequenceClassification.from_pretrained("finetuned")
model.to(device)
tokenizer = BertTokenizer.from_pretrained("finetuned")
print(f"Accuracy: {100 * accuracy:.2f} %, of the saved model {100 * evaluate():.2f} %")

inputs = tokenizer("the film is superb .", return_tensors="pt").to(device)
with torch.no_grad():
    probabilities = torch.softmax(model(**inputs).logits, dim=-1)[0]
print("positive" if probabilities[1] > 0.5 else "negative", probabilities.sum().item() > 0.999)
