"""A recurrent network that learns to tell good reviews from bad ones, in PyTorch's words.

tests/test_dropin_text.py replaces the import lines between the two marks, and nothing else, and
runs it with gpugrad.

    python text_classifier.py REVIEWS.tsv EPOCHS
"""

# ruff: noqa: B905, RUF059

import re
import sys
from collections import Counter

# ---- imports ----
import torch
import torch.nn as nn
import torch.optim as optim
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset, random_split

# ---- end of imports ----

PATH = "./text_classifier.pth"
BATCH_SIZE, EMBEDDING, HIDDEN, CLASSES = 32, 128, 256, 2

torch.manual_seed(0)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def tokenize(text):
    return re.findall(r"\w+", text.lower())


class Reviews(Dataset):
    """The rows of a table: a sentence, a tab, and 0 or 1."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            rows = [line.rstrip("\n").split("\t") for line in file][1:]
        self.texts = [tokenize(text) for text, _ in rows]
        self.labels = [int(label) for _, label in rows]
        counts = Counter(word for words in self.texts for word in words)
        self.vocab = {"<pad>": 0, "<unk>": 1}
        for word, _ in counts.most_common():
            self.vocab[word] = len(self.vocab)

    def __len__(self):
        return len(self.texts)

    def __getitem__(self, index):
        ids = [self.vocab.get(word, 1) for word in self.texts[index]]
        return torch.tensor(ids, dtype=torch.long), self.labels[index]


def collate(batch):
    texts, labels = zip(*batch)
    # Padding comes first, so that the last step of each row is a word.
    flipped = [text.flip(0) for text in texts]
    padded = pad_sequence(flipped, batch_first=True, padding_value=0).flip(1)
    return padded, torch.tensor(labels)


class TextClassifier(nn.Module):
    def __init__(self, vocab_size, embed_dim, hidden_dim, num_classes):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_dim, padding_idx=0)
        self.lstm = nn.LSTM(embed_dim, hidden_dim, batch_first=True)
        self.fc = nn.Linear(hidden_dim, num_classes)

    def forward(self, x):
        x = self.embedding(x)
        output, (hidden, cell) = self.lstm(x)
        return self.fc(output[:, -1, :])


def accuracy_of(model, loader):
    model.eval()
    correct, total = 0, 0
    with torch.no_grad():
        for texts, labels in loader:
            texts, labels = texts.to(device), labels.to(device)
            outputs = model(texts)
            _, predicted = torch.max(outputs, 1)
            correct += (predicted == labels).sum().item()
            total += labels.size(0)
    return correct / total


def main():
    data = Reviews(sys.argv[1])
    size = int(0.8 * len(data))
    train_data, test_data = random_split(data, [size, len(data) - size])
    train_loader = DataLoader(train_data, batch_size=BATCH_SIZE, shuffle=True, collate_fn=collate)
    test_loader = DataLoader(test_data, batch_size=BATCH_SIZE, collate_fn=collate)

    model = TextClassifier(len(data.vocab), EMBEDDING, HIDDEN, CLASSES).to(device)
    print(model)
    print(sum(p.numel() for p in model.parameters()), "parameters")
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=0.001)

    for epoch in range(int(sys.argv[2])):
        model.train()
        total_loss = 0
        for texts, labels in train_loader:
            texts, labels = texts.to(device), labels.to(device)
            optimizer.zero_grad()
            outputs = model(texts)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
            total_loss += loss.item()
        print(f"Epoch {epoch + 1}, loss: {total_loss / len(train_loader):.4f}")

    before = accuracy_of(model, test_loader)
    torch.save(model.state_dict(), PATH)
    model = TextClassifier(len(data.vocab), EMBEDDING, HIDDEN, CLASSES)
    model.load_state_dict(torch.load(PATH))
    model.to(device)
    after = accuracy_of(model, test_loader)
    print(f"Accuracy: {100 * before:.2f} %, of the saved model {100 * after:.2f} %")


if __name__ == "__main__":
    main()
