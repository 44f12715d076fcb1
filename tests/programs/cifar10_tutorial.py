"""A small network that learns to tell the ten kinds of pictures in CIFAR-10, in PyTorch's words.

tests/test_dropin_cifar.py replaces the import lines between the two marks, and nothing else, and
runs it with gpugrad.

    python cifar10_tutorial.py DATA_FOLDER EPOCHS REPORT_EVERY
"""

import sys

# ---- imports ----
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
import torchvision
import torchvision.transforms as transforms
from torch.utils.data import DataLoader

# ---- end of imports ----

DATA, EPOCHS, EVERY = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
PATH = "./cifar_net.pth"

torch.manual_seed(0)
device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
print("device:", device)

# The pictures, with values from -1 to 1, four at a time.

transform = transforms.Compose(
    [transforms.ToTensor(), transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))]
)
batch_size = 4

trainset = torchvision.datasets.CIFAR10(root=DATA, train=True, download=True, transform=transform)
trainloader = DataLoader(trainset, batch_size=batch_size, shuffle=True, num_workers=2)

testset = torchvision.datasets.CIFAR10(root=DATA, train=False, download=True, transform=transform)
testloader = torch.utils.data.DataLoader(
    testset, batch_size=batch_size, shuffle=False, num_workers=2
)

classes = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def picture(img, name):
    """Write a tensor image to a file."""
    img = img / 2 + 0.5
    print(name, img.numpy().transpose((1, 2, 0)).shape)
    torchvision.utils.save_image(img, name)


dataiter = iter(trainloader)
images, labels = next(dataiter)
picture(torchvision.utils.make_grid(images), "some.png")
print(" ".join(f"{classes[labels[j]]:5s}" for j in range(batch_size)))


# The network.


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = x.view(-1, 16 * 5 * 5)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        x = self.fc3(x)
        return x


net = Net()
net.to(device)
print(net)
print(sum(p.numel() for p in net.parameters() if p.requires_grad), "parameters")

criterion = nn.CrossEntropyLoss()
optimizer = optim.SGD(net.parameters(), lr=0.001, momentum=0.9)

# Training.

for epoch in range(EPOCHS):
    running_loss = 0.0
    for i, data in enumerate(trainloader, 0):
        inputs, labels = data
        inputs, labels = inputs.to(device), labels.to(device)

        optimizer.zero_grad()

        outputs = net(inputs)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()

        running_loss += loss.item()
        if i % EVERY == EVERY - 1:
            print(f"[{epoch + 1}, {i + 1:5d}] loss: {running_loss / EVERY:.3f}")
            running_loss = 0.0

print("Finished Training")
torch.save(net.state_dict(), PATH)

# A new network with the saved weights, on pictures it has not seen.

net = Net()
net.load_state_dict(torch.load(PATH))
net.to(device)
net.eval()

dataiter = iter(testloader)
images, labels = next(dataiter)
outputs = net(images.to(device))
_, predicted = torch.max(outputs, 1)
print("Truth:    ", " ".join(f"{classes[labels[j]]:5s}" for j in range(4)))
print("Predicted:", " ".join(f"{classes[predicted[j]]:5s}" for j in range(4)))

correct = 0
total = 0
class_correct = [0.0] * 10
class_total = [0.0] * 10
with torch.no_grad():
    for data in testloader:
        images, labels = data
        images, labels = images.to(device), labels.to(device)
        outputs = net(images)
        _, predicted = torch.max(outputs.data, 1)
        total += labels.size(0)
        correct += (predicted == labels).sum().item()
        c = (predicted == labels).squeeze()
        for i in range(labels.size(0)):
            label = labels[i]
            class_correct[label] += c[i].item()
            class_total[label] += 1

for i in range(10):
    if class_total[i]:
        print(f"Accuracy of {classes[i]:5s}: {100 * class_correct[i] / class_total[i]:.1f} %")
print(f"Accuracy of the network on the {total} test images: {100 * correct / total:.1f} %")
