"""Estimators with the scikit-learn interface, a file a family; `registry` names them, `storage` keeps them."""
