"""The data sets that come with scikit-learn: real, small, and in its wheel, so nothing is downloaded."""

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pericard_cloud.prediction.training.table import Table


class DataSet(NamedTuple):
    """One of them: its function in sklearn.datasets, what people call a model of it, and its target."""

    function: str
    title: str
    target: str


DATA_SETS = {
    "breast-cancer": DataSet("load_breast_cancer", "Breast cancer: benign or malignant", "diagnosis"),
    "wine": DataSet("load_wine", "Wine: which of three cultivars", "cultivar"),
    "digits": DataSet("load_digits", "Digits: which one was written", "digit"),
    "diabetes": DataSet("load_diabetes", "Diabetes: how far it progressed in a year", "progression"),
}


def table(name: str) -> "Table":
    """A data set's rows; classes have their names."""
    import numpy as np
    import sklearn.datasets

    from pericard_cloud.prediction.training.table import Table

    function, _, target = DATA_SETS[name]
    data: Any = getattr(sklearn.datasets, function)()
    known = data.target_names.tolist() if hasattr(data, "target_names") else None
    labels = tuple(str(known[one]) if known else repr(float(one)) for one in data.target)
    values = np.asarray(data.data, np.float64)
    return Table(tuple(map(str, data.feature_names)), values, labels, target, f"scikit-learn's {function}")
