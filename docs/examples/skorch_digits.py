"""skorch: its loop, its callbacks and its validation; a step of it is mixed."""

import torch
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from skorch import NeuralNetClassifier
from skorch.dataset import unpack_data
from skorch.utils import to_tensor
from torch import nn

import calmix


class MixupNet(NeuralNetClassifier):
    def train_step_single(self, batch, **fit_params):
        self._set_training(True)  # of the module and of the training loss
        x, y = (to_tensor(part, self.device) for part in unpack_data(batch))
        self.criterion_.epoch = len(self.history) - 1  # for scheduled methods
        loss = self.criterion_(self.module_, x, y)
        loss.backward()
        return {"loss": loss, "y_pred": None}  # of mixed rows nothing was predicted

    def get_loss(self, y_pred, y_true, X=None, training=False):
        task = self.criterion_.task  # of validation rows, as they are
        return task.loss(task.output(y_pred), task.target(to_tensor(y_true, self.device))).mean()


X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split((X / 16).astype("float32"), y, random_state=0)
torch.manual_seed(0)
net = MixupNet(
    nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10)),
    criterion=calmix.TrainingLoss,
    criterion__method=calmix.sk_mixup(),
    criterion__task=calmix.Classification(10),
    predict_nonlinearity=nn.Softmax(-1),
    optimizer=torch.optim.AdamW,
    lr=0.003,
    max_epochs=20,
    iterator_train__shuffle=True,
    verbose=0,
).fit(X_train, y_train)
accuracy, nll = net.score(X_test, y_test), log_loss(y_test, net.predict_proba(X_test))
print(f"{len(net.history)} epochs: accuracy {accuracy:.3f}, log loss {nll:.3f}")
