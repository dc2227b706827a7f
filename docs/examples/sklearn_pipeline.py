"""A search over methods inside a pipeline, on the breast cancer data that come with scikit-learn."""

from sklearn.datasets import load_breast_cancer
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer

from calmix.integrations.sklearn import CalmixClassifier
from calmix.metrics import smooth_ece

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

pipeline = make_pipeline(PowerTransformer(), CalmixClassifier(max_iter=15, random_state=0))
methods = {"calmixclassifier__method": ["erm", "mixup(alpha=0.2)", "sk_mixup"]}
search = GridSearchCV(pipeline, methods, scoring="neg_log_loss", cv=3).fit(X_train, y_train)

probs = search.predict_proba(X_test)
accuracy, nll = accuracy_score(y_test, search.predict(X_test)), log_loss(y_test, probs)
error = smooth_ece(probs, y_test.to_numpy())
print(f"chosen: {search.best_params_['calmixclassifier__method']}")
print(f"of {len(y_test)} test rows: accuracy {accuracy:.3f}, log loss {nll:.3f}, smooth ECE {error:.3f}")
