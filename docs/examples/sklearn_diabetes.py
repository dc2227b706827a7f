"""Numbers to predict: partners with similar targets (C-Mixup) against plain training, cross-validated."""

from sklearn.datasets import load_diabetes
from sklearn.model_selection import KFold, cross_val_score

from calmix.integrations.sklearn import CalmixRegressor

X, y = load_diabetes(return_X_y=True, as_frame=True)
folds = KFold(5, shuffle=True, random_state=0)
scores = {
    method: cross_val_score(CalmixRegressor(method=method, random_state=0), X, y, cv=folds).mean()
    for method in ("erm", "c_mixup")
}
for method, score in scores.items():
    print(f"{method}: R2 {score:.3f}")
